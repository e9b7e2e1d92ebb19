"""A first token with a key at hand, against the parts of it that nobody can leave out.

The parts are done with bare libraries: one RSA signature for the CSR; the two requests to IMDS over
a new connection; a TLS context with the certificate; the token request over a new connection.
"""

from __future__ import annotations

import base64
import os
import ssl
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import requests
import urllib3
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from msal_msi_v2.protocol.csr import build_csr
from msal_msi_v2.protocol.metadata import ComputeUnit, PlatformMetadata
from msal_msi_v2.software import SoftwareKeyStore

from .hosts import (
    RESOURCE,
    GivenKey,
    acquire,
    emulator_elsewhere,
    make_client,
    make_platform,
)
from .measuring import alternate, conclude, judge_ratio, sampler

if TYPE_CHECKING:
    from collections.abc import Callable

    from msal_msi_v2.platforms import BindingKey

MOST = 1.15
ROUNDS = 150
_PSS = padding.PSS(padding.MGF1(hashes.SHA256()), 32)


class BareParts:
    """The unavoidable parts of an acquisition, without any of the care around them."""

    def __init__(self, key: BindingKey, file: Path) -> None:
        """Prepare all that a given key allows to have ready.

        Args:
            key: The key.
            file: Where to put certificate and key, for ``ssl`` takes them from files only.
        """
        self._file = file
        self._key = key.private_key
        self._pem = key.private_key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        ).decode("ascii")
        self._base = os.environ["AZURE_POD_IDENTITY_AUTHORITY_HOST"]
        with requests.Session() as session:
            host = self._metadata(session)
        unit = ComputeUnit(host["cuId"].get("vmId"), host["cuId"].get("vmssId"))
        metadata = PlatformMetadata(host["clientId"], host["tenantId"], unit, "")
        self._csr = build_csr(self._key, metadata)

    def prepare(self) -> Callable[[], object]:
        """Return one acquisition over a new session."""
        session = requests.Session()
        return lambda: self._acquire(session)

    def _acquire(self, session: requests.Session) -> str:
        self._metadata(session)
        self._key.sign(b"in place of the CSR", _PSS, hashes.SHA256())
        issued = self._issue(session)
        pool = urllib3.PoolManager(ssl_context=self._context(issued["certificate"]))
        answer = pool.request(
            "POST",
            f"{issued['mtls_authentication_endpoint']}/{issued['tenant_id']}/oauth2/v2.0/token",
            body=urlencode(
                {
                    "grant_type": "client_credentials",
                    "client_id": issued["client_id"],
                    "scope": f"{RESOURCE}/.default",
                    "token_type": "mtls_pop",
                }
            ),
            headers={
                "Content-Type": "application/x-www-form-urlencoded",
                "client-request-id": str(uuid.uuid4()),
            },
        )
        token: str = answer.json()["access_token"]
        return token

    def _metadata(self, session: requests.Session) -> Any:
        return self._imds(session, "GET", "getplatformmetadata")

    def _issue(self, session: requests.Session) -> Any:
        return self._imds(session, "POST", "issuecredential", {"csr": self._csr})

    def _imds(self, session: requests.Session, method: str, call: str, body: object = None) -> Any:
        response = session.request(
            method,
            f"{self._base}/metadata/identity/{call}",
            params={"cred-api-version": "2.0"},
            headers={"Metadata": "true", "x-ms-client-request-id": str(uuid.uuid4())},
            json=body,
        )
        return response.json()

    def _context(self, certificate: str) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=os.environ["REQUESTS_CA_BUNDLE"])
        pem = ssl.DER_cert_to_PEM_cert(base64.b64decode(certificate))
        self._file.write_text(pem + self._pem, encoding="ascii")
        context.load_cert_chain(self._file)
        return context


def main() -> bool:
    """Compare; return whether the target is met."""
    key = SoftwareKeyStore().get_key()

    def prepare() -> Callable[[], object]:
        client = make_client(make_platform(GivenKey(key)))
        return lambda: acquire(client)

    with emulator_elsewhere(), tempfile.TemporaryDirectory() as directory:
        bare = BareParts(key, Path(directory) / "certificate.pem")
        ours, peer = alternate(sampler(prepare), sampler(bare.prepare), rounds=ROUNDS)
    return judge_ratio("cold acquisition", ours, peer, "its unavoidable parts", MOST)


if __name__ == "__main__":
    conclude(main())
