"""Roots in cacerts while they change: what is added, what stays, and what proxies can confuse."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from istio_mc.domain.istio.root_rotation import Phase, Target, desired, is_at, mistaken_for
from istio_mc.domain.pki.cacerts import CaCerts
from istio_mc.domain.pki.certificates import Authority, keyless_root
from istio_mc.domain.pki.pem import dump_certificates, is_root
from istio_mc.domain.pki.signing import signing
from tests.support.world import authority, ca_certs, root

A, B = root("mesh").certificate, root("another").certificate
TARGET = Target(A, keyless_root(A), (B,))
OF_B = ca_certs("nhn", "another")


def bundle(*certificates: x509.Certificate) -> bytes:
    return dump_certificates(certificates)


def with_roots(ca: CaCerts, roots: bytes) -> CaCerts:
    return replace(ca, root_cert=roots)


@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n", b"\r\n"])
def test_roots_are_added_behind_the_bytes_that_are_there(end: bytes) -> None:
    before = bundle(B).rstrip() + end
    after = desired(Phase.TRUST, with_roots(OF_B, before), OF_B, TARGET).root_cert
    assert after.startswith(before)
    assert x509.load_pem_x509_certificates(after) == [B, A]


def test_a_cluster_that_trusts_all_roots_keeps_its_bytes() -> None:
    before = bundle(B, A)
    assert desired(Phase.TRUST, with_roots(OF_B, before), OF_B, TARGET).root_cert == before


@pytest.mark.parametrize(
    "form",
    [bundle(A), bundle(A).replace(b"\n", b"\r\n"), b"Certificate:\n    Data:\n" + bundle(A)],
    ids=["usual", "crlf", "with text"],
)
def test_the_root_that_stays_alone_keeps_its_form(form: bytes) -> None:
    """istiod up to 1.29 refuses roots whose bytes are not part of those that it has."""
    before = form + bundle(B)
    after = desired(Phase.FINISH, with_roots(OF_B, before), ca_certs("nhn"), TARGET).root_cert
    assert after in before
    assert x509.load_pem_x509_certificates(after) == [A]


def test_a_cluster_that_lacks_the_root_of_another_is_in_no_phase() -> None:
    assert not is_at(Phase.TRUST, signing(with_roots(ca_certs("kt"), bundle(A))), TARGET)
    assert is_at(Phase.TRUST, signing(with_roots(ca_certs("kt"), bundle(A, B))), TARGET)


def reissued(*without: type[x509.ExtensionType]) -> x509.Certificate:
    """The CA of nhn under B, issued again without extensions."""
    old = authority("nhn", "another").certificate
    builder = (
        x509.CertificateBuilder()
        .subject_name(old.subject)
        .issuer_name(old.issuer)
        .public_key(old.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(old.not_valid_before_utc)
        .not_valid_after(old.not_valid_after_utc)
    )
    for one in old.extensions:
        if not isinstance(one.value, without):
            builder = builder.add_extension(one.value, one.critical)
    return builder.sign(root("another").key, hashes.SHA256())


def test_roots_of_one_name_are_not_mistaken_where_cas_name_the_key_of_their_issuer() -> None:
    assert A.subject == B.subject
    assert not mistaken_for(signing(OF_B), A)


def test_a_ca_that_does_not_name_the_key_of_its_issuer_has_roots_of_one_name_mistaken() -> None:
    issuer = root("another")
    bare = Authority(reissued(x509.AuthorityKeyIdentifier), authority("nhn", "another").key, issuer.path)
    own = signing(CaCerts.from_authority(bare))
    assert mistaken_for(own, A)
    assert not mistaken_for(own, B)


def test_a_root_without_a_key_is_a_ca_that_no_one_can_sign_with() -> None:
    made = keyless_root(A)
    assert is_root(made)
    assert made.public_key() != A.public_key()
    assert made.not_valid_after_utc == A.not_valid_after_utc
    assert made.subject != A.subject
