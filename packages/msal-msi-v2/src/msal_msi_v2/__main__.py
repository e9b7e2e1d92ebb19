"""``python -m msal_msi_v2``: the command line."""

from .cli import main

if __name__ == "__main__":
    raise SystemExit(main())
