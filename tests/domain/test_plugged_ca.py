"""Which revocation lists istiod starts with, as Istio 1.31.0 judges them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from istio_mc.domain.istio.istiod import crl_fault, reads_crl
from tests.support.world import authority, ca_certs, istiod_deployment, root

if TYPE_CHECKING:
    from istio_mc.domain.pki.certificates import Authority

NOW = datetime.now(UTC)
FILES = ca_certs("nhn").files()
CHAIN = "nhn-nks.intermediate.istio.io"


def revocations(*issuers: Authority) -> bytes:
    return b"".join(
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(NOW)
        .next_update(NOW + timedelta(days=1))
        .sign(issuer.key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
        for issuer in issuers
    )


def fault(lists: bytes) -> str:
    return crl_fault({**FILES, "ca-crl.pem": lists})


def test_none_are_needed() -> None:
    assert crl_fault(FILES) == fault(b"") == ""


def test_each_certificate_of_the_chain_needs_one() -> None:
    assert fault(revocations(root(), authority("nhn"))) == ""
    assert fault(revocations(root())) == f"ca-crl.pem contains no revocation list signed by {CHAIN}"
    assert fault(revocations(authority("kt"))).endswith(f"signed by {CHAIN}, root.istio.io")


def test_a_chain_that_is_to_come_counts_instead() -> None:
    contents = {**FILES, "ca-crl.pem": revocations(root(), authority("nhn"))}
    assert crl_fault(contents, ca_certs("kt").cert_chain).endswith("signed by kt-k2p.intermediate.istio.io")


def test_what_is_no_list_is_a_fault() -> None:
    assert fault(b"nothing").endswith(f"signed by {CHAIN}, root.istio.io")
    assert fault(ca_certs("kt").root_cert) == "ca-crl.pem contains a block that is not a revocation list"


def test_beside_the_layout_of_cert_manager_they_are_not_read() -> None:
    assert crl_fault({**FILES, "tls.crt": b"", "ca-crl.pem": b"nothing"}) == ""


@pytest.mark.parametrize(
    ("tag", "switch", "reads"),
    [("1.26.8", None, False), ("1.27.0", None, True), ("ours", None, True), ("1.31.0", "false", False)],
)
def test_who_reads_them(tag: str, switch: str | None, reads: bool) -> None:  # noqa: FBT001 - a row
    istiod = istiod_deployment("nhn", tag)
    if switch:
        (container,) = istiod["spec"]["template"]["spec"]["containers"]
        container["env"].append({"name": "PILOT_ENABLE_CA_CRL", "value": switch})
    assert reads_crl([istiod]) is reads
