"""What an import costs in a fresh interpreter, against importing msal."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

from .measuring import alternate, conclude, judge_ratio

MOST = 1.15
ROUNDS = 25
_TIMED = """\
import time
started = time.perf_counter()
{statement}
print(time.perf_counter() - started)
"""


def main() -> bool:
    """Compare; return whether the target is met."""
    statements = [
        "import msal_msi_v2",
        "import msal",
        "from msal_msi_v2 import ManagedIdentityClient",
        "import msal, requests",
    ]
    ours, peer, client, without = alternate(
        *(partial(_sample, statement) for statement in statements), rounds=ROUNDS
    )
    met = judge_ratio("import msal_msi_v2", ours, peer, "import msal", MOST)
    ratio, bare = client.quartile / peer.quartile, client.quartile / without.quartile
    print(
        f"        from msal_msi_v2 import ManagedIdentityClient: {ratio:.2f} x import msal, "
        f"{bare:.2f} x import msal, requests"
    )
    return met


def _sample(statement: str) -> float:
    command = [sys.executable, "-c", _TIMED.format(statement=statement)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    conclude(main())
