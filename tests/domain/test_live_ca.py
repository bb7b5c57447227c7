"""A Secret cacerts as it lives: what istiod could not use in it, and which root it stands under."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from istio_mc.domain.istio import documents
from istio_mc.domain.pki.cacerts import CaCerts
from istio_mc.domain.pki.certificates import new_intermediate, new_root
from istio_mc.domain.pki.signing import LiveCa, live_ca
from tests.support.world import EC, ca_certs, root, root_fingerprint

NOW = datetime.now(UTC)


def secret(**keys: bytes | None) -> dict[str, Any]:
    """The Secret of a cluster that works, some keys of it others or missing."""
    found = documents.cacerts(ca_certs("kt").secret_data())
    for name, value in keys.items():
        key = f"{name.replace('_', '-')}.pem"
        if value is None:
            del found["data"][key]
        else:
            found["data"][key] = base64.b64encode(value).decode()
    return found


def codes(found: LiveCa) -> list[str]:
    return [fault.code for fault in found.damage]


def test_one_that_works_has_no_damage() -> None:
    found = live_ca(secret(), NOW)
    assert (found.damage, found.ca, found.root) == ((), ca_certs("kt"), root_fingerprint())


def test_an_incomplete_one_still_shows_its_root() -> None:
    found = live_ca(secret(ca_key=None), NOW)
    assert (codes(found), found.ca, found.root) == (["cacerts-partial"], None, root_fingerprint())


def test_a_ca_without_its_root_file_is_matched_to_a_known_root() -> None:
    found = live_ca(secret(root_cert=None), NOW, (root().certificate,))
    assert found.root == root_fingerprint()


def test_the_root_of_a_ca_is_the_one_its_chain_ends_at_not_the_one_in_its_root_file() -> None:
    other = ca_certs("kt", "other").root_cert
    found = live_ca(secret(root_cert=other), NOW, (root().certificate,))
    assert (codes(found), found.root) == (["chain-broken"], root_fingerprint())


def test_a_secret_without_a_certificate_has_no_root() -> None:
    assert live_ca(documents.cacerts({"ca-cert.pem": "%%", "ca-key.pem": ""}), NOW).root is None


def test_faults_of_the_root_itself_are_not_faults_of_the_secret() -> None:
    begun = NOW - timedelta(days=20)
    ended = new_root(begun, key=EC, validity=timedelta(days=10))
    made = new_intermediate(ended, "kt-k2p", begun, key=EC, validity=timedelta(days=9))
    found = live_ca(documents.cacerts(CaCerts.from_authority(made).secret_data()), NOW)
    assert [fault.message for fault in found.damage] == [
        "the certificate kt-k2p.intermediate.istio.io has expired"
    ]


@pytest.mark.parametrize(
    ("key", "other"),
    [
        (ca_certs("kt").ca_key, False),
        (ca_certs("kt").ca_key + b"\n", False),
        (b"", False),
        (ca_certs("nhn").ca_key, True),
        (b"unreadable", True),
    ],
)
def test_a_key_that_is_not_the_required_one_could_be_lost(key: bytes, other: bool) -> None:  # noqa: FBT001
    assert live_ca(secret(ca_key=key), NOW).holds_another_key(ca_certs("kt")) is other


def test_no_key_is_in_its_repr() -> None:
    assert "PRIVATE" not in repr(live_ca(secret(), NOW))
