"""The IstioOperator document: what the guide's two documents set, in one."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from istio_mc.domain.istio.operator import istio_operator, merged
from istio_mc.domain.mesh import ApiServer, Cluster, Mesh
from istio_mc.gateways.istio.istioctl import find_istioctl

if TYPE_CHECKING:
    from pathlib import Path

MESH = Mesh(mesh_id="mesh1", version="1.26.0")
KT = Cluster("kt", "kt-k2p", "network1", ApiServer("https://kt:6443"))


def spec(mesh: Mesh = MESH, cluster: Cluster = KT) -> dict[str, Any]:
    found: dict[str, Any] = istio_operator(mesh, cluster)["spec"]
    return found


def gateway(cluster: Cluster = KT) -> dict[str, Any]:
    (found,) = spec(cluster=cluster)["components"]["ingressGateways"]
    return dict(found)


class TestOurOwn:
    def test_profile_is_the_guides(self) -> None:
        assert spec()["profile"] == "demo"

    def test_egress_gateway_is_off(self) -> None:
        assert spec()["components"]["egressGateways"] == [{"name": "istio-egressgateway", "enabled": False}]

    def test_identity(self) -> None:
        assert spec()["values"]["global"] == {
            "meshID": "mesh1",
            "network": "network1",
            "multiCluster": {"clusterName": "kt-k2p"},
        }

    def test_mesh_config_is_the_guides_with_multi_root(self) -> None:
        assert spec()["meshConfig"] == {
            "enablePrometheusMerge": True,
            "defaultConfig": {
                "proxyMetadata": {"ISTIO_META_DNS_CAPTURE": "true", "PROXY_CONFIG_XDS_AGENT": "true"}
            },
        }

    def test_istiod_takes_several_roots(self) -> None:
        assert spec()["values"]["pilot"]["env"] == {"ISTIO_MULTIROOT_MESH": "true"}

    def test_probes_are_not_rewritten(self) -> None:
        assert spec()["values"]["sidecarInjectorWebhook"] == {"rewriteAppHTTPProbe": False}

    def test_gateway_keeps_its_hpa(self) -> None:
        assert spec()["values"]["gateways"]["istio-ingressgateway"]["autoscaleEnabled"] is True


class TestGateway:
    def test_name_and_network(self) -> None:
        assert gateway()["name"] == "istio-ingressgateway"
        assert gateway()["label"] == {"topology.istio.io/network": "network1"}

    def test_env_makes_it_pass_through_to_its_own_network(self) -> None:
        assert gateway()["k8s"]["env"] == [
            {"name": "ISTIO_META_REQUESTED_NETWORK_VIEW", "value": "network1"},
            {"name": "ISTIO_META_ROUTER_MODE", "value": "sni-dnat"},
        ]

    def test_ports_are_the_guides(self) -> None:
        ports = gateway()["k8s"]["service"]["ports"]
        assert [(port["name"], port["port"], port["targetPort"]) for port in ports] == [
            ("status-port", 15021, 15021),
            ("http2", 80, 8080),
            ("https", 443, 8443),
            ("tcp", 31400, 31400),
            ("mtls", 15443, 15443),
            ("tcp-istiod", 15012, 15012),
            ("tcp-webhook", 15017, 15017),
        ]

    def test_no_external_ips_where_a_load_balancer_gives_the_address(self) -> None:
        assert "externalIPs" not in gateway()["k8s"]["service"]

    def test_given_addresses_are_external_ips(self) -> None:
        given = replace(KT, gateway_addresses=("198.18.0.21", "198.18.0.22"))
        assert gateway(given)["k8s"]["service"]["externalIPs"] == ["198.18.0.21", "198.18.0.22"]


class TestUsersValues:
    def test_are_laid_over_ours(self) -> None:
        mesh = replace(MESH, values={"pilot": {"resources": {"requests": {"cpu": "10m"}}}})
        assert spec(mesh)["values"]["pilot"] == {
            "env": {"ISTIO_MULTIROOT_MESH": "true"},
            "resources": {"requests": {"cpu": "10m"}},
        }

    def test_win_over_ours(self) -> None:
        mesh = replace(MESH, values={"sidecarInjectorWebhook": {"rewriteAppHTTPProbe": True}})
        assert spec(mesh)["values"]["sidecarInjectorWebhook"] == {"rewriteAppHTTPProbe": True}

    def test_of_a_cluster_win_over_the_meshs(self) -> None:
        mesh = replace(MESH, values={"pilot": {"autoscaleMin": 1, "autoscaleMax": 5}})
        cluster = replace(KT, values={"pilot": {"autoscaleMin": 2}})
        pilot = spec(mesh, cluster)["values"]["pilot"]
        assert (pilot["autoscaleMin"], pilot["autoscaleMax"]) == (2, 5)

    def test_mesh_config_goes_to_the_documents_own(self) -> None:
        mesh = replace(MESH, values={"meshConfig": {"accessLogFile": "/dev/stdout"}})
        cluster = replace(KT, values={"meshConfig": {"defaultConfig": {"proxyMetadata": {"A": "b"}}}})
        made = spec(mesh, cluster)
        assert "meshConfig" not in made["values"]
        assert made["meshConfig"] == {
            "enablePrometheusMerge": True,
            "accessLogFile": "/dev/stdout",
            "defaultConfig": {
                "proxyMetadata": {
                    "ISTIO_META_DNS_CAPTURE": "true",
                    "PROXY_CONFIG_XDS_AGENT": "true",
                    "A": "b",
                }
            },
        }

    def test_an_empty_mesh_config_changes_nothing(self) -> None:
        assert spec(replace(MESH, values={"meshConfig": None})) == spec()

    def test_are_left_as_they_were(self) -> None:
        values = {"meshConfig": {"accessLogFile": "x"}, "pilot": {"env": {"A": "b"}}}
        mesh = replace(MESH, values=values)
        assert spec(mesh) == spec(mesh)
        assert values == {"meshConfig": {"accessLogFile": "x"}, "pilot": {"env": {"A": "b"}}}

    def test_lists_are_replaced_and_mappings_joined(self) -> None:
        assert merged({"a": [1], "b": {"c": 1}}, {"a": [2], "b": {"d": 2}}) == {
            "a": [2],
            "b": {"c": 1, "d": 2},
        }


class TestWhichIstio:
    def test_default_revision_hub_and_tag_are_istioctls_own(self) -> None:
        assert {"revision", "hub", "tag"}.isdisjoint(spec())

    def test_revision_hub_and_tag(self) -> None:
        made = spec(replace(MESH, revision="1-26-0", hub="registry.example/istio", tag="1.26.0-distroless"))
        assert (made["revision"], made["hub"], made["tag"]) == (
            "1-26-0",
            "registry.example/istio",
            "1.26.0-distroless",
        )

    def test_each_revision_has_its_own_document(self) -> None:
        names = [istio_operator(replace(MESH, revision=r), KT)["metadata"]["name"] for r in ("", "1-26-0")]
        assert names == ["istio-mc", "istio-mc-1-26-0"]


@pytest.mark.lab
def test_istioctl_renders_it_as_required(tmp_path: Path) -> None:
    path = tmp_path / "operator.yaml"
    cluster = replace(KT, gateway_addresses=("198.18.0.21",))
    path.write_text(yaml.safe_dump(istio_operator(MESH, cluster)))
    made = find_istioctl(os.environ).manifest(path)

    def one(kind: str, name: str) -> dict[str, Any]:
        (found,) = [item for item in made if (item["kind"], item["metadata"]["name"]) == (kind, name)]
        return found

    def env(deployment: str) -> dict[str, str]:
        (container,) = one("Deployment", deployment)["spec"]["template"]["spec"]["containers"]
        return {item["name"]: item.get("value", "") for item in container["env"]}

    service = one("Service", "istio-ingressgateway")["spec"]
    assert 15443 in [port["port"] for port in service["ports"]]
    assert service["externalIPs"] == ["198.18.0.21"]
    assert env("istio-ingressgateway")["ISTIO_META_ROUTER_MODE"] == "sni-dnat"
    assert env("istio-ingressgateway")["ISTIO_META_REQUESTED_NETWORK_VIEW"] == "network1"
    assert env("istiod")["ISTIO_MULTIROOT_MESH"] == "true"
    assert env("istiod")["CLUSTER_ID"] == "kt-k2p"
    assert one("HorizontalPodAutoscaler", "istio-ingressgateway")
    assert "istio-egressgateway" not in [item["metadata"]["name"] for item in made]
    assert "PROXY_CONFIG_XDS_AGENT" in one("ConfigMap", "istio")["data"]["mesh"]
