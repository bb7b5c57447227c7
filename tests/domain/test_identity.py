"""The certificate that a call from outside the clusters shows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from istio_mc.domain.pki.pem import issued_by
from istio_mc.domain.pki.workload import client_identity, trust_domain_of
from tests.support.tls_peer import ca, root, workload

ISSUER = ca("kt")  # before NOW: nothing that it signs is valid earlier than it is itself
NOW = datetime.now(UTC)


@pytest.fixture
def leaf() -> x509.Certificate:
    return x509.load_pem_x509_certificates(client_identity(ISSUER, "mesh.example", NOW).chain)[0]


def test_it_is_valid_for_five_minutes(leaf: x509.Certificate) -> None:
    assert timedelta(minutes=4) < leaf.not_valid_after_utc - NOW <= timedelta(minutes=5)


def test_a_clock_that_is_slightly_slow_accepts_the_certificate_too(leaf: x509.Certificate) -> None:
    assert leaf.not_valid_before_utc < NOW - timedelta(minutes=4)


def test_it_is_for_calling_only_and_signs_nothing(leaf: x509.Certificate) -> None:
    usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    constraints = leaf.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (list(usages), constraints.ca) == ([ExtendedKeyUsageOID.CLIENT_AUTH], False)


def test_its_only_name_is_a_spiffe_uri_of_the_trust_domain(leaf: x509.Certificate) -> None:
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uri = x509.UniformResourceIdentifier("spiffe://mesh.example/ns/istio-system/sa/istio-mc-verify")
    assert list(names) == [uri]


def test_it_comes_with_the_ca_above_it_and_without_the_root() -> None:
    chain = x509.load_pem_x509_certificates(client_identity(ISSUER, "cluster.local", NOW).chain)
    assert issued_by(chain[0], ca("kt").certificate)
    assert chain[1:] == [ca("kt").certificate]
    assert root().certificate not in chain


def test_its_key_is_its_own(leaf: x509.Certificate) -> None:
    made = client_identity(ISSUER, "cluster.local", NOW)
    key = load_pem_private_key(made.key, None)
    assert key.public_key() == x509.load_pem_x509_certificates(made.chain)[0].public_key()
    assert key.public_key() != leaf.public_key()


def test_its_key_is_in_no_repr() -> None:
    assert "PRIVATE" not in repr(client_identity(ISSUER, "cluster.local", NOW))


def test_the_trust_domain_is_read_from_the_workloads_certificate() -> None:
    shown = x509.load_pem_x509_certificates(workload(ISSUER, trust_domain="mesh.example"))[0]
    assert trust_domain_of(shown) == "mesh.example"


def test_a_certificate_without_one_is_of_istios_default() -> None:
    assert trust_domain_of(ca("kt").certificate) == "cluster.local"
