"""Each check on a mesh that works but for one thing."""

from __future__ import annotations

import base64
import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from istio_mc.checks.catalogue import ALL
from istio_mc.checks.model import Verdict
from istio_mc.checks.runner import run
from istio_mc.domain.hint import Advice
from istio_mc.domain.istio import documents
from istio_mc.domain.kube.objects import Ref
from istio_mc.domain.links.remote_secrets import AccessResult, CertificateFault, Reading
from istio_mc.domain.plan import Drift, Step
from istio_mc.domain.problem import Code, Problem
from tests.support.world import CA, CLUSTERS, IDS, World, encoded, istiod_pod

if TYPE_CHECKING:
    from collections.abc import Callable

    from istio_mc.domain.mesh import Cluster


@pytest.fixture
def world() -> World:
    return World()


def failures(world: World) -> dict[str, Problem]:
    """The problem of each check and target that failed."""
    found = run(ALL, world.facts())
    return {f"{r.check.id} {r.target}": r.problem for r in found if r.verdict is Verdict.FAILED and r.problem}


def failed(world: World) -> list[str]:
    return list(failures(world))


def unknown(world: World) -> list[str]:
    return [f"{r.check.id} {r.target}" for r in run(ALL, world.facts()) if r.verdict is Verdict.UNKNOWN]


def root_causes(world: World, **clusters: Cluster) -> list[str]:
    """Root causes, in order; clusters by context, where they are others than the world's."""
    facts = replace(world.facts(), clusters=CLUSTERS | clusters)
    return [f"{r.check.id} {r.target}" for r in run(ALL, facts) if r.is_root_cause]


class TestAccess:
    def test_a_cluster_that_does_not_answer_is_one_failure_and_a_warning(self, world: World) -> None:
        world.silence("nhn")
        found = failures(world)
        problem = found["access.reachable nhn"]
        assert [*found] == ["access.reachable nhn", "discovery.silent nhn"]
        assert (problem.code, problem.cluster, problem.seen) == (
            "cluster-unreachable",
            "nhn",
            "connection refused",
        )

    def test_a_check_that_needs_it_is_unknown(self, world: World) -> None:
        world.silence("nhn")
        unknowns = unknown(world)
        assert "link.synced kt → nhn" in unknowns
        assert "trust.cacerts nhn" in unknowns
        assert "link.synced kt → ncloud" not in unknowns

    def test_no_cluster_answers(self, world: World) -> None:
        for context in IDS:
            world.silence(context)
        assert {f"access.reachable {context}" for context in IDS} <= set(failed(world))


class TestControlPlane:
    @pytest.mark.parametrize(
        ("name", "check"),
        [("istiod", "control-plane.istiod"), ("istio-ingressgateway", "control-plane.gateway")],
    )
    def test_one_that_is_not_there(self, world: World, name: str, check: str) -> None:
        world.remove("kt", "Deployment", name)
        problem = failures(world)[f"{check} kt"]
        assert problem.seen == "no such Deployment"
        assert str(problem.hint).startswith("istio-mc install --contexts kt,ncloud,nhn")

    def test_one_that_is_not_rolled_out(self, world: World) -> None:
        world.find("kt", "Deployment", "istiod")["status"]["availableReplicas"] = 0
        problem = failures(world)["control-plane.istiod kt"]
        assert problem.seen == "0 of 1 replicas available, 1 updated"
        assert "describe deployment istiod" in str(problem.hint)


class TestNames:
    def test_an_istiod_under_another_id(self, world: World) -> None:
        (container,) = world.find("nhn", "Deployment", "istiod")["spec"]["template"]["spec"]["containers"]
        container["env"] = [{"name": "CLUSTER_ID", "value": "kt-k2p"}]
        assert failures(world)["names.cluster-id nhn"].seen == "CLUSTER_ID=kt-k2p"

    def test_no_network_label_on_the_namespace(self, world: World) -> None:
        del world.find("nhn", "Namespace", "istio-system")["metadata"]["labels"]["topology.istio.io/network"]
        assert failed(world) == ["names.network nhn"]

    def test_two_clusters_that_share_a_network(self, world: World) -> None:
        world.identity_faults = (Problem(code=Code.IDENTITY_SHARED, message="shared", seen="network1"),)
        assert failures(world)["names.identity mesh"].code == Code.IDENTITY_SHARED

    def test_all_contradictions_are_reported(self, world: World) -> None:
        shared = Problem(
            code=Code.IDENTITY_SHARED, message="kt and nhn share it", seen="network1", hint=Advice("a")
        )
        moved = Problem(
            code=Code.IDENTITY_CHANGED, message="ncloud is another", seen="nc (live)", hint=Advice("b")
        )
        world.identity_faults = (shared, moved)
        problem = failures(world)["names.identity mesh"]
        assert (problem.message, problem.seen, str(problem.hint)) == (
            "kt and nhn share it; ncloud is another",
            "network1; nc (live)",
            "a",
        )

    @pytest.mark.parametrize(
        ("shared", "missing", "expected"),
        [
            ({"network": "network1"}, "ncloud-nks", ["link.secret kt → ncloud"]),
            ({"cluster_id": "kt-k2p"}, "ncloud-nks", ["link.secret kt → ncloud"]),
            ({"cluster_id": "kt-k2p"}, "nhn-nks", []),
        ],
        ids=["a network", "IDs of others", "its ID"],
    )
    def test_what_two_clusters_share_explains_a_link_where_it_is_their_id(
        self, world: World, shared: dict[str, Any], missing: str, expected: list[str]
    ) -> None:
        world.identity_faults = (Problem(code=Code.IDENTITY_SHARED, message="shared", seen="x"),)
        world.remove("kt", "Secret", f"istio-remote-secret-{missing}")
        found = root_causes(world, nhn=replace(CLUSTERS["nhn"], **shared))
        assert [one for one in found if one.startswith("link.secret kt")] == expected
        assert "names.identity mesh" in found

    def test_a_network_that_others_share_explains_no_gateway(self, world: World) -> None:
        world.identity_faults = (Problem(code=Code.IDENTITY_SHARED, message="shared", seen="network1"),)
        del world.find("ncloud", "Service", "istio-ingressgateway")["metadata"]["labels"]
        found = root_causes(world, nhn=replace(CLUSTERS["nhn"], network="network1"))
        assert "gateway.network ncloud" in found
        assert "gateway.network nhn" not in found


class TestGateway:
    def test_an_address_that_is_pending(self, world: World) -> None:
        world.find("kt", "Service", "istio-ingressgateway")["spec"] = {}
        problem = failures(world)["gateway.address kt"]
        assert problem.code == Code.GATEWAY_ADDRESS_PENDING
        assert "address --set kt=" in str(problem.hint)

    def test_no_service(self, world: World) -> None:
        world.remove("kt", "Service", "istio-ingressgateway")
        assert failed(world) == ["gateway.service kt"]

    def test_a_port_is_missing(self, world: World) -> None:
        service = world.find("kt", "Service", "istio-ingressgateway")
        service["spec"]["ports"] = [p for p in service["spec"]["ports"] if p["port"] != 15443]
        assert failed(world) == ["gateway.ports kt"]

    def test_its_network_label_is_missing(self, world: World) -> None:
        world.find("kt", "Service", "istio-ingressgateway")["metadata"]["labels"] = {}
        assert failures(world)["gateway.network kt"].seen == (
            "label topology.istio.io/network of the Service is absent"
        )

    def test_it_also_forwards_to_other_networks(self, world: World) -> None:
        (container,) = world.find("kt", "Deployment", "istio-ingressgateway")["spec"]["template"]["spec"][
            "containers"
        ]
        container["env"] = []
        assert "REQUESTED_NETWORK_VIEW is absent" in (failures(world)["gateway.network kt"].seen or "")

    def test_no_gateway_resource(self, world: World) -> None:
        world.remove("kt", "Gateway", "cross-network-gateway")
        assert failed(world) == ["gateway.exposed kt"]

    def test_a_gateway_resource_that_ends_tls(self, world: World) -> None:
        (server,) = world.find("kt", "Gateway", "cross-network-gateway")["spec"]["servers"]
        server["tls"]["mode"] = "SIMPLE"
        assert "mode is SIMPLE, desired AUTO_PASSTHROUGH" in (
            failures(world)["gateway.exposed kt"].seen or ""
        )


GATEWAY_SERVICE = Ref("", "Service", "istio-system", "istio-ingressgateway")


class TestDrift:
    def test_the_steps_of_an_install_are_reported_with_their_reasons(self, world: World) -> None:
        world.drift["kt"] = Drift((Step("istio", ("Deployment istiod spec.x is 1, wanted 2",)),))
        problem = failures(world)["drift.none kt"]
        assert problem.seen == "istio: Deployment istiod spec.x is 1, wanted 2"

    def test_a_fault_of_another_check_explains_it(self, world: World) -> None:
        world.drift["kt"] = Drift((Step("expose", ("Gateway is missing",)),))
        world.remove("kt", "Gateway", "cross-network-gateway")
        assert root_causes(world) == ["gateway.exposed kt"]

    @pytest.mark.parametrize(
        "step",
        [
            Step("istio", ("it differs",), refs=(Ref("", "ConfigMap", "istio-system", "istio"),)),
            Step("istio", ("it differs",), refs=(GATEWAY_SERVICE,)),
            Step("expose", ("Gateway is missing",)),
            Step("cacerts", ("the certificate ends in 8 days",)),
            Step("gateway-api", ("Gateway API CRDs are missing",)),
        ],
    )
    def test_a_fault_that_has_nothing_to_do_with_it_explains_nothing(self, world: World, step: Step) -> None:
        world.drift["kt"] = Drift((Step("link", ("Secret is missing",)), step))
        world.remove("kt", "Secret", "istio-remote-secret-nhn-nks")
        assert root_causes(world) == ["link.secret kt → nhn", "drift.none kt"]

    def test_each_part_of_what_an_install_would_do_may_have_its_own_explanation(self, world: World) -> None:
        istio = Step("istio", ("it differs",), refs=(GATEWAY_SERVICE,))
        world.drift["kt"] = Drift((istio, Step("link", ("Secret is missing",))))
        world.remove("kt", "Secret", "istio-remote-secret-nhn-nks")
        world.remove("kt", "Service", "istio-ingressgateway")
        assert root_causes(world) == ["gateway.service kt", "link.secret kt → nhn"]

    def test_what_explains_an_object_is_not_taken_from_the_text_of_its_reason(self, world: World) -> None:
        mentions = ("ConfigMap istio-system/istio data.mesh is istio-ingressgateway, wanted b",)
        istio = Step("istio", mentions, refs=(Ref("", "ConfigMap", "istio-system", "istio"),))
        world.drift["kt"] = Drift((istio,))
        world.remove("kt", "Service", "istio-ingressgateway")
        assert root_causes(world) == ["gateway.service kt", "drift.none kt"]

    def test_every_object_that_differs_must_be_explained_though_only_some_are_listed(
        self, world: World
    ) -> None:
        both = (GATEWAY_SERVICE, Ref("", "ConfigMap", "istio-system", "istio"))
        world.drift["kt"] = Drift((Step("istio", ("it differs",), refs=both),))
        world.remove("kt", "Service", "istio-ingressgateway")
        assert root_causes(world) == ["gateway.service kt", "drift.none kt"]

    def test_every_difference_is_counted_and_the_first_six_are_listed(self, world: World) -> None:
        reasons = tuple(f"ConfigMap c{number} is missing" for number in range(13))
        world.drift["kt"] = Drift((Step("istio", reasons),))
        (drift,) = (one for one in run(ALL, world.facts()) if one.check.id == "drift.none" and one.problem)
        assert drift.problem
        assert drift.problem.message == "configuration drift: 13 differences"
        assert str(drift.problem.seen).splitlines()[-1] == "istio: ConfigMap c5 is missing and 7 more"

    def test_a_link_fault_of_no_other_check_is_reported_beside_a_gateway_fault(self, world: World) -> None:
        world.drift["kt"] = Drift((Step("link", ("Secret differs",)),))
        world.remove("kt", "Service", "istio-ingressgateway")
        assert root_causes(world) == ["gateway.service kt", "drift.none kt"]

    def test_versions_too_far_apart_explain_it_where_the_odd_one_runs_alone(self, world: World) -> None:
        world.remove("nhn", "Pod", "istiod-1")
        world.objects["nhn"].append(istiod_pod("1.24.0"))
        istio = Step("istio", ("it differs",), refs=(Ref("", "ConfigMap", "istio-system", "istio"),))
        world.drift |= {name: Drift((istio,)) for name in ("kt", "nhn")}
        assert root_causes(world) == ["versions.apart mesh", "drift.none kt"]

    def test_without_an_istioctl_it_is_unknown(self, world: World) -> None:
        world.drift["kt"] = Drift((), "Istio itself was not compared: no istioctl 1.26.0 is here")
        assert unknown(world) == ["drift.none kt"]

    def test_without_a_mesh_yaml_a_difference_is_unknown_and_names_the_file(self, world: World) -> None:
        world.drift["kt"] = Drift((Step("istio", ("ConfigMap istio differs",)),))
        results = run(ALL, replace(world.facts(), has_settings=False))
        (drift,) = (one for one in results if one.verdict is not Verdict.OK)
        assert (drift.check.id, drift.verdict) == ("drift.none", Verdict.UNKNOWN)
        assert "./mesh.yaml does not exist; pass --config FILE" in drift.seen

    def test_without_a_mesh_yaml_and_without_a_difference_it_passes(self, world: World) -> None:
        results = run(ALL, replace(world.facts(), has_settings=False))
        assert {one.verdict for one in results if one.check.id == "drift.none"} == {Verdict.OK}


class TestVersions:
    def images(self, world: World, **tags: str) -> list[str]:
        for context, tag in tags.items():
            world.remove(context, "Pod", "istiod-1")
            world.objects[context].append(istiod_pod(tag))
        return failed(world)

    def test_two_minors_apart(self, world: World) -> None:
        assert self.images(world, nhn="1.24.6") == ["versions.apart mesh"]

    def test_one_minor_apart_is_an_upgrade(self, world: World) -> None:
        assert self.images(world, nhn="1.25.0-distroless") == []


def reader_token(token: str) -> dict[str, Any]:
    data = {"token": encoded(token), "ca.crt": encoded(CA.decode())}
    return documents.reader_token_secret() | {"data": data}


def change_remote_secret(world: World, edit: Callable[[dict[str, Any]], object]) -> None:
    """Changes the kubeconfig in the remote secret that kt has of nhn."""
    secret = world.find("kt", "Secret", "istio-remote-secret-nhn-nks")
    kubeconfig = yaml.safe_load(base64.b64decode(secret["data"]["nhn-nks"]))
    edit(kubeconfig)
    secret["data"]["nhn-nks"] = encoded(yaml.safe_dump(kubeconfig))


class TestLink:
    def test_a_missing_remote_secret_is_reported_for_its_pair_alone(self, world: World) -> None:
        world.remove("kt", "Secret", "istio-remote-secret-nhn-nks")
        assert failed(world) == ["link.secret kt → nhn"]
        assert {line.partition(" ")[2] for line in unknown(world)} == {"kt → nhn"}

    def test_a_remote_secret_under_another_name(self, world: World) -> None:
        secret = world.find("kt", "Secret", "istio-remote-secret-nhn-nks")
        secret["metadata"]["name"] = "nhn"
        problem = failures(world)["link.named kt → nhn"]
        assert (problem.code, str(problem.hint)) == (
            "remote-secret-misnamed",
            "istio-mc link --prune --yes --contexts kt,ncloud,nhn",
        )

    def test_two_remote_secrets_of_one_cluster(self, world: World) -> None:
        again = copy.deepcopy(world.find("kt", "Secret", "istio-remote-secret-nhn-nks"))
        again["metadata"]["name"] = "another"
        world.objects["kt"].append(again)
        problem = failures(world)["link.unique kt → nhn"]
        assert problem.seen == "istio-remote-secret-nhn-nks, another; istiod uses only one of them"

    def test_a_remote_secret_of_a_cluster_that_left(self, world: World) -> None:
        secret = copy.deepcopy(world.find("kt", "Secret", "istio-remote-secret-nhn-nks"))
        secret["metadata"]["name"] = "istio-remote-secret-gone"
        secret["data"] = {"gone": secret["data"]["nhn-nks"]}
        world.objects["kt"].append(secret)
        assert failed(world) == ["link.members kt"]

    @pytest.mark.parametrize(
        ("text", "seen"),
        [
            ("no: kubeconfig", "it is empty"),
            ("[", "not a kubeconfig"),
        ],
    )
    def test_a_remote_secret_that_istiod_cannot_use(self, world: World, text: str, seen: str) -> None:
        world.find("kt", "Secret", "istio-remote-secret-nhn-nks")["data"]["nhn-nks"] = encoded(text)
        assert seen in (failures(world)["link.usable kt → nhn"].seen or "")

    @pytest.mark.parametrize(
        ("reading", "check"),
        [
            (Reading.UNTRUSTED, "link.trusted"),
            (Reading.STRANGE, "link.api-server"),
            (Reading.UNAUTHENTICATED, "link.token"),
            (Reading.DENIED, "link.rights"),
        ],
    )
    def test_what_came_of_trying_it(self, world: World, reading: Reading, check: str) -> None:
        world.access_results["nhn"] = AccessResult(reading, "as told")
        assert failed(world) == [f"{check} kt → nhn", f"{check} ncloud → nhn"]

    @pytest.mark.parametrize(
        ("result", "check", "flag", "key"),
        [
            (AccessResult(Reading.UNTRUSTED), "link.trusted", "--api-server-ca nhn=FILE", "caFile"),
            (
                AccessResult(Reading.UNTRUSTED, "x", CertificateFault.NAME),
                "link.trusted",
                "--api-server-name nhn=NAME",
                "tlsServerName",
            ),
            (
                AccessResult(Reading.UNAUTHENTICATED),
                "link.token",
                "--api-server nhn=https://ADDRESS",
                "server",
            ),
            (AccessResult(Reading.STRANGE), "link.api-server", "--api-server nhn=https://ADDRESS", "server"),
        ],
    )
    def test_where_link_would_write_the_same_again_the_hint_is_a_flag(
        self, world: World, result: AccessResult, check: str, flag: str, key: str
    ) -> None:
        world.access_results["nhn"] = result
        world.objects["nhn"].append(reader_token("token"))
        hint = str(failures(world)[f"{check} kt → nhn"].hint)
        assert hint.startswith(f"istio-mc link {flag} --contexts kt,ncloud,nhn (")
        assert f"set apiServer.{key} of nhn in mesh.yaml to keep it" in hint

    def test_a_token_that_is_refused_without_a_proxy_in_between_is_made_again(self, world: World) -> None:
        world.access_results["nhn"] = AccessResult(Reading.UNAUTHENTICATED)
        world.objects["nhn"].append(reader_token("token"))
        assert str(failures(world)["link.token kt → nhn"].hint).endswith(
            "; otherwise: kubectl --context nhn -n istio-system delete secret "
            f"{documents.READER_TOKEN_SECRET} and istio-mc link --contexts kt,ncloud,nhn"
        )

    def test_no_remote_secret_is_written_for_a_certificate_that_expired(self, world: World) -> None:
        world.access_results["nhn"] = AccessResult(Reading.UNTRUSTED, "x", CertificateFault.DATES)
        hint = failures(world)["link.trusted kt → nhn"].hint
        assert str(hint) == "renew the certificate of the API server of nhn"

    @pytest.mark.parametrize("reading", [Reading.UNTRUSTED, Reading.UNAUTHENTICATED, Reading.STRANGE])
    def test_where_link_would_write_another_it_is_the_hint(self, world: World, reading: Reading) -> None:
        world.access_results["nhn"] = AccessResult(reading, "x")
        world.objects["nhn"].append(reader_token("another"))
        hints = {str(problem.hint) for problem in failures(world).values()}
        assert hints == {"istio-mc link --contexts kt,ncloud,nhn"}

    def test_one_that_link_would_leave_alone_is_removed_first(self, world: World) -> None:
        def edit(kubeconfig: dict[str, Any]) -> None:
            kubeconfig["users"][0]["user"] = {"username": "me"}

        world.access_results["nhn"] = AccessResult(Reading.UNAUTHENTICATED, "x")
        change_remote_secret(world, edit)
        assert str(failures(world)["link.token kt → nhn"].hint) == (
            "kubectl --context kt -n istio-system delete secret istio-remote-secret-nhn-nks && "
            "istio-mc link --contexts kt,ncloud,nhn"
        )

    def test_credentials_that_only_istiod_has_leave_unknown_what_they_would_show(self, world: World) -> None:
        def edit(kubeconfig: dict[str, Any]) -> None:
            kubeconfig["users"][0]["user"] = {"auth-provider": {"name": "oidc"}}

        world.access_results["nhn"] = AccessResult(Reading.UNTESTED, "its credentials come from OIDC")
        change_remote_secret(world, edit)
        assert "link.token kt → nhn" in unknown(world)
        assert failed(world) == []

    def test_what_istiod_accepts_beside_what_it_refuses_is_what_counts(self, world: World) -> None:
        again = copy.deepcopy(world.find("kt", "Secret", "istio-remote-secret-nhn-nks"))
        again["metadata"]["name"] = "another"
        world.objects["kt"].append(again)
        world.find("kt", "Secret", "istio-remote-secret-nhn-nks")["data"]["nhn-nks"] = encoded("[")
        assert failed(world) == ["link.named kt → nhn", "link.unique kt → nhn"]

    def test_an_address_that_is_not_reached_explains_a_cluster_that_is_not_synced(self, world: World) -> None:
        world.access_results["nhn"] = AccessResult(Reading.UNREACHABLE, "refused")
        world.status("kt", "nhn", "timeout")
        results = run(ALL, world.facts())
        assert [str(cause) for r in results if r.check.id == "link.synced" for cause in r.caused_by] == [
            "link.address kt → nhn"
        ]

    def test_a_server_that_is_no_api_server_is_reported_and_explains_the_failed_sync(
        self, world: World
    ) -> None:
        world.access_results["nhn"] = AccessResult(Reading.STRANGE, "404: page not found")
        world.status("kt", "nhn", "timeout")
        assert "404: page not found" in (failures(world)["link.api-server kt → nhn"].seen or "")
        results = run(ALL, world.facts())
        assert [str(cause) for r in results if r.check.id == "link.synced" for cause in r.caused_by] == [
            "link.api-server kt → nhn"
        ]

    def test_an_address_that_is_not_reached_from_here_and_synced_there_is_only_to_be_known(
        self, world: World
    ) -> None:
        world.access_results["nhn"] = AccessResult(Reading.UNREACHABLE, "no route")
        results = [r for r in run(ALL, world.facts()) if r.verdict is not Verdict.OK]
        assert {(r.check.id, r.is_warning) for r in results} == {("link.address-from-here", True)}

    @pytest.mark.parametrize("status", ["syncing", "timeout", "closed", "absent"])
    def test_a_peer_that_is_not_synced(self, world: World, status: str) -> None:
        world.status("kt", "nhn", status)
        problem = failures(world)["link.synced kt → nhn"]
        assert (problem.cluster, problem.seen) == ("kt", f"istiod-1: {status}")
        only_a_restart_helps = status in {"closed", "absent"}
        assert ("rollout restart deployment" in str(problem.hint)) is only_a_restart_helps

    def test_one_istiod_of_two_that_is_behind(self, world: World) -> None:
        world.status("kt", "ncloud", "synced", "istiod-2")
        world.status("kt", "nhn", "syncing", "istiod-2")
        assert failures(world)["link.synced kt → nhn"].seen == "istiod-2: syncing"

    def test_no_istiod_runs(self, world: World) -> None:
        world.seen["kt"] = {}
        assert failed(world) == ["link.asked kt"]

    def test_an_istiod_that_could_not_be_queried(self, world: World) -> None:
        world.unseen["kt"] = (Problem(code=Code.STREAM_FAILED, message="no stream", seen="403"),)
        del world.seen["kt"]
        problem = failures(world)["link.asked kt"]
        assert (problem.code, problem.cluster) == ("stream-failed", "kt")


def test_every_failure_has_seen_expected_and_fix(world: World) -> None:
    world.silence("nhn")
    world.remove("kt", "Secret", "cacerts")
    world.remove("kt", "Deployment", "istio-ingressgateway")
    world.find("kt", "Service", "istio-ingressgateway")["spec"] = {}
    world.remove("ncloud", "Gateway", "cross-network-gateway")
    world.status("kt", "ncloud", "timeout")
    world.remove("ncloud", "Secret", "istio-remote-secret-kt-k2p")
    found = failures(world)
    del found["access.reachable nhn"]
    assert len(found) == 9
    assert [key for key, p in found.items() if not (p.seen and p.expected and p.hint and p.docs)] == []
