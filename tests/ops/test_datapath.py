"""The ways to the gateways as a run tries them: real servers behind the addresses that the clusters tell."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from istio_mc.domain.istio.services import Meshed, Services
from istio_mc.domain.traffic.data_path import DataPath, Outcome, accepted
from istio_mc.ops.verify.data_path import trace_gateways
from istio_mc.ops.verify.snapshot import MeshSnapshot
from tests.support.sessions import session_of
from tests.support.tls_peer import Peer, Sidecar, listening
from tests.support.world import CLUSTERS, MESH, World, authority, ca_certs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


REVIEWS = Meshed("sample", "reviews", 9080, http=True)
LOCAL = Meshed("apps", "local", 8080, http=True)


class Gateways:
    """A sidecar behind the gateway of each cluster, on this machine."""

    def __init__(self, folder: Path, world: World) -> None:
        self.world = world
        self.services = {context: Services(meshed=(REVIEWS,)) for context in CLUSTERS}
        self.peers: dict[str, Peer] = {}
        self._folder = folder
        self._open = ExitStack()

    def stand(self, context: str, *issuers: str) -> None:
        """A gateway for a cluster, behind which workloads of these clusters answer in turn."""
        cas = tuple(authority(issuer) for issuer in issuers or (context,))
        self.peers[context] = self._open.enter_context(listening(Sidecar(self._folder, cas, cas[0])))
        service = self.world.find(context, "Service", "istio-ingressgateway")
        service["spec"]["externalIPs"] = ["127.0.0.1"]
        label = {"networking.istio.io/gatewayPort": str(self.peers[context].port)}
        service["metadata"]["labels"] = label

    def trace_gateways(self) -> dict[str, DataPath]:
        facts = self.world.facts()
        with session_of() as session:
            snapshot = MeshSnapshot(
                session, MESH, CLUSTERS, facts.observed, None, {}, lambda _: [], lambda _: []
            )
            found, failures = trace_gateways(snapshot, self.services)
            left = list(session.run.folder.iterdir())
        assert (failures, left) == ({}, [])
        return found

    def close(self) -> None:
        self._open.close()


@pytest.fixture
def gateways(tmp_path: Path) -> Iterator[Gateways]:
    found = Gateways(tmp_path, World())
    for context in CLUSTERS:
        found.stand(context)
    yield found
    found.close()


def test_each_gateway_is_answered_by_its_own_cluster(gateways: Gateways) -> None:
    found = gateways.trace_gateways()
    assert {name: [one.outcome for one in way.shown] for name, way in found.items()} == {
        context: [Outcome.OK] for context in CLUSTERS
    }


def test_each_is_called_with_a_certificate_of_another_cluster(gateways: Gateways) -> None:
    found = gateways.trace_gateways()
    assert {name: [trace.issuer for trace in way.traces] for name, way in found.items()} == {
        "kt": ["ncloud"],
        "ncloud": ["nhn"],
        "nhn": ["kt"],
    }


def test_the_calls_are_answered(gateways: Gateways) -> None:
    found = gateways.trace_gateways()
    assert {accepted(trace).outcome for way in found.values() for trace in way.traces} == {Outcome.OK}


def test_a_gateway_that_forwards_to_another_cluster_now_and_then_is_found_out(gateways: Gateways) -> None:
    gateways.stand("kt", "kt", "kt", "nhn")
    (judged,) = gateways.trace_gateways()["kt"].shown
    assert (judged.outcome, judged.issuer) == (Outcome.OTHER_CLUSTER, "nhn")


def test_a_service_that_other_clusters_also_have_is_called_first(gateways: Gateways) -> None:
    gateways.services["kt"] = Services(meshed=(LOCAL, REVIEWS))
    gateways.trace_gateways()
    assert set(gateways.peers["kt"].names) == {REVIEWS.sni}


def test_a_ca_under_another_root_does_not_call(gateways: Gateways) -> None:
    gateways.world.find("ncloud", "Secret", "cacerts")["data"] = ca_certs("ncloud", "other").secret_data()
    assert [trace.issuer for trace in gateways.trace_gateways()["kt"].traces] == ["nhn"]


def test_a_ca_that_cannot_sign_does_not_call(gateways: Gateways) -> None:
    data = gateways.world.find("ncloud", "Secret", "cacerts")["data"]
    data["ca-key.pem"] = ca_certs("nhn").secret_data()["ca-key.pem"]
    assert [trace.issuer for trace in gateways.trace_gateways()["kt"].traces] == ["nhn"]


def test_a_cluster_alone_calls_itself(gateways: Gateways) -> None:
    for context in ("ncloud", "nhn"):
        gateways.world.silence(context)
    assert [trace.issuer for trace in gateways.trace_gateways()["kt"].traces] == ["kt"]


def test_without_cacerts_no_call_is_made(gateways: Gateways) -> None:
    gateways.world.remove("kt", "Secret", "cacerts")
    (trace,) = gateways.trace_gateways()["kt"].traces
    assert accepted(trace).outcome is Outcome.NO_KEY


def test_a_gateway_without_an_address_is_not_probed(gateways: Gateways) -> None:
    gateways.world.find("kt", "Service", "istio-ingressgateway")["spec"]["externalIPs"] = []
    assert gateways.trace_gateways()["kt"].traces == ()


def test_where_services_could_not_be_read_the_rest_of_the_path_is_probed(gateways: Gateways) -> None:
    del gateways.services["kt"]
    (trace,) = gateways.trace_gateways()["kt"].traces
    assert trace.mesh
    assert (trace.mesh.outcome, trace.handshakes) == (Outcome.OK, ())
