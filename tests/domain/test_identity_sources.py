"""Which place decides a cluster's ID and network: what Istio runs with, or the label of istio-system."""

from __future__ import annotations

import json
from typing import Any

import pytest

from istio_mc.domain.identity import Part, decide, sources_of
from istio_mc.domain.kube.objects import ref_of
from istio_mc.domain.observed import Observed

LABELS = {Part.CLUSTER_ID: "istio-mc/cluster-id", Part.NETWORK: "topology.istio.io/network"}


def named(kind: str, name: str, labels: dict[str, str | None], **fields: Any) -> dict[str, Any]:
    of_group = {"Deployment": "apps/v1"}
    metadata = {
        "name": name,
        "namespace": "istio-system",
        "labels": {key: value for key, value in labels.items() if value},
    }
    if kind == "Namespace":
        del metadata["namespace"]
    return {"apiVersion": of_group.get(kind, "v1"), "kind": kind, "metadata": metadata, **fields}


def template(labels: dict[str, str | None], **env: str | None) -> dict[str, Any]:
    variables = [{"name": key, "value": value} for key, value in env.items() if value]
    return {
        "template": {
            "metadata": {"labels": {key: value for key, value in labels.items() if value}},
            "spec": {"containers": [{"name": "one", "env": variables}]},
        }
    }


def cluster(
    part: Part,
    label: str | None,
    *,
    service: str | None = None,
    pods: str | None = None,
    istiod: str | None = None,
    values: str | None = None,
) -> Observed:
    """A cluster with one part of its identity in each of these places."""
    network = LABELS[Part.NETWORK]
    pod_labels = {network: pods if part is Part.NETWORK else None}
    env = {"ISTIO_META_CLUSTER_ID": pods if part is Part.CLUSTER_ID else None}
    chart = {"global": {"network": values, "multiCluster": {"clusterName": values}}}
    items = [
        named("Namespace", "istio-system", {LABELS[part]: label}),
        named("Service", "istio-ingressgateway", {network: service}),
        named("Deployment", "istio-ingressgateway", {}, spec=template(pod_labels, **env)),
        named("Deployment", "istiod", {"app": "istiod"}, spec=template({}, CLUSTER_ID=istiod)),
        named("ConfigMap", "istio-sidecar-injector", {}, data={"values": json.dumps(chart)}),
    ]
    return Observed("v1.32.3", {ref_of(item): item for item in items})


def network(label: str | None, **places: str) -> Observed:
    return cluster(Part.NETWORK, label, **places)


def of_kt(part: Part, kt: Observed, **others: Observed) -> str | None:
    return decide({"kt": kt, **others}, part).get("kt")


class TestNetwork:
    def test_a_cluster_without_istio_has_none(self) -> None:
        assert of_kt(Part.NETWORK, Observed("v1.32.3", {})) is None

    def test_what_istio_runs_with_counts_more_than_the_label(self) -> None:
        kt = network("network9", service="network1", pods="network1", values="network1")
        assert of_kt(Part.NETWORK, kt) == "network1"

    def test_a_revision_without_values_leaves_two_places_that_agree(self) -> None:
        assert of_kt(Part.NETWORK, network("network9", service="network1", pods="network1")) == "network1"

    def test_one_place_alone_does_not_count_more_than_the_label(self) -> None:
        assert of_kt(Part.NETWORK, network("network1", service="network9")) == "network1"

    @pytest.mark.parametrize("place", ["service", "pods", "values"])
    def test_the_label_counts_where_one_place_differs_from_the_rest(self, place: str) -> None:
        places = dict.fromkeys(("service", "pods", "values"), "network9") | {place: "network1"}
        assert of_kt(Part.NETWORK, network("network5", **places)) == "network5"

    def test_without_a_label_the_value_of_most_places_counts(self) -> None:
        kt = network(None, service="network9", pods="network1", values="network1")
        assert of_kt(Part.NETWORK, kt) == "network1"

    def test_the_label_counts_where_istio_runs_with_the_network_of_another_cluster(self) -> None:
        everywhere = dict.fromkeys(("service", "pods", "values"), "network2")
        others = {"ncloud": network("network2", **everywhere)}
        assert of_kt(Part.NETWORK, network("network1", **everywhere), **others) == "network1"

    def test_swapped_labels_of_two_clusters_do_not_count(self) -> None:
        kt = network("network2", service="network1", pods="network1")
        ncloud = network("network1", service="network2", pods="network2")
        assert decide({"kt": kt, "ncloud": ncloud}, Part.NETWORK) == {"kt": "network1", "ncloud": "network2"}

    def test_values_that_are_no_json_are_no_source(self) -> None:
        broken = named("ConfigMap", "istio-sidecar-injector", {}, data={"values": "{"})
        assert sources_of(Observed("v1.32.3", {ref_of(broken): broken}), Part.NETWORK).running == {}


class TestClusterID:
    def kt(self, label: str | None, running: str = "kt-k2p") -> Observed:
        return cluster(Part.CLUSTER_ID, label, pods=running, istiod=running, values=running)

    def test_an_istiod_that_others_installed_has_its_own(self) -> None:
        assert of_kt(Part.CLUSTER_ID, cluster(Part.CLUSTER_ID, None, istiod="old")) == "old"

    def test_what_istio_runs_with_counts_more_than_the_label(self) -> None:
        assert of_kt(Part.CLUSTER_ID, self.kt("kt-k3p")) == "kt-k2p"

    def test_the_label_counts_where_istiod_alone_differs(self) -> None:
        kt = cluster(Part.CLUSTER_ID, "kt-k2p", pods="kt-k2p", istiod="other", values="kt-k2p")
        assert of_kt(Part.CLUSTER_ID, kt) == "kt-k2p"

    def test_the_label_counts_where_only_its_id_is_linked_from_another_cluster(self) -> None:
        clusters = {"kt": self.kt("kt-k2p", "Kubernetes")}
        assert decide(clusters, Part.CLUSTER_ID, {"kt": (), "ncloud": ("kt-k2p",)}) == {"kt": "kt-k2p"}

    def test_the_label_does_not_count_where_the_other_id_is_linked_too(self) -> None:
        linked = {"ncloud": ("kt-k2p", "nhn-nks")}
        assert decide({"kt": self.kt("nhn-nks")}, Part.CLUSTER_ID, linked) == {"kt": "kt-k2p"}

    def test_the_clusters_own_remote_secrets_do_not_count(self) -> None:
        assert decide({"kt": self.kt("nhn-nks")}, Part.CLUSTER_ID, {"kt": ("nhn-nks",)}) == {"kt": "kt-k2p"}
