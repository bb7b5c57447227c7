"""From here through every gateway to a workload: verify tells where the way ends, and changes nothing."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

import pytest

from lab import faults
from tests.e2e.harness import (
    CLUSTER_IDS,
    CONTEXTS,
    GATEWAY,
    SYSTEM,
    Site,
    changed,
    gone,
    kubectl,
    rolled_out,
    snapshots,
    soon,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.harness import Result

STAGES = [f"data-path.{name}" for name in ("resolves", "reachable", "ready", "handshake", "accepted")]


@pytest.fixture(scope="module")
def sample(mesh: Site) -> Site:
    """The mesh with the sample in it, which gateways know."""
    mesh.run("sample", "deploy").exits(0)
    mesh.run("verify", "--only", "data-path", "--wait", "30s").exits(0)
    return mesh


def asked(site: Site, code: int = 0, *more: str) -> Result:
    return site.run("verify", "--only", "data-path", "-o", "json", *more).exits(code)


def checks(result: Result, context: str) -> dict[str, dict[str, Any]]:
    return {c["id"]: c for c in result.data["checks"] if c["cluster"] == context and c["id"] in STAGES}


def root_causes(result: Result) -> list[tuple[str, str]]:
    return [(cause["id"], cause["cluster"]) for cause in result.data["rootCauses"]]


def problem(result: Result) -> dict[str, Any]:
    (error,) = result.json["errors"]
    return error


def test_each_gateway_leads_to_a_workload_that_its_own_clusters_ca_vouches_for(sample: Site) -> None:
    result = asked(sample)

    for context in CONTEXTS:
        found = checks(result, context)
        assert {c["verdict"] for c in found.values()} == {"ok"}
        assert f"issued by {CLUSTER_IDS[context]}.intermediate.istio.io" in found[STAGES[3]]["seen"]


def test_each_workload_answers_a_call_with_a_certificate_of_another_cluster(sample: Site) -> None:
    result = asked(sample)

    seen = {context: checks(result, context)["data-path.accepted"]["seen"] for context in CONTEXTS}
    for context, other in (("kt", "ncloud"), ("ncloud", "nhn"), ("nhn", "kt")):
        assert f"a certificate of {other}'s CA taken: HTTP status 404" in seen[context]


def test_a_host_name_is_shown_with_what_it_stands_for_here(sample: Site) -> None:
    found = checks(asked(sample), "ncloud")
    assert found["data-path.resolves"]["seen"] == "gw.ncloud.lab.test (198.18.0.22)"


def test_nothing_is_changed_in_any_cluster(sample: Site) -> None:
    before = snapshots()
    asked(sample)
    after = snapshots()
    assert {context: changed(before[context], after[context]) for context in CONTEXTS} == {
        context: set() for context in CONTEXTS
    }


def test_a_cluster_without_a_meshed_service_is_no_fault_but_cannot_be_told(sample: Site) -> None:
    kubectl("kt", "scale", "deployment/reviews-v1", "-n", "sample", "--replicas=0")
    try:
        gone("kt", "pods", "app=reviews", "sample")
        found = checks(asked(sample), "kt")
    finally:
        kubectl("kt", "scale", "deployment/reviews-v1", "-n", "sample", "--replicas=1")
        rolled_out("kt", "deployment/reviews-v1", "sample")
    assert [found[stage]["verdict"] for stage in STAGES] == ["ok", "ok", "ok", "unknown", "unknown"]
    assert "no service of this cluster has a pod with a sidecar yet" in found["data-path.handshake"]["seen"]


@pytest.fixture(scope="module")
def dropped(sample: Site) -> Result:
    """What verify says while a firewall drops 15443 before kt."""
    faults.swallow("kt", 15443)
    try:
        return asked(sample, 4)
    finally:
        faults.unswallow("kt")


class TestFirewall:
    def test_it_is_the_one_root_cause(self, dropped: Result) -> None:
        assert root_causes(dropped) == [("data-path.reachable", "kt")]

    def test_the_port_that_it_drops_is_named(self, dropped: Result) -> None:
        assert problem(dropped)["code"] == "gateway-timed-out"
        assert "15443 gives no answer; 15021 answers: a firewall drops 15443" in problem(dropped)["seen"]

    def test_only_a_person_can_mend_it(self, dropped: Result) -> None:
        assert problem(dropped)["hintType"] == "manual"

    def test_what_lies_behind_it_is_unknown_because_of_it(self, dropped: Result) -> None:
        found = checks(dropped, "kt")
        for stage in ("data-path.handshake", "data-path.accepted"):
            assert found[stage]["verdict"] == "unknown"
            assert [cause["id"] for cause in found[stage]["causedBy"]] == ["data-path.reachable"]

    def test_it_is_told_in_seconds(self, dropped: Result) -> None:
        assert dropped.seconds < 20

    def test_without_it_all_is_well_again(self, sample: Site, dropped: Result) -> None:
        assert dropped
        asked(sample)


class TestGatewayResource:
    def test_one_that_is_missing_is_the_cause_and_the_refusal_is_caused_by_it(self, sample: Site) -> None:
        kubectl("nhn", "delete", "gateways.networking.istio.io", "cross-network-gateway", "-n", SYSTEM)
        found: dict[str, Any] = {}

        def refused() -> bool:
            found["result"] = sample.run("verify", "--only", "gateway,data-path", "-o", "json").exits(4)
            return checks(found["result"], "nhn")["data-path.reachable"]["verdict"] == "failed"

        soon(refused, "nhn's gateway no longer listens on 15443")
        result = found["result"]
        reachable = checks(result, "nhn")["data-path.reachable"]
        assert root_causes(result) == [("gateway.exposed", "nhn")]
        assert reachable["problem"]["code"] == "gateway-refused"
        assert [cause["id"] for cause in reachable["causedBy"]] == ["gateway.exposed"]

        sample.run(*_words(problem(result)["hint"])).exits(0)
        asked(sample, 0, "--wait", "30s")


class TestNetworkView:
    @pytest.fixture
    def forwarding(self, sample: Site) -> Iterator[Site]:
        """kt's gateway told of every network, so that it forwards to the other gateways too."""
        kubectl("kt", "set", "env", GATEWAY, "-n", SYSTEM, "ISTIO_META_REQUESTED_NETWORK_VIEW-")
        rolled_out("kt")
        yield sample
        sample.run("install").exits(0)
        rolled_out("kt")

    def test_a_gateway_that_forwards_is_told_by_who_answers_and_mended_by_an_install(
        self, forwarding: Site
    ) -> None:
        result = forwarding.run("verify", "--only", "gateway,data-path", "-o", "json").exits(4)

        assert root_causes(result) == [("gateway.network", "kt")]
        handshake = checks(result, "kt")["data-path.handshake"]
        assert handshake["problem"]["code"] == "other-cluster-answered"
        assert [cause["id"] for cause in handshake["causedBy"]] == ["gateway.network"]
        assert re.search("that is (ncloud|nhn)", handshake["problem"]["seen"])
        forwarding.run(*_words(problem(result)["hint"])).exits(0)
        rolled_out("kt")
        asked(forwarding, 0, "--wait", "30s")


@pytest.fixture(scope="module")
def two(sample: Site) -> Result:
    """What verify says while nhn's gateway has, beside its own, an address that nobody has."""
    external_ips("nhn", '["198.18.0.99"]')
    try:
        return asked(sample, 4)
    finally:
        external_ips("nhn", "null")


def external_ips(context: str, value: str) -> None:
    patch = f'{{"spec":{{"externalIPs":{value}}}}}'
    kubectl(context, "patch", "service", "istio-ingressgateway", "-n", SYSTEM, "--type=merge", "-p", patch)


class TestAddressOfNobody:
    def test_it_alone_is_named_as_the_fault(self, two: Result) -> None:
        assert root_causes(two) == [("data-path.reachable", "nhn")]
        assert problem(two)["seen"].startswith("198.18.0.99: ")

    def test_what_is_seen_names_each_address(self, two: Result) -> None:
        seen = checks(two, "nhn")["data-path.reachable"]["seen"]
        assert "198.18.0.23: TCP to 15443" in seen
        assert "198.18.0.99: " in seen


def _words(line: str) -> list[str]:
    """The arguments of an istio-mc command that an error gives to paste."""
    program, *arguments = shlex.split(line)
    assert program == "istio-mc"
    return arguments
