"""The way to a gateway, tried against real servers: each stage, and each way it can end."""

from __future__ import annotations

import socket
import stat
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from istio_mc.domain.istio.services import Meshed
from istio_mc.domain.pki.pem import dump_certificates, issued_by
from istio_mc.domain.pki.workload import Identity, client_identity
from istio_mc.domain.traffic.data_path import Outcome, Trace
from istio_mc.gateways.istio import data_path
from istio_mc.gateways.istio.data_path import Caller, Route, trace
from tests.support.fake_api import elapsed, free_port
from tests.support.tls_peer import (
    Peer,
    Sidecar,
    ca,
    closes,
    keeps_silent,
    listening,
    resets,
    root,
    sends,
    workload,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from istio_mc.domain.pki.certificates import Authority

STAGE_S = 0.5
REVIEWS = Meshed("sample", "reviews", 9080, http=True)
RATINGS = Meshed("sample", "ratings", 9080, http=True)
DATABASE = Meshed("sample", "database", 5432)
ROOTS = dump_certificates([root().certificate]).decode()
READY = sends(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")


def try_out(
    mesh: int,
    status: int | None = None,
    *services: Meshed,
    address: str = "127.0.0.1",
    shared: frozenset[Meshed] = frozenset(),
    caller: Caller | None = None,
) -> Trace:
    """The one trace of a gateway that listens on these ports."""
    route = Route((address,), services, shared, ROOTS, mesh, status or free_port())
    (found,) = trace(route, caller, stage_s=STAGE_S)
    return found


@dataclass
class BreaksOnce:
    """Breaks the first connection on which something came, or that one of several at whose turn it is."""

    how: Callable[[Peer, socket.socket], None]
    then: Callable[[Peer, socket.socket], None]
    turn: int = 1
    spoken: int = 0

    def __call__(self, peer: Peer, connection: socket.socket) -> None:
        if connection.recv(1, socket.MSG_PEEK):  # the stage TCP only connects
            self.spoken += 1
            (self.how if self.spoken == self.turn else self.then)(peer, connection)


@pytest.fixture
def sidecar(tmp_path: Path) -> Sidecar:
    """Of a workload in kt."""
    return Sidecar(tmp_path, (ca("kt"),), root())


@pytest.fixture
def caller(tmp_path: Path) -> Callable[[Authority], Caller]:
    def by(issuer: Authority) -> Caller:
        return Caller("ncloud", lambda domain: client_identity(issuer, domain, datetime.now(UTC)), tmp_path)

    return by


# A connection that breaks once


@pytest.mark.parametrize("how", [closes, resets])
def test_a_readiness_probe_that_breaks_once_is_retried_once(
    how: Callable[[Peer, socket.socket], None],
) -> None:
    with listening(BreaksOnce(how, READY)) as peer:
        found = try_out(free_port(), peer.port)
    assert found.health is not None
    assert found.health.status == HTTPStatus.OK


@pytest.mark.parametrize("how", [closes, resets])
def test_a_handshake_that_breaks_once_is_retried_once(
    how: Callable[[Peer, socket.socket], None], sidecar: Sidecar
) -> None:
    with listening(BreaksOnce(how, sidecar)) as peer:
        (handshake,) = try_out(peer.port, None, REVIEWS).handshakes
    assert handshake.leaf


@pytest.mark.parametrize("how", [closes, resets])
def test_a_call_that_breaks_once_is_retried_once(
    how: Callable[[Peer, socket.socket], None], sidecar: Sidecar, caller: Callable[[Authority], Caller]
) -> None:
    with listening(BreaksOnce(how, sidecar, turn=2)) as peer:
        found = try_out(peer.port, None, REVIEWS, caller=caller(ca("ncloud")))
    assert found.answer is not None
    assert found.answer.outcome is Outcome.OK


def test_a_handshake_that_breaks_is_attempted_only_twice() -> None:
    breaks = BreaksOnce(closes, closes)
    with listening(breaks) as peer:
        try_out(peer.port, None, REVIEWS)
    assert breaks.spoken == 2


def test_a_break_at_the_end_of_its_stage_is_not_retried() -> None:
    def breaks_late(_: Peer, connection: socket.socket) -> None:
        time.sleep(STAGE_S - 0.05)
        connection.recv(4096)

    late = BreaksOnce(breaks_late, keeps_silent)
    with listening(late) as peer:
        try_out(peer.port, None, REVIEWS)
    assert late.spoken == 1


def test_a_readiness_endpoint_that_is_late_once_is_retried_once() -> None:
    with listening(BreaksOnce(keeps_silent, READY)) as peer:
        found = try_out(free_port(), peer.port)
    assert found.health is not None
    assert found.health.status == HTTPStatus.OK


def test_a_call_that_is_late_once_is_retried_once(
    sidecar: Sidecar, caller: Callable[[Authority], Caller]
) -> None:
    with listening(BreaksOnce(keeps_silent, sidecar, turn=2)) as peer:
        found = try_out(peer.port, None, REVIEWS, caller=caller(ca("ncloud")))
    assert found.answer is not None
    assert found.answer.outcome is Outcome.OK


# The address


def test_a_name_without_an_address_is_unresolved_and_nothing_else_is_probed() -> None:
    found = try_out(free_port(), None, REVIEWS, address="gw.nowhere.invalid")
    assert (found.ip, found.mesh, found.handshakes) == ("", None, ())
    assert found.unresolved


def test_a_name_is_probed_at_its_resolved_address() -> None:
    found = trace(Route(("localhost",), port=free_port()), stage_s=STAGE_S)
    assert "127.0.0.1" in [one.ip for one in found]
    assert {one.address for one in found} == {"localhost"}


def test_each_address_of_a_gateway_is_probed() -> None:
    found = trace(Route(("127.0.0.1", "127.0.0.2"), port=free_port()), stage_s=STAGE_S)
    assert [one.ip for one in found] == ["127.0.0.1", "127.0.0.2"]


# TCP


def test_a_port_without_a_listener_is_refused() -> None:
    found = try_out(free_port())
    assert found.mesh
    assert found.status
    assert (found.mesh.outcome, found.status.outcome) == (Outcome.REFUSED, Outcome.REFUSED)


def test_packets_that_vanish_are_waited_for_until_the_deadline_and_no_longer() -> None:
    # A listener whose queue is full answers no further SYN: as a firewall that drops.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        waiting = []
        for _ in range(4):
            one = socket.socket()
            one.settimeout(0)
            one.connect_ex(("127.0.0.1", port))
            waiting.append(one)
        time.sleep(0.1)
        begun = time.monotonic()
        found = try_out(port)
        took = elapsed(begun)
        for one in waiting:
            one.close()
    assert found.mesh
    assert found.mesh.outcome is Outcome.TIMED_OUT
    assert took < 3 * STAGE_S


def test_an_address_that_cannot_be_called_is_unreachable() -> None:
    found = try_out(15443, 15021, address="255.255.255.255")
    assert found.mesh
    assert found.mesh.outcome is Outcome.UNREACHABLE
    assert found.mesh.detail


# Readiness


def test_a_ready_gateway_is_reported_over_http() -> None:
    with listening(READY) as status:
        found = try_out(free_port(), status.port)
    assert found.health
    assert found.health.status == 200


def test_a_gateway_that_is_not_ready_is_reported_too() -> None:
    with listening(sends(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")) as status:
        found = try_out(free_port(), status.port)
    assert found.health
    assert found.health.status == 503


@pytest.mark.parametrize("handle", [keeps_silent, closes, resets, sends(b"SSH-2.0-x\r\n")])
def test_a_status_port_that_speaks_no_http_has_no_status(
    handle: Callable[[Peer, socket.socket], None],
) -> None:
    with listening(handle) as status:
        found = try_out(free_port(), status.port)
    assert found.health
    assert found.health.status is None


# The handshake


def test_the_workload_shows_its_certificate_without_any_of_ours(sidecar: Sidecar) -> None:
    with listening(sidecar) as peer:
        (handshake,) = try_out(peer.port, None, REVIEWS).handshakes
    assert handshake.leaf
    assert issued_by(x509.load_der_x509_certificate(handshake.leaf), ca("kt").certificate)
    assert (handshake.unverified, peer.callers) == ("", [])


def test_the_service_is_named_as_gateways_know_it(sidecar: Sidecar) -> None:
    with listening(sidecar) as peer:
        try_out(peer.port, None, REVIEWS)
    assert peer.names == ["outbound_.9080_._.reviews.sample.svc.cluster.local"]


def test_a_certificate_under_another_root_is_read_all_the_same(tmp_path: Path) -> None:
    with listening(Sidecar(tmp_path, (ca("kt", "other"),), root("other"))) as peer:
        (handshake,) = try_out(peer.port, None, REVIEWS).handshakes
    assert handshake.leaf
    assert "self-signed certificate" in handshake.unverified


def test_a_certificate_that_is_not_valid_yet_is_reported(tmp_path: Path) -> None:
    future = workload(ca("kt"), begins=timedelta(hours=2))
    with listening(Sidecar(tmp_path, (ca("kt"),), root(), shown=future)) as peer:
        (handshake,) = try_out(peer.port, None, REVIEWS).handshakes
    assert handshake.leaf
    assert handshake.unverified == "certificate is not yet valid"


@pytest.mark.parametrize("handle", [closes, resets])
def test_a_gateway_that_passes_nothing_through_closes_at_the_handshake(
    handle: Callable[[Peer, socket.socket], None],
) -> None:
    with listening(handle) as peer:
        (handshake,) = try_out(peer.port, None, REVIEWS).handshakes
    assert (handshake.outcome, handshake.leaf) == (Outcome.CLOSED, None)


def test_a_response_without_tls_is_reported() -> None:
    with listening(sends(b"SSH-2.0-OpenSSH_9.2\r\n")) as peer:
        (handshake,) = try_out(peer.port, None, REVIEWS).handshakes
    assert handshake.outcome is Outcome.NOT_TLS


def test_silence_is_not_waited_for_with_every_service() -> None:
    with listening(keeps_silent) as peer:
        found = try_out(peer.port, None, REVIEWS, RATINGS)
    assert [one.outcome for one in found.handshakes] == [Outcome.TIMED_OUT]


def test_a_service_that_is_closed_is_followed_by_the_next(tmp_path: Path) -> None:
    only = Sidecar(tmp_path, (ca("kt"),), root(), only=RATINGS.sni)
    with listening(only) as peer:
        found = try_out(peer.port, None, REVIEWS, RATINGS)
    assert [bool(one.leaf) for one in found.handshakes] == [False, True]


def test_a_service_of_several_clusters_is_called_until_each_would_have_answered(tmp_path: Path) -> None:
    in_turn = Sidecar(tmp_path, (ca("kt"), ca("ncloud"), ca("nhn")), root())
    with listening(in_turn) as peer:
        found = try_out(peer.port, None, REVIEWS, shared=frozenset({REVIEWS}))
    issuers = {
        cluster
        for cluster in ("kt", "ncloud", "nhn")
        for one in found.handshakes
        if issued_by(x509.load_der_x509_certificate(one.leaf or b""), ca(cluster).certificate)
    }
    assert issuers == {"kt", "ncloud", "nhn"}


def test_with_nothing_meshed_no_handshake_is_begun(sidecar: Sidecar) -> None:
    with listening(sidecar) as peer:
        found = try_out(peer.port)
    assert (found.handshakes, peer.names) == ((), [])


# The call


def test_a_certificate_of_the_mesh_is_taken_and_the_request_answered(
    sidecar: Sidecar, caller: Callable[[Authority], Caller]
) -> None:
    with listening(sidecar) as peer:
        found = try_out(peer.port, None, REVIEWS, caller=caller(ca("ncloud")))
    assert found.answer
    assert (found.answer.outcome, found.answer.detail) == (
        Outcome.OK,
        "HTTP status 404 from reviews.sample:9080",
    )
    assert peer.callers == ["spiffe://cluster.local/ns/istio-system/sa/istio-mc-verify"]


def test_a_caller_is_of_the_trust_domain_of_who_is_called(
    tmp_path: Path, caller: Callable[[Authority], Caller]
) -> None:
    shown = workload(ca("kt"), trust_domain="mesh.example")
    with listening(Sidecar(tmp_path, (ca("kt"),), root(), shown=shown)) as peer:
        try_out(peer.port, None, REVIEWS, caller=caller(ca("ncloud")))
    assert peer.callers == ["spiffe://mesh.example/ns/istio-system/sa/istio-mc-verify"]


@pytest.mark.parametrize("service", [REVIEWS, DATABASE])
def test_a_workload_that_trusts_another_root_refuses_it(
    tmp_path: Path, caller: Callable[[Authority], Caller], service: Meshed
) -> None:
    with listening(Sidecar(tmp_path, (ca("kt"),), root("other"))) as peer:
        found = try_out(peer.port, None, service, caller=caller(ca("ncloud")))
    assert found.answer
    assert (found.answer.outcome, found.answer.detail) == (
        Outcome.REJECTED,
        "the workload rejected it (tlsv1 alert unknown ca)",
    )


def test_a_service_that_speaks_no_http_is_sent_nothing(
    sidecar: Sidecar, caller: Callable[[Authority], Caller]
) -> None:
    with listening(sidecar) as peer:
        found = try_out(peer.port, None, DATABASE, caller=caller(ca("ncloud")))
    assert found.answer
    assert (found.answer.outcome, found.answer.detail, peer.heard) == (
        Outcome.OK,
        "database.sample:5432, not HTTP, accepted the connection",
        [b""],
    )


def test_a_workload_that_closes_without_a_response_is_reported(
    tmp_path: Path, caller: Callable[[Authority], Caller]
) -> None:
    with listening(Sidecar(tmp_path, (ca("kt"),), root(), answer=b"")) as peer:
        found = try_out(peer.port, None, REVIEWS, caller=caller(ca("ncloud")))
    assert found.answer
    assert found.answer.outcome is Outcome.CLOSED


def test_the_key_of_a_call_is_in_a_private_file_that_is_removed_afterwards(
    tmp_path: Path, sidecar: Sidecar, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    modes: list[int] = []
    unlink = Path.unlink

    def seen(path: Path, *arguments: bool) -> None:
        modes.append(stat.S_IMODE(path.stat().st_mode))
        unlink(path, *arguments)

    monkeypatch.setattr(Path, "unlink", seen)

    def mint(domain: str) -> Identity:
        return client_identity(ca("ncloud"), domain, datetime.now(UTC))

    with listening(sidecar) as peer:
        try_out(peer.port, None, REVIEWS, caller=Caller("ncloud", mint, private))
    assert (modes, list(private.iterdir())) == ([0o600], [])


def test_the_roots_of_a_mesh_are_read_once_and_no_certificate_is_shown_by_what_is_shared() -> None:
    assert data_path._verifying(ROOTS) is data_path._verifying(ROOTS)
    assert data_path._client("") is not data_path._client("")
