"""A vault and a login service on loopback, with no more than assertions need, and on no side.

Signatures are made and checked with PyJWT and pyca, not with the code under test.
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import jwt
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Self

TENANTS = ("11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222")
CLIENT_ID = "33333333-3333-4333-8333-333333333333"
VAULT_TOKEN = "a-token-for-the-vault-and-for-nothing-else-at-all"
RESOURCE = "https://vault.azure.net"
CHALLENGE = f'Bearer authorization="https://login.microsoftonline.com/x", resource="{RESOURCE}"'

HANG_UP = 0
"""A status: the connection is closed, and nothing is answered."""

Answer = tuple[int, Mapping[str, str], Any]


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass(frozen=True)
class Version:
    """One version of a certificate, with its key."""

    name: str
    version: str
    certificate: x509.Certificate
    key: rsa.RSAPrivateKey = field(repr=False)
    exportable: bool

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def x5t_s256(self) -> str:
        return b64url(self.certificate.fingerprint(hashes.SHA256()))

    @property
    def thumbprint(self) -> str:
        return self.certificate.fingerprint(hashes.SHA1()).hex().upper()


def issue(name: str, number: int = 1, *, exportable: bool = False) -> Version:
    key = rsa.generate_private_key(65537, 2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(timezone.utc)
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), number)
    builder = builder.not_valid_before(now - timedelta(days=1))
    certificate = builder.not_valid_after(now + timedelta(days=9)).sign(key, hashes.SHA256())
    return Version(name, f"{number:032x}", certificate, key, exportable)


@dataclass(frozen=True)
class Call:
    """A request that came."""

    method: str
    path: str
    query: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class SmallCloud:
    """A context manager.

    Attributes:
        url: Of both services, no trailing slash.
        calls: What came, in order.
        versions: The vault's certificates.
        forbidden: Operations that are refused.
        disabled: Versions that are out of use.
        wrong: Answers in place of the real ones: each is asked first, for every request.
        registered: Certificates that the application has in Entra.
        assertions: What the application signed in with.
        now: The login service's clock.
        lets_in: Whether the vault takes what ``Authorization`` says.
    """

    def __init__(self, ca_bundle: Path) -> None:
        authority = trustme.CA()
        self.ca_bundle = str(ca_bundle)
        authority.cert_pem.write_to_path(self.ca_bundle)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.url = f"https://localhost:{self._server.server_address[1]}"
        self.calls: list[Call] = []
        self.versions: dict[str, list[Version]] = {}
        self.forbidden: dict[str, str] = {}
        self.disabled: set[str] = set()
        self.wrong: list[Callable[[Call], Answer | None]] = []
        self.registered: list[x509.Certificate] = []
        self.assertions: list[str] = []
        self.now: Callable[[], float] = time.time
        self.lets_in: Callable[[str], bool] = f"Bearer {VAULT_TOKEN}".__eq__

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def create(self, name: str = "app", *, exportable: bool = False) -> Version:
        """Add a version, and register it with the application."""
        versions = self.versions.setdefault(name, [])
        made = issue(name, len(versions) + 1, exportable=exportable)
        versions.append(made)
        self.registered.append(made.certificate)
        return made

    def key_id(self, version: Version, base: str | None = None) -> str:
        return f"{base or self.url}/keys/{version.name}/{version.version}"

    def base(self, call: Call) -> str:
        """Where whoever called thinks that this is; see the tests' ``Detour``."""
        return (
            f"https://{call.headers['x-asked-host']}"
            if "x-asked-host" in call.headers
            else self.url
        )

    def legs(self) -> list[str]:
        """What came, in a word each, without what msal asks of the login service beforehand."""
        names = [
            "sign" if call.path.endswith("/sign") else call.path.split("/")[1]
            for call in self.calls
            if "/v2.0/.well-known" not in call.path
        ]
        return ["token" if name in TENANTS else name for name in names]

    def count(self, leg: str) -> int:
        return self.legs().count(leg)

    def answer(self, call: Call) -> Answer:
        for wrong in self.wrong:
            found = wrong(call)
            if found is not None:
                return found
        path = call.path.strip("/").split("/")
        if path[0] in TENANTS:
            return self._log_in(path[0], call)
        if "api-version" not in parse_qs(call.query):
            return 400, {}, error("BadParameter", "no api-version")
        if not self.lets_in(call.headers.get("authorization", "")):
            return 401, {"WWW-Authenticate": CHALLENGE}, error("Unauthorized", "no token")
        return self._vault(path, call)

    def _vault(self, path: list[str], call: Call) -> Answer:
        permission = "keys/sign" if path[-1] == "sign" else f"{path[0]}/get"
        if permission in self.forbidden:
            reason = self.forbidden[permission]
            return 403, {}, error("Forbidden", f"Action: {permission}", reason)
        newest_last = self.versions.get(path[1], [])
        wanted = path[2] if len(path) > 2 else newest_last[-1].version if newest_last else ""
        found = [one for one in newest_last if one.version == wanted]
        if not found:
            return 404, {}, error("CertificateNotFound", "there is none")
        if path[0] == "certificates":
            return 200, {}, self.describe(found[0], self.base(call))
        if wanted in self.disabled:
            return 403, {}, error("Forbidden", "on a disabled key", "KeyDisabled")
        return 200, {}, self.sign(found[0], json.loads(call.body), self.base(call))

    def describe(self, one: Version, base: str) -> dict[str, Any]:
        return {
            "cer": base64.b64encode(one.der).decode(),
            "kid": self.key_id(one, base),
            "policy": {"key_props": {"kty": "RSA", "exportable": one.exportable}},
        }

    def sign(self, one: Version, wanted: dict[str, str], base: str) -> dict[str, str]:
        kinds = {
            "PS256": padding.PSS(padding.MGF1(hashes.SHA256()), 32),
            "RS256": padding.PKCS1v15(),
        }
        digest = base64.urlsafe_b64decode(wanted["value"] + "=")
        signature = one.key.sign(digest, kinds[wanted["alg"]], utils.Prehashed(hashes.SHA256()))
        return {"kid": self.key_id(one, base), "value": b64url(signature)}

    def _log_in(self, tenant: str, call: Call) -> Answer:
        base = f"{self.base(call)}/{tenant}"
        endpoint = f"{base}/oauth2/v2.0/token"
        if call.method == "GET":
            urls = {"token_endpoint": endpoint, "authorization_endpoint": f"{base}/authorize"}
            return 200, {}, {**urls, "issuer": f"{base}/v2.0"}
        form = {name: values[0] for name, values in parse_qs(call.body.decode()).items()}
        self.assertions.append(form["client_assertion"])
        public = f"https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token"
        try:
            self.check(form["client_assertion"], form["client_id"], [endpoint, public])
        except (jwt.PyJWTError, LookupError) as exc:
            text = f"AADSTS700027: {type(exc).__name__}"
            return 401, {}, {"error": "invalid_client", "error_description": text}
        token = {"access_token": f"token of {tenant}", "token_type": "Bearer", "expires_in": 3600}
        return 200, {}, token

    def check(self, assertion: str, client_id: str, audiences: list[str]) -> dict[str, Any]:
        """Check an assertion as Entra does, and return its claims."""
        header = jwt.get_unverified_header(assertion)
        known = {b64url(one.fingerprint(hashes.SHA256())): one for one in self.registered}
        old = {b64url(one.fingerprint(hashes.SHA1())): one for one in self.registered}
        found = known[header["x5t#S256"]] if "x5t#S256" in header else old[header["x5t"]]
        required = ["aud", "exp", "iat", "iss", "jti", "nbf", "sub"]
        claims: dict[str, Any] = jwt.decode(
            assertion,
            found.public_key(),  # type: ignore[arg-type]  # RSA all
            algorithms=["PS256", "RS256"],
            audience=audiences,
            issuer=client_id,
            options={
                "require": required,
                "verify_exp": False,  # by the clock of the test, below
                "verify_iat": False,
                "verify_nbf": False,
            },
        )
        if not claims["nbf"] - 300 <= self.now() < claims["exp"] + 300:
            raise jwt.ImmatureSignatureError("AADSTS700024: not within its valid time range")
        if claims["exp"] - claims["nbf"] > 600 or claims["sub"] != client_id:
            raise jwt.InvalidTokenError("for too long, or of somebody else")
        return claims

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        cloud = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                path, _, query = self.path.partition("?")
                call = Call(self.command, path, query, headers, body)
                cloud.calls.append(call)
                status, extra, payload = cloud.answer(call)
                if status == HANG_UP:
                    self.close_connection = True
                    return
                data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
                self.send_response(status)
                for name, value in {**extra, "Content-Length": str(len(data))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            do_POST = do_GET  # noqa: N815 - the base class's name

            def log_message(self, *_args: object) -> None:
                pass

        return Handler


def error(code: str, message: str, inner: str | None = None) -> dict[str, Any]:
    body: dict[str, Any] = {"code": code, "message": message}
    if inner:
        body["innererror"] = {"code": inner}
    return {"error": body}
