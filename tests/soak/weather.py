"""What goes wrong: faults of every kind, for every leg of an acquisition."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from msal_msi_v2.emulator import (
    Body,
    Delay,
    Drop,
    Fault,
    IssuedCertificate,
    OAuthError,
    OpaqueToken,
    Status,
    WrongCnf,
)

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

LEGS = ("metadata", "issuecredential", "attestation", "token")
_STATUSES = (302, 400, 401, 403, 404, 404, 408, 410, 429, 500, 502, 503, 503, 599)
_HOUR = 3600.0
_FLOOD = b"x" * (2 << 20)
_AADSTS = (7000215, 700027, 1000610, 1000612, 1000614)


def random_fault(rng: random.Random, leg: str) -> Fault:
    """Return a fault that makes sense for a leg."""
    return rng.choice(_MAKERS[leg])(rng)


def _status(rng: random.Random) -> Fault:
    headers = rng.choice([{}, {}, {"Retry-After": "7"}, {"Retry-After": "100000"}])
    return Status(rng.choice(_STATUSES), headers)


def _delay(rng: random.Random) -> Fault:
    return Delay(rng.choice([0.01, 0.01, 0.05, 0.05, 0.2, 1.5]))


def _drop(rng: random.Random) -> Fault:
    return Drop(rng.choice([0, 1, 40]), reset=rng.random() < 0.5)


def _body(rng: random.Random) -> Fault:
    contents: list[Any] = [b"", b"{", b"null", b"[]", b"\xff\xfe{}", _cut, _without_a_member]
    contents += [_null_members, _FLOOD]
    return Body(rng.choice(contents))


def _headers(rng: random.Random) -> Fault:
    headers: list[dict[str, str | None]] = [{"Server": None}, {"Content-Type": "text/html"}]
    return Body(headers=rng.choice(headers))


def _wrong_token(rng: random.Random) -> Fault:
    change = rng.choice(
        [
            {"token_type": "Bearer"},
            {"token_type": None},
            {"expires_in": 0},
            {"expires_in": "soon"},
            {"access_token": 7},
        ]
    )
    return Body(lambda body: json.dumps(json.loads(body) | change).encode())


def _oauth_error(rng: random.Random) -> Fault:
    if rng.random() < 0.2:
        return OAuthError("invalid_scope", (70011,), status=400)
    return OAuthError("invalid_client", rng.choice([(), *((code,) for code in _AADSTS)]))


def _certificate(rng: random.Random) -> Fault:
    return rng.choice(
        [
            IssuedCertificate(lifetime=rng.choice([0.25, 1, 20, 23.9, 25]) * _HOUR),
            IssuedCertificate(lifetime=_HOUR, not_before=-2 * _HOUR),
            IssuedCertificate(not_before=2 * _HOUR),
            IssuedCertificate(key="other"),
            IssuedCertificate(issuer="other"),
            IssuedCertificate(common_name="99999999-0b9c-4d8e-8f70-61524334251a"),
            IssuedCertificate(domain_component="99999999-0b9c-4d8e-8f70-61524334251a"),
        ]
    )


def _cut(body: bytes) -> bytes:
    return body[: len(body) // 2]


def _without_a_member(body: bytes) -> bytes:
    return _changed(body, lambda content: content.pop(next(iter(content)), None))


def _null_members(body: bytes) -> bytes:
    return _changed(body, lambda content: content.update(dict.fromkeys(content)))


def _changed(body: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    content = json.loads(body)  # an error's body is an object, too
    change(content)
    return json.dumps(content).encode()


def _wrong_cnf(rng: random.Random) -> Fault:
    return WrongCnf() if rng.random() < 0.7 else OpaqueToken()


_ANYWHERE = (_status, _status, _delay, _drop, _body, _headers)
_MAKERS: dict[str, tuple[Callable[[random.Random], Fault], ...]] = {
    "metadata": _ANYWHERE,
    "issuecredential": (*_ANYWHERE, _certificate, _certificate),
    "attestation": _ANYWHERE,
    "token": (*_ANYWHERE, _wrong_token, _oauth_error, _oauth_error, _wrong_cnf),
}
