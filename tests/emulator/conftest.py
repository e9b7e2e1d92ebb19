"""An independent client of the emulator: written from the protocol, sharing no code with ours."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import ssl
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from msal_msi_v2.emulator import Identity, MsiV2Emulator

CU_ID_OID = x509.ObjectIdentifier("1.3.6.1.4.1.311.90.2.10")
PSS = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
VAULT = "https://vault.azure.net"


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class MiniClient:
    """Speaks the protocol step by step; each step takes what a test wants to have different."""

    def __init__(self, emulator: MsiV2Emulator, key: rsa.RSAPrivateKey, directory: Path) -> None:
        self.emulator = emulator
        self.key = key
        self.directory = directory
        self.identity: Identity = emulator.identities[0]

    def call(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: str | bytes | None = None,
        certificate: bytes | None = None,
    ) -> Answer:
        """One request on a connection of its own."""
        connection = self.connect(url, certificate)
        try:
            return self.send(connection, method, url, headers, body)
        finally:
            connection.close()

    def connect(self, url: str, certificate: bytes | None = None) -> http.client.HTTPConnection:
        parts = urlsplit(url)
        assert parts.hostname is not None
        if parts.scheme == "http":
            return http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
        context = self.context(certificate)
        return http.client.HTTPSConnection(parts.hostname, parts.port, context=context, timeout=10)

    def send(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: str | bytes | None = None,
    ) -> Answer:
        parts = urlsplit(url)
        target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        connection.request(method, target, body, dict(headers or {}))
        response = connection.getresponse()
        answer_headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, answer_headers, response.read())

    def context(self, certificate: bytes | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.emulator.ca_bundle)
        if certificate is not None:
            path = self.directory / f"{uuid.uuid4()}.pem"
            pem = ssl.DER_cert_to_PEM_cert(certificate).encode()
            form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            path.write_bytes(pem + self.key.private_bytes(*form))
            context.load_cert_chain(path)
        return context

    def imds_headers(self, **changes: str | None) -> dict[str, str]:
        """The headers of a v2 call; ``None`` leaves one out."""
        headers = {"Metadata": "true", "x-ms-client-request-id": str(uuid.uuid4()), **changes}
        return {name: value for name, value in headers.items() if value is not None}

    def imds_url(self, endpoint: str, **query: str | None) -> str:
        query = {"cred-api-version": "2.0", **query}
        text = urlencode({name: value for name, value in query.items() if value is not None})
        return f"{self.emulator.imds_url}/metadata/identity/{endpoint}?{text}"

    def metadata(self, **query: str) -> Answer:
        return self.call("GET", self.imds_url("getplatformmetadata", **query), self.imds_headers())

    def csr(self, **changes: Any) -> bytes:
        """The DER of a signing request; see ``build_csr``."""
        return self.build_csr(
            **{
                "key": self.key,
                "subject": [
                    (NameOID.DOMAIN_COMPONENT, self.emulator.tenant_id),
                    (NameOID.COMMON_NAME, self.identity.client_id),
                ],
                "attributes": [(CU_ID_OID, self.compact(self.metadata().json["cuId"]))],
                **changes,
            }
        )

    def issue(self, csr: str | None = None, *, token: str | None = None, **query: str) -> Answer:
        content = {"csr": csr or base64.b64encode(self.csr()).decode()}
        if token is not None:
            content["attestation_token"] = token
        return self.post_credential(content, **query)

    def post_credential(self, content: object, **query: str) -> Answer:
        headers = {**self.imds_headers(), "Content-Type": "application/json"}
        return self.call(
            "POST", self.imds_url("issuecredential", **query), headers, json.dumps(content)
        )

    def certificate(self, **query: str) -> bytes:
        answer = self.issue(**query)
        assert answer.status == 200, answer.body
        return base64.b64decode(answer.json["certificate"])

    def token_answer(
        self,
        certificate: bytes,
        *,
        headers: Mapping[str, str | None] | None = None,
        tenant: str | None = None,
        **changes: str | None,
    ) -> Answer:
        """A token request; a form field or header of ``None`` is left out."""
        form = {
            "grant_type": "client_credentials",
            "client_id": self.identity.client_id,
            "scope": f"{VAULT}/.default",
            "token_type": "mtls_pop",
            **changes,
        }
        sent = {
            "client-request-id": str(uuid.uuid4()),
            "return-client-request-id": "true",
            "Content-Type": "application/x-www-form-urlencoded",
            **(headers or {}),
        }
        return self.call(
            "POST",
            f"{self.emulator.token_url}/{tenant or self.emulator.tenant_id}/oauth2/v2.0/token",
            {name: value for name, value in sent.items() if value is not None},
            urlencode({name: value for name, value in form.items() if value is not None}),
            certificate,
        )

    def token(self, certificate: bytes, **changes: Any) -> str:
        answer = self.token_answer(certificate, **changes)
        assert answer.status == 200, answer.body
        token: str = answer.json["access_token"]
        return token

    def attest(self, url: str | None = None, **changes: Any) -> Answer:
        """An attestation request with a proof; a member of ``None`` is left out."""
        jwk = self.jwk_of(self.key)
        content = {
            "jwk": jwk,
            "client_id": self.identity.client_id,
            "client_payload": "{}",
            "proof": self.prove(self.key, jwk),
            **changes,
        }
        content = {name: value for name, value in content.items() if value is not None}
        return self.call(
            "POST",
            f"{url or self.emulator.attestation_url}/attest/keyguard?api-version=2020-10-01",
            {"Content-Type": "application/json"},
            json.dumps(content),
        )

    def attestation_token(self) -> str:
        token: str = self.attest().json["token"]
        return token

    @staticmethod
    def compact(content: object) -> bytes:
        return json.dumps(content, separators=(",", ":")).encode()

    @staticmethod
    def build_csr(
        *,
        key: Any,
        subject: list[tuple[x509.ObjectIdentifier, str]],
        attributes: list[tuple[x509.ObjectIdentifier, bytes]],
        rsa_padding: Any = PSS,
        algorithm: hashes.SHA256 | hashes.SHA384 | None = None,
        tag: Any = None,
    ) -> bytes:
        name = x509.Name([x509.NameAttribute(oid, value) for oid, value in subject])
        builder = x509.CertificateSigningRequestBuilder().subject_name(name)
        for oid, value in attributes:
            builder = builder.add_attribute(oid, value, _tag=tag)
        is_rsa = isinstance(key, rsa.RSAPrivateKey)
        algorithm = algorithm or hashes.SHA256()
        request = builder.sign(key, algorithm, rsa_padding=rsa_padding if is_rsa else None)
        return request.public_bytes(Encoding.DER)

    @staticmethod
    def jwk_of(key: rsa.RSAPrivateKey) -> dict[str, str]:
        numbers = key.public_key().public_numbers()

        def encode(number: int) -> str:
            data = number.to_bytes((number.bit_length() + 7) // 8, "big")
            return b64url(data)

        return {"kty": "RSA", "n": encode(numbers.n), "e": encode(numbers.e)}

    @staticmethod
    def prove(key: rsa.RSAPrivateKey, jwk: Mapping[str, str], scheme: Any = None) -> str:
        signed = f"{jwk['n']}.{jwk['e']}".encode()
        return b64url(key.sign(signed, scheme or padding.PKCS1v15(), hashes.SHA256()))

    @staticmethod
    def forge(token: str) -> str:
        """Break the signature of a JWT."""
        signed, _, signature = token.rpartition(".")
        return f"{signed}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"

    @staticmethod
    def x5t_s256(certificate: bytes) -> str:
        return b64url(hashlib.sha256(certificate).digest())

    @staticmethod
    def read_claims(token: str) -> dict[str, Any]:
        claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
        return claims


@pytest.fixture(scope="session")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="session")
def other_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture
def emulator(emulator: MsiV2Emulator) -> Iterator[MsiV2Emulator]:
    """The emulator of the whole run; its clock is put right again."""
    yield emulator
    emulator.clock_offset = 0


@pytest.fixture
def client_of(key: rsa.RSAPrivateKey, tmp_path: Path) -> Callable[[MsiV2Emulator], MiniClient]:
    """Make a client of an emulator of one's own."""
    return lambda emulator: MiniClient(emulator, key, tmp_path)


@pytest.fixture
def client(emulator: MsiV2Emulator, client_of: Callable[[MsiV2Emulator], MiniClient]) -> MiniClient:
    return client_of(emulator)
