"""The checks of the data path, on a mesh that works but for one thing on the way to kt's gateway."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from istio_mc.checks import data_path
from istio_mc.checks.catalogue import ALL
from istio_mc.checks.model import Verdict
from istio_mc.checks.runner import run
from istio_mc.domain.hint import Advice
from istio_mc.domain.traffic.data_path import Answer, DataPath, Health, Judged, Outcome, Reach, Trace
from tests.support.world import World, ca_certs, encoded, way

if TYPE_CHECKING:
    from istio_mc.checks.model import Result

OF_KT = [check.id for check in data_path.CHECKS]


@pytest.fixture
def world() -> World:
    return World()


def spoil(world: World, shown: Judged | None = None, **changes: Any) -> None:
    """Changes the one way to kt."""
    (trace,), judged = world.ways["kt"].traces, world.ways["kt"].shown
    world.ways["kt"] = DataPath((replace(trace, **changes),), (shown,) if shown else judged)


def of_kt(world: World) -> dict[str, Result]:
    found = run(ALL, world.facts())
    return {r.check.id: r for r in found if r.target.cluster == "kt" and r.check.id in OF_KT}


def verdicts(world: World) -> list[str]:
    return [result.verdict.value for result in of_kt(world).values()]


def root_causes(world: World) -> list[str]:
    return [f"{r.check.id} {r.target}" for r in run(ALL, world.facts()) if r.is_root_cause]


def closed(port: int, outcome: Outcome = Outcome.TIMED_OUT) -> Reach:
    return Reach(port, outcome, "no route to host")


def test_a_working_path_is_reported_stage_by_stage(world: World) -> None:
    assert [result.seen for result in of_kt(world).values()] == [
        "198.18.0.21",
        "198.18.0.21: TCP to 15443",
        "198.18.0.21: ready",
        "198.18.0.21: reviews.sample:9080, certificate issued by kt-k2p.intermediate.istio.io",
        "198.18.0.21: a certificate of ncloud's CA accepted: HTTP status 404 from reviews.sample:9080",
    ]


def test_a_sample_clears_what_is_unknown_without_a_workload(world: World) -> None:
    spoil(world, Judged(Outcome.NOTHING_MESHED, "no pod with a sidecar yet"), handshakes=(), answer=None)
    assert str(of_kt(world)["data-path.handshake"].clears) == "istio-mc sample deploy"


def test_no_command_clears_what_is_unknown_from_here(world: World) -> None:
    spoil(world, UNKNOWN)
    assert of_kt(world)["data-path.handshake"].clears is None


def test_a_name_that_does_not_resolve_is_the_one_root_cause(world: World) -> None:
    world.ways["kt"] = DataPath((Trace("gw.kt", unresolved="Name or service not known"),), (UNKNOWN,))
    assert verdicts(world) == ["failed", "unknown", "unknown", "unknown", "unknown"]
    assert root_causes(world) == ["data-path.resolves kt"]


UNKNOWN = Judged(Outcome.UNKNOWN, "unknown: not reached")


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (Outcome.REFUSED, "gateway-refused"),
        (Outcome.TIMED_OUT, "gateway-timed-out"),
        (Outcome.UNREACHABLE, "gateway-unreachable"),
    ],
)
def test_a_port_that_is_not_reached_is_the_one_root_cause(world: World, outcome: Outcome, code: str) -> None:
    spoil(world, UNKNOWN, mesh=closed(15443, outcome), handshakes=(), answer=None)
    problem = of_kt(world)["data-path.reachable"].problem
    assert problem
    assert (problem.code, root_causes(world)) == (code, ["data-path.reachable kt"])


def test_a_firewall_on_the_mesh_port_alone_is_named(world: World) -> None:
    spoil(world, UNKNOWN, mesh=closed(15443), handshakes=(), answer=None)
    problem = of_kt(world)["data-path.reachable"].problem
    assert problem
    assert problem.seen == ("198.18.0.21: 15443 times out; 15021 responds: a firewall drops 15443")
    assert isinstance(problem.hint, Advice)


def test_a_ready_gateway_with_an_unreachable_mesh_port_is_reported_as_ready(world: World) -> None:
    spoil(world, UNKNOWN, mesh=closed(15443), handshakes=(), answer=None)
    assert verdicts(world) == ["ok", "failed", "ok", "unknown", "unknown"]


def test_a_service_without_the_port_explains_the_refusal(world: World) -> None:
    spoil(world, UNKNOWN, mesh=closed(15443, Outcome.REFUSED), handshakes=(), answer=None)
    world.find("kt", "Service", "istio-ingressgateway")["spec"]["ports"] = [{"port": 15021}]
    assert root_causes(world) == ["gateway.ports kt"]


def test_a_gateway_resource_that_is_missing_explains_the_refusal(world: World) -> None:
    spoil(world, UNKNOWN, mesh=closed(15443, Outcome.REFUSED), handshakes=(), answer=None)
    world.remove("kt", "Gateway", "cross-network-gateway")
    assert root_causes(world) == ["gateway.exposed kt"]


def test_a_gateway_that_does_not_run_explains_that_it_is_not_ready(world: World) -> None:
    spoil(world, health=Health(503))
    world.find("kt", "Deployment", "istio-ingressgateway")["status"]["availableReplicas"] = 0
    assert root_causes(world) == ["control-plane.gateway kt"]


def test_a_gateway_that_reports_not_ready_is_a_fault(world: World) -> None:
    spoil(world, health=Health(503))
    assert root_causes(world) == ["data-path.ready kt"]


def test_a_private_address_that_is_not_reached_is_no_fault(world: World) -> None:
    spoil(
        world,
        UNKNOWN,
        address="10.0.0.7",
        ip="10.0.0.7",
        mesh=closed(15443),
        status=closed(15021),
        health=None,
        handshakes=(),
        answer=None,
    )
    assert verdicts(world) == ["ok", "unknown", "unknown", "unknown", "unknown"]
    assert root_causes(world) == []


def test_an_unknown_result_has_a_reason_and_no_cause(world: World) -> None:
    spoil(world, Judged(Outcome.NOTHING_MESHED, "no service has a pod"), handshakes=(), answer=None)
    result = of_kt(world)["data-path.handshake"]
    assert (result.seen, result.caused_by) == ("198.18.0.21: no service has a pod", ())


def test_nothing_meshed_to_reach_yet_is_no_fault(world: World) -> None:
    spoil(world, Judged(Outcome.NOTHING_MESHED, "no service has a pod"), handshakes=(), answer=None)
    assert verdicts(world) == ["ok", "ok", "ok", "unknown", "unknown"]
    assert root_causes(world) == []


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (Outcome.CLOSED, "not-passed-through"),
        (Outcome.TIMED_OUT, "gateway-silent"),
        (Outcome.NOT_TLS, "not-a-gateway"),
        (Outcome.OTHER_CLUSTER, "other-cluster-answered"),
        (Outcome.OTHER_ROOT, "foreign-root"),
        (Outcome.NOT_VALID, "certificate-not-valid"),
    ],
)
def test_each_end_of_a_handshake_has_its_own_code(world: World, outcome: Outcome, code: str) -> None:
    spoil(world, Judged(outcome, "seen"), answer=None)
    problem = of_kt(world)["data-path.handshake"].problem
    assert problem
    assert (problem.code, root_causes(world)) == (code, ["data-path.handshake kt"])


def test_a_certificate_of_a_replaced_ca_under_the_same_root_passes(world: World) -> None:
    spoil(world, Judged(Outcome.FORMER_CA, "seen"))
    assert root_causes(world) == []


def test_a_missing_network_view_of_a_gateway_explains_responses_of_another_cluster(
    world: World,
) -> None:
    spoil(world, Judged(Outcome.OTHER_CLUSTER, "that is ncloud", "ncloud"))
    (container,) = world.find("kt", "Deployment", "istio-ingressgateway")["spec"]["template"]["spec"][
        "containers"
    ]
    container["env"] = []
    assert root_causes(world) == ["gateway.network kt"]


def test_an_address_of_another_gateway_is_repaired_manually(world: World) -> None:
    spoil(world, Judged(Outcome.OTHER_CLUSTER, "that is ncloud", "ncloud"))
    problem = of_kt(world)["data-path.handshake"].problem
    assert problem
    assert isinstance(problem.hint, Advice)


def test_a_foreign_root_is_repaired_in_the_cluster_of_the_workload(world: World) -> None:
    spoil(world, Judged(Outcome.OTHER_ROOT, "seen"))
    problem = of_kt(world)["data-path.handshake"].problem
    assert problem
    assert str(problem.hint) == "kubectl --context kt -n sample rollout restart deployment"


def test_roots_that_differ_explain_a_foreign_root(world: World) -> None:
    spoil(world, Judged(Outcome.OTHER_ROOT, "seen"))
    world.find("kt", "Secret", "cacerts")["data"] = ca_certs("kt", "other").secret_data()
    assert root_causes(world) == ["trust.one-root kt"]


def test_without_cacerts_the_responding_cluster_is_unknown(world: World) -> None:
    world.find("kt", "Secret", "cacerts")["data"]["root-cert.pem"] = encoded("none")
    assert of_kt(world)["data-path.handshake"].verdict is Verdict.UNKNOWN


def test_a_call_that_is_refused_is_a_fault(world: World) -> None:
    spoil(world, answer=Answer(Outcome.REJECTED, "the workload rejected it (tlsv1 alert unknown ca)"))
    assert root_causes(world) == ["data-path.accepted kt"]


def test_without_a_key_nothing_is_reported_of_a_call(world: World) -> None:
    spoil(world, answer=None, issuer="")
    assert verdicts(world) == ["ok", "ok", "ok", "ok", "unknown"]


class TestSeveralAddresses:
    @pytest.fixture
    def two(self, world: World) -> World:
        """The second one is dropped by a firewall."""
        (first,), (shown,) = world.ways["kt"].traces, world.ways["kt"].shown
        (second,) = way("kt", ip="203.0.113.7").traces
        second = replace(second, mesh=closed(15443), handshakes=(), answer=None)
        world.ways["kt"] = DataPath((first, second), (shown, UNKNOWN))
        return world

    def test_one_that_is_not_reached_is_a_fault_as_calls_are_spread_over_all(self, two: World) -> None:
        assert root_causes(two) == ["data-path.reachable kt"]

    def test_the_fault_names_that_one_alone(self, two: World) -> None:
        problem = of_kt(two)["data-path.reachable"].problem
        assert problem
        assert (problem.seen or "").startswith("203.0.113.7: ")

    def test_what_is_seen_names_each(self, two: World) -> None:
        seen = of_kt(two)["data-path.ready"].seen
        assert seen == "198.18.0.21: ready; 203.0.113.7: ready"

    def test_an_unknown_result_does_not_hide_a_passed_one(self, two: World) -> None:
        (first, second), shown = two.ways["kt"].traces, two.ways["kt"].shown
        second = replace(second, address="10.0.0.7", ip="10.0.0.7", status=closed(15021))
        two.ways["kt"] = DataPath((first, second), shown)
        assert of_kt(two)["data-path.reachable"].verdict is Verdict.OK
