"""Each kind of assertion, and msal signing in with it."""

from __future__ import annotations

from typing import Any

import msal
from small_cloud import CLIENT_ID, TENANTS, SmallCloud

from msal_msi_v2.assertions import (
    ClientAssertion,
    KeyVaultCertificateAssertion,
    KeyVaultKeyAssertion,
    SignedAssertion,
)

SCOPES = ["https://graph.microsoft.com/.default"]


def by_certificate(cloud: SmallCloud, options: dict[str, Any], **more: Any) -> ClientAssertion:
    cloud.create()
    return KeyVaultCertificateAssertion(cloud.url, "app", **options, **more)


def by_key(cloud: SmallCloud, options: dict[str, Any], **more: Any) -> ClientAssertion:
    made = cloud.create()
    return KeyVaultKeyAssertion(
        cloud.key_id(made), **options, thumbprint_sha256=made.x5t_s256, **more
    )


def by_known_key(cloud: SmallCloud, options: dict[str, Any], **more: Any) -> ClientAssertion:
    made = cloud.create()
    return KeyVaultKeyAssertion(cloud.key_id(made), **options, certificate=made.der, **more)


def by_own_key(cloud: SmallCloud, options: dict[str, Any], **more: Any) -> ClientAssertion:
    made = cloud.create()
    return SignedAssertion(made.key, made.certificate, clock=options["clock"], **more)


KINDS = [by_certificate, by_key, by_known_key, by_own_key]


def app_of(cloud: SmallCloud, assertion: Any, tenant: str) -> msal.ConfidentialClientApplication:
    return msal.ConfidentialClientApplication(
        CLIENT_ID,
        client_credential={"client_assertion": assertion},
        authority=f"{cloud.url}/{tenant}",
        instance_discovery=False,
        verify=cloud.ca_bundle,
    )


def sign_in(cloud: SmallCloud, assertion: Any, tenant: str = TENANTS[0]) -> dict[str, Any]:
    result: dict[str, Any] = app_of(cloud, assertion, tenant).acquire_token_for_client(SCOPES)
    return result
