"""What ``AttestationClientLib.dll`` means by the numbers that it returns.

The numbers are those of MSAL .NET's ``AttestationResultErrorCode``.
"""

from __future__ import annotations

_MEANINGS = {
    -1: "libcurl did not initialise",
    -2: "the service's response could not be parsed",
    -3: "no managed identity token was found for the attestation service",
    -4: "the attestation service did not answer within the allowed retries",
    -5: "the request to the attestation service failed; check network, firewall and proxy",
    -6: "the attestation service rejected the evidence; check Secure Boot, vTPM and VBS",
    -7: "the request could not be sent; check name resolution, TLS and network",
    -8: "an argument is invalid",
    -9: "the attestation parameters did not validate",
    -10: "out of memory",
    -11: "the version of the operating system could not be read",
    -12: "the TPM failed internally",
    -13: "a TPM operation failed",
    -14: "the JWT from the service could not be decrypted",
    -15: "the JWT from the service could not be decrypted, because of the TPM",
    -16: "the JSON from the service is invalid or incomplete",
    -17: "the VCEK certificate is empty",
    -18: "the service's response is empty",
    -19: "the request body is empty",
    -20: "the HCL report could not be parsed",
    -21: "the HCL report is empty",
    -22: "the JWK could not be taken from the evidence",
    -23: "the JWK could not be made an RSA public key",
    -24: "encryption to the service's key did not initialise",
    -25: "encryption to the service's key failed",
    -26: "data could not be decrypted, because of the TPM",
    -27: "the DNS name of the attestation service could not be parsed",
    -28: "the attestation response could not be parsed",
    -29: "the certificate of the attestation key was not provisioned; check that tpmtool "
    "getdeviceinformation says that the TPM is capable of attestation",
    -30: "the native client did not initialise",
    -31: "the service returned an empty JWT",
    -32: "the KeyGuard report could not be made; is this a KeyGuard key?",
    -33: "the public key could not be taken from the key",
    -34: "the native library met an unexpected exception",
    -35: "the native logger did not initialise",
}
_PASSING = {-4, -5, -7}


def meaning(code: int) -> str:
    """Return what a code means, in words for an operator."""
    return _MEANINGS.get(code, "a code that this version does not know")


def is_passing(code: int) -> bool:
    """Whether the same call may succeed later: the network failed, nothing else."""
    return code in _PASSING
