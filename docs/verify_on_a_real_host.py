"""Reports what only a Windows VM with KeyGuard can show; see verify-on-a-real-host.md.

    python verify_on_a_real_host.py [--resource URL] [--with-test-ca]

The report holds no token, no key and no certificate, and names no identity.
"""

from __future__ import annotations

import argparse
import contextlib
import platform as python_platform
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from datetime import datetime, timedelta, timezone
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msal
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from msal_key_attestation import KeyAttestationError, create_platform
from msal_key_attestation._keys import storage
from msal_key_attestation._keys.ncrypt_key import KeyGuardKey, NCryptKey
from msal_key_attestation._native.libs import ffi, ncrypt
from msal_key_attestation._native.status import describe, unsigned
from msal_key_attestation._store.friendly_name import decode
from msal_key_attestation._store.my_store import certificates_in, friendly_name, open_my_store
from msal_key_attestation.certificates import BoundCertificate, key_name_of
from msal_key_attestation.keyguard import KEYGUARD
from msal_key_attestation.winhttp import WinHttpTransport
from msal_msi_v2 import BindingCertificate, ManagedIdentityClient, MtlsBindingStrength
from msal_msi_v2.errors import MsiV2Error, quote
from msal_msi_v2.platforms import Timeout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECONDS = Timeout(connect=10, read=10)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Case(NamedTuple):
    """One server on loopback.

    Attributes:
        label: What it shows.
        tls: The version that it speaks.
        accepts: Whether it accepts our certificate.
        late: Whether it asks for one only after the request.
    """

    label: str
    tls: ssl.TLSVersion
    accepts: bool = True
    late: bool = False


CASES = (
    Case("a client certificate over TLS 1.2", ssl.TLSVersion.TLSv1_2),
    Case("a client certificate over TLS 1.3", ssl.TLSVersion.TLSv1_3),
    Case("one that the server wants late, TLS 1.3", ssl.TLSVersion.TLSv1_3, late=True),
    Case("one that the server refuses, TLS 1.2", ssl.TLSVersion.TLSv1_2, accepts=False),
    Case("one that the server refuses, TLS 1.3", ssl.TLSVersion.TLSv1_3, accepts=False),
)


def main() -> int:
    """Print the report; return 1 if anything in it failed."""
    parser = argparse.ArgumentParser(description="Reports what only a KeyGuard VM can show.")
    parser.add_argument("--resource", default="https://vault.azure.net", help="to get a token for")
    parser.add_argument(
        "--with-test-ca",
        action="store_true",
        help="have the machine trust a CA for some seconds, to try TLS on loopback; needs an admin",
    )
    options = parser.parse_args()
    results = [check("system", describe_system), check("dead key", describe_existing_key)]
    try:
        host = create_platform()
        key = host.key_store.get_key()
    except MsiV2Error as exc:
        print(f"FAILED  key: {quote(str(exc))}")
        return 1
    results += [
        check("key", lambda: [f"{key.strength.name} {key.private_key!r}", *key.unavailable]),
        check("status codes", describe_status_codes),
    ]
    if isinstance(key.private_key, NCryptKey):
        binding = self_signed(key.private_key, key.strength)
        results.append(check("signature", lambda: time_signatures(binding)))
        results.append(check("certificate context", lambda: try_properties(binding)))
        if options.with_test_ca:
            results.append(check("SChannel", lambda: try_schannel(binding)))
    results.append(check("CurrentUser\\My", describe_store))
    results.append(check("token, attested", lambda: acquire(options.resource, attested=True)))
    results.append(check("token, unattested", lambda: acquire(options.resource, attested=False)))
    return 0 if all(results) else 1


def check(name: str, work: Callable[[], list[str]]) -> bool:
    """Print what a check found, or how it failed."""
    try:
        lines = work()
    except Exception as exc:  # noqa: BLE001 - whatever it is, it is what is to be reported
        print(f"FAILED  {name}: {quote(f'{type(exc).__name__}: {exc}')}")
        return False
    print(f"ok      {name}")
    for line in lines:
        print(f"        {line}")
    return True


def describe_system() -> list[str]:
    """Name the versions of everything."""
    packages = ("msal-msi-v2", "msal-key-attestation", "msal", "cryptography", "cffi")
    return [
        f"Python {sys.version}",
        f"Windows {python_platform.version()}",
        ", ".join(f"{name} {version(name)}" for name in packages),
        f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}",
    ]


def describe_existing_key() -> list[str]:
    """Open and use the key as it lies there, before anything repairs it.

    After a reboot this shows what a dead key says.
    """
    lines = []
    try:
        with storage.open_key(KEYGUARD.provider, KEYGUARD.name) as handle:
            lines.append(f"{KEYGUARD.name} opens; isolated: {storage.is_isolated(handle.value)}")
            key = KeyGuardKey(handle, KEYGUARD.name, KEYGUARD.provider)
            key.check_alive()
            lines.append("and signs")
    except KeyAttestationError as exc:
        lines.append(exc.error_description)
    return lines


def describe_status_codes() -> list[str]:
    """Provoke the failures that the package tells apart, with a key of this script's own."""
    name = f"msal-verify-{uuid.uuid4()}"
    lines = [
        f"opening what is not there: {provoke(lambda: storage.open_key(KEYGUARD.provider, name))}"
    ]
    with storage.create_key(KEYGUARD.provider, name, KEYGUARD.flags) as handle:
        again = provoke(lambda: storage.create_key(KEYGUARD.provider, name, KEYGUARD.flags))
        lines.append(f"creating what is there: {again}")
        size = ffi.new("DWORD *")
        for blob in ("RSAPRIVATEBLOB", "RSAFULLPRIVATEBLOB", "PKCS8_PRIVATEKEY"):
            status = ncrypt().NCryptExportKey(handle.value, 0, blob, ffi.NULL, ffi.NULL, 0, size, 0)
            lines.append(f"exporting as {blob}: {describe(unsigned(status))}")
        if ncrypt().NCryptDeleteKey(handle.value, 0) == 0:
            handle.disarm()
    return lines


def provoke(work: Callable[[], Any]) -> str:
    """Return how something fails."""
    try:
        work().close()
    except KeyAttestationError as exc:
        return exc.error_description
    return "it did not fail"


def self_signed(key: NCryptKey, strength: MtlsBindingStrength) -> BindingCertificate:
    """Return a certificate over the key, signed by itself."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "msal verify on a real host")])
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .sign(key, hashes.SHA256())
    )
    return BindingCertificate(certificate.public_bytes(Encoding.DER), key, strength)


def time_signatures(binding: BindingCertificate, count: int = 20) -> list[str]:
    """Sign as a certificate request does."""
    scheme = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    begun = time.perf_counter()
    for _ in range(count):
        binding.private_key.sign(b"data", scheme, hashes.SHA256())
    return [f"PSS, SHA-256: {(time.perf_counter() - begun) / count * 1000:.1f} ms each"]


def try_properties(binding: BindingCertificate) -> list[str]:
    """See which of the two ways to hand over a key's handle Windows accepts."""
    key: Any = binding.private_key
    certificate = BoundCertificate(binding.der, key)
    try:
        return [
            f"property 78 (key handle): {certificate._set_key_handle()}",  # noqa: SLF001 - no other way to see it
            f"property 5 (key context): {certificate._set_key_context()}",  # noqa: SLF001 - the same
            f"property 2 (key name): {key_name_of(certificate._context)}",  # noqa: SLF001 - the same
        ]
    finally:
        certificate.close()


def try_schannel(binding: BindingCertificate) -> list[str]:
    """Present the certificate to servers on loopback, whose CA the machine trusts meanwhile."""
    ca_key, ca = make_ca()
    transport = WinHttpTransport(use_proxy=False)
    try:
        with trusted(ca), tempfile.TemporaryDirectory() as directory:
            pem = make_server_certificate(Path(directory), ca_key, ca)
            return [f"{one.label}: {try_server(transport, binding, pem, one)}" for one in CASES]
    finally:
        transport.close()


def try_server(
    transport: WinHttpTransport,
    binding: BindingCertificate,
    pem: Path,
    case: Case,
) -> str:
    """Do one request, and say what server and client saw of it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    context.minimum_version = context.maximum_version = case.tls
    context.post_handshake_auth = case.late
    context.verify_mode = ssl.CERT_OPTIONAL if case.late else ssl.CERT_REQUIRED
    if case.accepts:
        context.load_verify_locations(cadata=binding.pem)
    seen: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(
            target=serve, args=(listener, context, case.late, seen), daemon=True
        )
        server.start()
        url = f"https://localhost:{listener.getsockname()[1]}/"
        try:
            response = transport.request("GET", url, certificate=binding, timeout=SECONDS)
            client = f"status {response.status}"
            response.close()
        except MsiV2Error as exc:
            client = f"{getattr(exc, 'failure', '')} {quote(exc.error_description)}"
        server.join(timeout=15)
    return f"{client}; server: {', '.join(seen) or 'saw nothing'}"


def serve(listener: socket.socket, context: ssl.SSLContext, late: bool, seen: list[str]) -> None:
    """Serve one request, and note what was seen."""
    try:
        listener.settimeout(10)
        connection = listener.accept()[0]
        connection.settimeout(10)
        with connection, context.wrap_socket(connection, server_side=True) as tls:
            tls.recv(65536)
            if late:
                tls.verify_client_post_handshake()
            tls.sendall(OK)
            if late:
                with contextlib.suppress(OSError):
                    tls.recv(1)  # the certificate comes with what is read next
            seen += [str(tls.version()), f"certificate: {bool(tls.getpeercert())}"]
    except OSError as exc:
        seen.append(quote(str(exc)))


def make_ca() -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
    """Return a CA that ends within the hour."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"msal verify {uuid.uuid4()}")])
    return key, sign_certificate(name, key.public_key(), name, key, is_ca=True)


def make_server_certificate(
    directory: Path, ca_key: rsa.RSAPrivateKey, ca: x509.Certificate
) -> Path:
    """Write a PEM file with the certificate and key of ``localhost``."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    certificate = sign_certificate(name, key.public_key(), ca.subject, ca_key, is_ca=False)
    path = directory / "server.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    return path


def sign_certificate(
    subject: x509.Name,
    public_key: rsa.RSAPublicKey,
    issuer: x509.Name,
    issuer_key: rsa.RSAPrivateKey,
    *,
    is_ca: bool,
) -> x509.Certificate:
    """Return a certificate that ends within the hour."""
    now = datetime.now(timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(minutes=50))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )


@contextlib.contextmanager
def trusted(ca: x509.Certificate) -> Iterator[None]:
    """Have the machine trust a CA for a while."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "ca.cer"
        path.write_bytes(ca.public_bytes(Encoding.DER))
        run("certutil", "-f", "-addstore", "Root", str(path))
        try:
            yield
        finally:
            run("certutil", "-delstore", "Root", f"{ca.serial_number:x}")


def run(*command: str) -> None:
    """Run a program of Windows.

    Raises:
        OSError: It failed.
    """
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0:
        raise OSError(f"{command[0]} {command[1]} failed with {done.returncode:#x}; as an admin?")


def describe_store() -> list[str]:
    """Count the certificates that this library or MSAL .NET has kept, and see how they read."""
    with open_my_store(writable=False) as store, certificates_in(store) as contexts:
        names = [(friendly_name(context), key_name_of(context)) for context in contexts]
    kept = [(decode(name), key) for name, key in names if name.startswith("MSAL|")]
    return [
        f"kept: {len(kept)}, of {len(names)}",
        *(f"readable: {name is not None}, key: {key}" for name, key in kept),
    ]


def acquire(resource: str, *, attested: bool) -> list[str]:
    """Get a bound token for the system-assigned identity."""
    client = ManagedIdentityClient(
        msal.SystemAssignedManagedIdentity(), http_client=requests.Session()
    )
    begun = time.perf_counter()
    result = client.acquire_token_for_client(
        resource=resource,
        mtls_proof_of_possession=True,
        with_attestation_support=attested,
        min_strength=None if attested else MtlsBindingStrength.SOFTWARE,
        force_refresh=True,
    )
    certificate = result["binding_certificate"]
    seconds = time.perf_counter() - begun
    return [
        f"{result['token_type']} from {result['token_source']} after {seconds:.1f} s",
        f"for {result['expires_in']} s, {certificate.strength.name}",
        f"certificate until {certificate.not_after:%Y-%m-%dT%H:%M:%SZ}",
    ]


if __name__ == "__main__":
    sys.exit(main())
