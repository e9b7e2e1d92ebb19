"""What Key Vault's refusals mean, and what to do about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from msal_msi_v2.errors import KeyVaultError
from msal_msi_v2.protocol.messages import describe_failure, parse_json

if TYPE_CHECKING:
    from msal_msi_v2.protocol.messages import Response

UNUSABLE = "key_vault_key_unusable"
NOT_FOUND = "key_vault_not_found"
UNAUTHORIZED = 401
THROTTLED = 429
SERVER_ERRORS = range(500, 600)
_NETWORK = frozenset({"ForbiddenByFirewall", "ForbiddenByConnection"})


class Operation(NamedTuple):
    """Something that is asked of a vault.

    Attributes:
        permission: The permission of an access policy that it takes.
        action: The data action of Azure RBAC that it takes.
        role: The narrowest built-in role with that action.
    """

    permission: str
    action: str
    role: str


READ_CERTIFICATE = Operation(
    "certificates/get", "Microsoft.KeyVault/vaults/certificates/read", "Key Vault Reader"
)
SIGN = Operation("keys/sign", "Microsoft.KeyVault/vaults/keys/sign/action", "Key Vault Crypto User")

_MEANINGS: dict[int, tuple[str, str]] = {
    UNAUTHORIZED: (
        "key_vault_unauthorized",
        "refuses the token. Is the vault in the identity's tenant, and does it take such tokens?",
    ),
    404: (NOT_FOUND, "has no such certificate, key or version. Check the names."),
    THROTTLED: ("key_vault_throttled", "is asked too often, by this program or by others."),
}


def refusal(response: Response, operation: Operation, where: str, guid: str) -> KeyVaultError:
    """Return the error for an answer that is no success.

    Args:
        response: The answer.
        operation: What was asked for.
        where: The URL, without its query.
        guid: The id under which Key Vault logged the request.
    """
    reason = _reason(response)
    permission = None
    if response.status == 403:  # noqa: PLR2004 - HTTP's own number
        code, meaning, permission = _forbidden(reason, operation)
    elif response.status in SERVER_ERRORS:
        code, meaning = "key_vault_unavailable", "fails. Try again later."
    else:
        code, meaning = _MEANINGS.get(
            response.status, ("key_vault_request_failed", "refuses the request.")
        )
    error = KeyVaultError(
        code,
        f"{operation.permission}: Key Vault at {where} {meaning} It says: HTTP {response.status}, "
        f"{describe_failure(response)}",
        correlation_id=guid,
        status_code=response.status,
        is_retryable=response.status == THROTTLED or response.status in SERVER_ERRORS,
    )
    error.permission, error.reason = permission, reason
    return error


def _forbidden(reason: str | None, operation: Operation) -> tuple[str, str, str | None]:
    """Tell a missing permission from a closed network and from a key that is out of use."""
    if reason in _NETWORK:
        meaning = "does not let this network in. Check its firewall and private endpoints."
        return "key_vault_access_denied", meaning, None
    if reason is not None and reason.startswith("Key"):  # KeyDisabled, KeyExpired, …
        meaning = "does not sign with this version of the key: it is disabled, expired or not yet "
        return UNUSABLE, f"{meaning}valid, or may not sign.", None
    meaning = (
        f"does not let this identity do that. Grant it {operation.action!r}, e.g. with the role "
        f"{operation.role!r}, or, with access policies, the permission {operation.permission!r}."
    )
    return "key_vault_access_denied", meaning, operation.permission


def _reason(response: Response) -> str | None:
    """Return Key Vault's innermost error code, where its answer has the usual shape."""
    try:
        found: Any = parse_json(response.body)
    except ValueError:
        return None
    codes = []
    found = found.get("error") if isinstance(found, dict) else None
    while isinstance(found, dict):
        codes.append(found.get("code"))
        found = found.get("innererror")
    names = [code for code in codes if isinstance(code, str)]
    return names[-1] if names else None
