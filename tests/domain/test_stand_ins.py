"""One manifest for many clusters: the same objects as by a run of istioctl for each."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from istio_mc.domain.istio.operator import istio_operator
from istio_mc.domain.istio.stand_ins import Template, stand_in_of
from tests.support import istioctl
from tests.support.world import CLUSTERS, MESH

if TYPE_CHECKING:
    from istio_mc.domain.mesh import Cluster, Mesh

KT = CLUSTERS["kt"]


def rendered(document: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - plain data
    """What a chart makes of a document: its values in YAML, with quotes and without, and in texts."""
    values = document["spec"]["values"]["global"]
    cluster, network = values["multiCluster"]["clusterName"], values["network"]
    gateway = document["spec"]["components"]["ingressGateways"][0]["k8s"]["service"]
    quoted = json.dumps(values)
    texts = {"kind": "C", "json": quoted, "yaml": yaml.safe_dump(values), "ips": gateway}
    text = (
        f"kind: A\nbare: {network}\nquoted: {json.dumps(network)}\njoined: {cluster}.{network}:15443\n"
        f"'{cluster}': key\nnested: [{{deep: {cluster}}}]\n"
        "---\nkind: B\n"
        "---\n" + yaml.safe_dump(texts)
    )
    return list(yaml.safe_load_all(text))


odd = st.sampled_from(
    ["on", "NO", "null", "true", "y", "1", "0x1f", "1e3", "1.5", "e5", "a.b", "A_b", "a-", "x" * 63, "010"]
)
names = odd | st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)
networks = odd | st.from_regex(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", fullmatch=True)
addresses = st.lists(
    st.sampled_from(["203.0.113.7", "10.0.0.1", "fd00::7", "198.51.100.7"]), unique=True, max_size=3
)


@given(names, networks, addresses)
def test_it_is_what_a_run_for_the_cluster_makes(cluster_id: str, network: str, ips: list[str]) -> None:
    cluster = replace(KT, cluster_id=cluster_id, network=network, gateway_addresses=tuple(ips))
    stand_in = stand_in_of(MESH, cluster)
    if stand_in is None:
        return
    for make in (rendered, istioctl.manifest):
        template = Template.of(make(json.loads(stand_in.document)))
        assert stand_in.filled(template) == make(istio_operator(MESH, cluster))


@pytest.mark.parametrize("name", ["kt-k2p", "e5", "nhn-nks", "x"])
@pytest.mark.parametrize("network", ["network1", "kt.net_2", "N-1"])
def test_usual_names_have_a_stand_in(name: str, network: str) -> None:
    assert stand_in_of(MESH, replace(KT, cluster_id=name, network=network))


@pytest.mark.parametrize("name", ["on", "NO", "null", "1", "0x1f", "1.5", "7up"])
def test_names_that_yaml_has_in_quotes_have_none(name: str) -> None:
    assert stand_in_of(MESH, replace(KT, network=name)) is None
    assert stand_in_of(MESH, replace(KT, cluster_id=name)) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"gateway_addresses": ("fd00::7",)},
        {"gateway_addresses": tuple(f"203.0.113.{n}" for n in range(20))},
        {"gateway_addresses": ("198.51.100.201",)},
        {"values": {"global": {"note": "istio-mc-stands-for-id"}}},
        {"network": "istio-mc-stands-for-network"},
    ],
)
def test_a_cluster_that_could_be_confused_with_a_stand_in_has_none(changed: dict[str, Any]) -> None:
    assert stand_in_of(MESH, replace(KT, **changed)) is None


def document_of(mesh: Mesh, cluster: Cluster) -> str:
    stand_in = stand_in_of(mesh, cluster)
    assert stand_in
    return stand_in.document


def test_clusters_that_differ_in_more_have_other_stand_ins() -> None:
    other = CLUSTERS["nhn"]
    assert document_of(MESH, KT) == document_of(MESH, replace(other, gateway_addresses=KT.gateway_addresses))
    assert document_of(MESH, KT) != document_of(replace(MESH, mesh_id="other"), KT)
    assert document_of(MESH, KT) != document_of(MESH, replace(KT, values={"pilot": {"replicaCount": 2}}))
    one = replace(KT, gateway_addresses=("203.0.113.7",))
    assert document_of(MESH, one) != document_of(MESH, replace(KT, gateway_addresses=()))


def test_data_that_is_equal_in_all_clusters_is_stored_once() -> None:
    stand_in = stand_in_of(MESH, KT)
    assert stand_in
    template = Template.of([{"kind": "CustomResourceDefinition"}, {"id": stand_in.cluster.cluster_id}])
    same, own = stand_in.filled(template)
    assert (same is template.manifest[0], own) == (True, {"id": KT.cluster_id})


def test_equal_parts_of_an_object_are_stored_once_too() -> None:
    stand_in = stand_in_of(MESH, KT)
    assert stand_in
    cluster_id, network = stand_in.cluster.cluster_id, stand_in.cluster.network
    template = Template.of([{"alike": {"a": ["b"]}, "both": [f"{network} of {cluster_id}", {cluster_id: 1}]}])
    (item,) = stand_in.filled(template)
    assert item == {"alike": {"a": ["b"]}, "both": [f"{KT.network} of {KT.cluster_id}", {KT.cluster_id: 1}]}
    assert item["alike"] is template.manifest[0]["alike"]
