"""Who trusts whom: the fewest clusters that stand apart are named."""

from __future__ import annotations

from dataclasses import replace

import pytest

from istio_mc.domain.pki.pem import dump_certificates
from istio_mc.domain.pki.signing import Signing, most_trust, signing, untrusted_members
from tests.support.world import ca_certs, root

ROOTS = {"A": "mesh", "B": "other", "C": "third"}


def member(roots: str) -> Signing:
    """A cluster's trusted roots and the one it signs under: `AB:A`."""
    trusted, _, signer = roots.partition(":")
    bundle = dump_certificates([root(ROOTS[one]).certificate for one in trusted])
    return signing(replace(ca_certs("kt", ROOTS[signer]), root_cert=bundle))


@pytest.mark.parametrize(
    ("mesh", "outside"),
    [
        ({"kt": "A:A"}, []),
        ({"kt": "A:A", "ncloud": "A:A", "nhn": "A:A"}, []),
        ({"kt": "AB:B", "ncloud": "AB:A", "nhn": "AB:A"}, []),
        ({"kt": "A:A", "ncloud": "A:A", "nhn": "B:B"}, ["nhn"]),
        ({"kt": "B:B", "ncloud": "A:A", "nhn": "A:A"}, ["kt"]),
        ({"kt": "A:A", "nhn": "B:B"}, ["nhn"]),
        ({"kt": "A:A", "ncloud": "B:B", "nhn": "C:C"}, ["ncloud", "nhn"]),
        ({"kt": "AB:B", "ncloud": "AB:A", "nhn": "A:A"}, ["nhn"]),
        ({"kt": "B:B", "ncloud": "B:B", "nhn": "AB:A"}, ["nhn"]),
    ],
    ids=str,
)
def test_the_fewest_are_outside(mesh: dict[str, str], outside: list[str]) -> None:
    assert list(untrusted_members({name: member(roots) for name, roots in mesh.items()})) == outside


def test_the_faulty_side_is_reported() -> None:
    found = untrusted_members({"kt": member("AB:B"), "ncloud": member("AB:A"), "nhn": member("A:A")})
    assert found == {"nhn": ()}
    found = untrusted_members({"kt": member("A:A"), "ncloud": member("A:A"), "nhn": member("AB:B")})
    assert found == {"nhn": ("kt", "ncloud")}


def test_a_ca_without_a_chain_to_its_root_has_no_root() -> None:
    found = signing(replace(ca_certs("kt"), root_cert=ca_certs("kt", "other").root_cert))
    assert (found.path, found.root) == ((), "")


@pytest.mark.parametrize(("others", "most"), [(["A:A"], True), ([], False)])
def test_the_meshs_root_is_decided_by_more_than_half(others: list[str], most: bool) -> None:  # noqa: FBT001
    members = {str(place): member(roots) for place, roots in enumerate(["A:A", *others, "B:B"])}
    assert most_trust(members, untrusted_members(members)) is most
