"""What the vault's tokens are for: what the vault itself says, as long as that is credible."""

from __future__ import annotations

import ipaddress
import re

from msal_msi_v2.errors import KeyVaultError, MsiV2ClientError

REFUSED = "key_vault_challenge_refused"
_RESOURCE = re.compile(r"https://([a-z0-9-]+(?:\.[a-z0-9-]+)+)")
_PARAMETER = r'[A-Za-z_]+="[^"]*"'
_BEARER = re.compile(rf"(?:^|,)\s*Bearer\s+({_PARAMETER}(?:\s*,\s*{_PARAMETER})*)", re.IGNORECASE)


def resource_of(challenge: str | None, host: str) -> str:
    """Return the resource that a vault's challenge names.

    Args:
        challenge: The ``WWW-Authenticate`` header of its 401, where there was one.
        host: The vault's host name.

    Raises:
        KeyVaultError: ``key_vault_challenge_refused``: there is no such challenge, it is
            ambiguous, or it names somebody else's resource.
    """
    found = _BEARER.findall(challenge or "")
    resources = _named("resource", found[0]) if len(found) == 1 else []
    if len(found) == 1 and not resources:  # newer vaults may name a scope in its place
        scopes = _named("scope", found[0])
        resources = [scope.removesuffix("/.default") for scope in scopes]
    if len(resources) != 1:
        raise KeyVaultError(
            REFUSED,
            f"{host} did not say, as Key Vault does in a bearer challenge, what tokens for it are "
            "to be for. Check the vault's URL, and what lies between.",
            status_code=401,
        )
    resource = resources[0].rstrip("/")
    if not belongs(host, resource):
        hint = " For a vault on this machine, pass resource='https://vault.azure.net'."
        raise KeyVaultError(
            REFUSED,
            f"{host} asks for a token for another service than itself, which would give it away. "
            f"No token was sent. Check the vault's URL.{hint if _is_loopback(host) else ''}",
            status_code=401,
        )
    return resource


def check_resource(resource: str, host: str) -> str:
    """Return the resource that a caller names, once it is known to be the vault's.

    A vault on this machine, as in tests, may be named to be of any: what is sent there does not
    leave it.

    Raises:
        MsiV2ClientError: ``invalid_request``: the vault is none of the resource's.
    """
    plain = str(resource).rstrip("/")
    if belongs(host, plain) or (plain.startswith("https://") and _is_loopback(host)):
        return plain
    raise MsiV2ClientError(
        "invalid_request",
        f"resource is {resource!r}, and the vault {host!r} is none of its hosts: a token for it "
        "would be given away.",
    )


def belongs(host: str, resource: str) -> bool:
    """Tell whether a vault's host is the resource's, or one below it."""
    found = _RESOURCE.fullmatch(resource.lower())
    return found is not None and (host == found[1] or host.endswith(f".{found[1]}"))


def _named(name: str, parameters: str) -> list[str]:
    pairs = re.findall(r'([A-Za-z_]+)="([^"]*)"', parameters)
    return [value for key, value in pairs if key.lower() == name]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
