"""Finding ``msal-key-attestation``, and saying why it is not to be had."""

from __future__ import annotations

import importlib
import threading
from typing import TYPE_CHECKING

from .errors import MsiV2ClientError
from .fork import renew_after_fork
from .software import SoftwarePlatform

if TYPE_CHECKING:
    from .platforms import Platform

_SIBLING = "msal_key_attestation"


class _Default:
    """The process's platform, once it has been looked for."""

    def __init__(self) -> None:
        self.platform: Platform | None = None
        self.renew_after_fork()
        renew_after_fork(self)

    def renew_after_fork(self) -> None:
        """Take a new lock; a platform that was found stays good."""
        self.lock = threading.Lock()


_default = _Default()


def default_platform() -> Platform:
    """Return this process's platform, discovered at the first call and shared by all clients."""
    with _default.lock:
        if _default.platform is None:
            _default.platform = discover_platform()
        return _default.platform


def discover_platform() -> Platform:
    """Return the platform of ``msal-key-attestation``, or else the one of software keys.

    The software platform then carries the reason, one of three codes: not installed
    (``attestation_package_missing``), installed but broken (``attestation_package_broken``), or
    not supported on this system (``attestation_not_supported``).
    """
    try:
        sibling = importlib.import_module(_SIBLING)
    except ModuleNotFoundError as exc:
        if exc.name == _SIBLING:
            return SoftwarePlatform(_missing(exc))
        return SoftwarePlatform(_broken(exc))
    except Exception as exc:  # noqa: BLE001 - whatever a broken package raises at import
        return SoftwarePlatform(_broken(exc))
    try:
        platform: Platform = sibling.create_platform()
    except MsiV2ClientError as exc:
        return SoftwarePlatform(exc)
    except Exception as exc:  # noqa: BLE001 - whatever else it raises is a defect of the package
        return SoftwarePlatform(_broken(exc))
    return platform


def _missing(cause: ImportError) -> MsiV2ClientError:
    error = MsiV2ClientError(
        "attestation_package_missing",
        "The package msal-key-attestation, which makes and attests KeyGuard keys on Windows, is "
        "not installed: pip install msal-msi-v2[attestation]",
    )
    error.__cause__ = cause
    return error


def _broken(cause: Exception) -> MsiV2ClientError:
    error = MsiV2ClientError(
        "attestation_package_broken",
        f"The package msal-key-attestation is installed, but does not load ({cause!r}). "
        "Reinstall it: pip install --force-reinstall msal-key-attestation",
    )
    error.__cause__ = cause
    return error
