"""What was tried on the way to a gateway, and what it tells."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from istio_mc.domain.istio.services import Meshed
from istio_mc.domain.pki.cacerts import CaCerts
from istio_mc.domain.pki.signing import Signing, signing
from istio_mc.domain.traffic.data_path import (
    Answer,
    Handshake,
    Health,
    Outcome,
    Reach,
    Trace,
    accepted,
    is_clouds_own,
    reached,
    ready,
    resolved,
    shown,
)
from tests.support.tls_peer import ca, workload

PUBLIC, PRIVATE = "203.0.113.7", "10.0.0.7"
REVIEWS = Meshed("sample", "reviews", 9080, http=True)
OPEN = Trace("gw.example", PUBLIC, "", Reach(15443, Outcome.OK), Reach(15021, Outcome.OK), Health(200))


def ports(mesh: Outcome, status: Outcome, ip: str = PUBLIC, *, no_route: bool = False) -> Trace:
    mine = Reach(15443, mesh, "no route to host", no_route=no_route)
    return Trace(ip, ip, "", mine, Reach(15021, status, "no route to host", no_route=no_route))


@cache
def leaf(cluster: str, root_name: str = "mesh") -> bytes:
    found = x509.load_pem_x509_certificates(workload(ca(cluster, root_name)))[0]
    return found.public_bytes(Encoding.DER)


def member(cluster: str, root_name: str = "mesh") -> Signing:
    return signing(CaCerts.from_authority(ca(cluster, root_name)))


MEMBERS = {name: member(name) for name in ("kt", "ncloud", "nhn")}


def showing(*leaves: bytes, unverified: str = "") -> Trace:
    handshakes = (Handshake(REVIEWS, Outcome.OK, "", one, unverified) for one in leaves)
    return replace(OPEN, handshakes=tuple(handshakes))


# The address


def test_an_address_is_shown_with_the_ip_it_resolves_to() -> None:
    assert (OPEN.name, ports(Outcome.OK, Outcome.OK).name) == ("gw.example (203.0.113.7)", PUBLIC)


def test_a_host_name_without_an_address_is_unresolved() -> None:
    found = resolved(Trace("gw.example", unresolved="Name or service not known"))
    assert (found.outcome, found.seen) == (Outcome.UNRESOLVED, "Name or service not known")


@pytest.mark.parametrize(
    "ip", ["10.1.2.3", "172.31.0.1", "192.168.1.1", "100.64.0.1", "169.254.1.1", "fd00::1", "fe80::1"]
)
def test_some_ranges_mean_another_network_in_each_place(ip: str) -> None:
    assert is_clouds_own(ip)


@pytest.mark.parametrize("ip", ["198.18.0.21", "203.0.113.7", "8.8.8.8", "127.0.0.1", "2001:db8::1", "gw.x"])
def test_others_are_the_same_everywhere(ip: str) -> None:
    assert not is_clouds_own(ip)


# TCP


@pytest.mark.parametrize(
    ("mesh", "status", "expected"),
    [
        (Outcome.TIMED_OUT, Outcome.OK, "a firewall drops 15443"),
        (Outcome.TIMED_OUT, Outcome.TIMED_OUT, "a firewall drops both, or the address does not exist"),
        (Outcome.REFUSED, Outcome.OK, "nothing listens on 15443"),
        (Outcome.REFUSED, Outcome.REFUSED, "no gateway listens on it"),
        (Outcome.UNREACHABLE, Outcome.UNREACHABLE, "no route to this address"),
    ],
)
def test_both_ports_together_show_the_obstacle(mesh: Outcome, status: Outcome, expected: str) -> None:
    found = reached(ports(mesh, status))
    assert found.outcome is mesh
    assert expected in found.seen


def test_a_gateway_that_is_reached_on_its_mesh_port_is_reached() -> None:
    assert reached(ports(Outcome.OK, Outcome.TIMED_OUT)).outcome is Outcome.OK


@pytest.mark.parametrize("how", [Outcome.REFUSED, Outcome.TIMED_OUT, Outcome.UNREACHABLE])
def test_an_unreachable_private_address_is_unknown_from_here(how: Outcome) -> None:
    assert reached(ports(how, how, PRIVATE)).outcome is Outcome.UNKNOWN


def test_a_private_address_reachable_on_one_port_is_checked_on_the_other() -> None:
    assert reached(ports(Outcome.TIMED_OUT, Outcome.OK, PRIVATE)).outcome is Outcome.TIMED_OUT


def test_a_machine_without_ipv6_shows_nothing_about_an_ipv6_address() -> None:
    assert reached(ports(Outcome.UNREACHABLE, Outcome.UNREACHABLE, "2001:db8::1", no_route=True)).outcome is (
        Outcome.UNKNOWN
    )


def test_an_ipv6_address_without_a_route_is_unreachable() -> None:
    found = reached(ports(Outcome.UNREACHABLE, Outcome.UNREACHABLE, "2001:db8::1"))
    assert found.outcome is Outcome.UNREACHABLE


# Readiness


@pytest.mark.parametrize(
    ("health", "outcome"),
    [
        (Health(200), Outcome.OK),
        (Health(503), Outcome.NOT_READY),
        (Health(None, "'SSH-2.0'"), Outcome.NOT_READY),
        (None, Outcome.UNKNOWN),
    ],
)
def test_readiness_is_what_the_status_port_answers(health: Health | None, outcome: Outcome) -> None:
    assert ready(replace(OPEN, health=health)).outcome is outcome


# Who answered


def test_a_certificate_of_the_clusters_own_ca_under_the_meshs_root_passes() -> None:
    assert shown(showing(leaf("kt")), "kt", MEMBERS).outcome is Outcome.OK


def test_a_certificate_of_another_clusters_ca_shows_which_cluster_answered() -> None:
    found = shown(showing(leaf("ncloud")), "kt", MEMBERS)
    assert (found.outcome, found.issuer) == (Outcome.OTHER_CLUSTER, "ncloud")


def test_one_answer_of_another_cluster_among_several_is_reported() -> None:
    found = shown(showing(leaf("kt"), leaf("kt"), leaf("nhn")), "kt", MEMBERS)
    assert (found.outcome, found.issuer) == (Outcome.OTHER_CLUSTER, "nhn")


def test_a_certificate_from_outside_the_mesh_is_of_another_root() -> None:
    found = shown(showing(leaf("kt", "other"), unverified="self-signed certificate"), "kt", MEMBERS)
    assert found.outcome is Outcome.OTHER_ROOT
    assert "kt.intermediate.istio.io" in found.seen


def test_a_certificate_under_the_root_by_a_ca_that_no_cluster_has_now_is_of_a_former_one() -> None:
    assert shown(showing(leaf("left")), "kt", MEMBERS).outcome is Outcome.FORMER_CA


def test_a_cluster_with_its_own_root_is_reported_even_if_its_own_ca_responded() -> None:
    members = MEMBERS | {"kt": member("kt", "other")}
    found = shown(showing(leaf("kt", "other")), "kt", members)
    assert found.outcome is Outcome.OTHER_ROOT
    assert "ncloud, nhn" in found.seen


def test_a_different_root_in_one_cluster_is_not_a_fault_of_the_others() -> None:
    members = MEMBERS | {"nhn": member("nhn", "other")}
    assert shown(showing(leaf("kt")), "kt", members).outcome is Outcome.OK


def test_a_ca_without_a_chain_to_its_root_is_not_trusted() -> None:
    files = CaCerts.from_authority(ca("kt"))
    broken = signing(replace(files, root_cert=CaCerts.from_authority(ca("kt", "other")).root_cert))
    assert shown(showing(leaf("kt")), "kt", MEMBERS | {"kt": broken}).outcome is Outcome.OTHER_ROOT


def test_a_certificate_that_is_not_valid_now_is_reported_as_such() -> None:
    found = shown(showing(leaf("kt"), unverified="certificate has expired"), "kt", MEMBERS)
    assert found.outcome is Outcome.NOT_VALID
    assert "certificate has expired" in found.seen


def test_two_clusters_of_one_ca_cannot_be_distinguished_and_have_no_fault() -> None:
    members = {"ncloud": MEMBERS["kt"], "kt": MEMBERS["kt"]}
    assert shown(showing(leaf("kt")), "kt", members).outcome is Outcome.OK


def test_the_handshake_is_not_reported_without_a_service_to_call() -> None:
    found = shown(OPEN, "kt", MEMBERS)
    assert found.outcome is Outcome.NOTHING_MESHED
    assert found.seen == "no service of this cluster has a ready pod with a sidecar"


def test_an_unreachable_gateway_shows_nothing_of_the_handshake() -> None:
    assert shown(ports(Outcome.TIMED_OUT, Outcome.OK), "kt", MEMBERS).outcome is Outcome.UNKNOWN


def test_handshakes_that_are_all_closed_name_the_requested_services() -> None:
    closed = Handshake(REVIEWS, Outcome.CLOSED, "accepted, then closed at the handshake")
    found = shown(replace(OPEN, handshakes=(closed,)), "kt", MEMBERS)
    assert (found.outcome, found.seen) == (
        Outcome.CLOSED,
        "accepted, then closed at the handshake, requested reviews.sample:9080",
    )


# The call


def test_a_call_that_was_answered_is_accepted() -> None:
    called = replace(OPEN, answer=Answer(Outcome.OK, "HTTP status 404"), issuer="ncloud")
    assert accepted(called).outcome is Outcome.OK


def test_a_refused_call_names_the_owner_of_the_certificate() -> None:
    found = accepted(replace(OPEN, answer=Answer(Outcome.REJECTED, "unknown ca"), issuer="ncloud"))
    assert (found.outcome, found.seen) == (Outcome.REJECTED, "a certificate of ncloud's CA: unknown ca")


def test_a_call_without_a_response_in_time_is_unknown_as_a_refusal_comes_at_once() -> None:
    found = accepted(replace(OPEN, answer=Answer(Outcome.TIMED_OUT, "no response in time"), issuer="ncloud"))
    assert found.outcome is Outcome.UNKNOWN
    assert found.seen == (
        "unknown: a certificate of ncloud's CA was not refused, and there was no response in time"
    )


def test_without_a_key_nothing_is_reported_of_calls() -> None:
    assert accepted(OPEN).outcome is Outcome.NO_KEY


def test_calls_are_not_reported_without_a_workload_certificate() -> None:
    assert accepted(replace(OPEN, issuer="ncloud")).outcome is Outcome.UNKNOWN
