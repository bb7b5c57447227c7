"""Who is who: what a cluster has it keeps, and what it gets nobody else has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istio_mc.domain.kubeconfig import Context, KubeconfigFile, merge
from istio_mc.domain.objects import ref_of
from istio_mc.domain.observed import Observed
from istio_mc.domain.problem import InputError
from istio_mc.domain.settings import ApiServerSettings, ClusterSettings, IstioSettings, Settings
from istio_mc.ops.topology import clusters_of, mesh_of

if TYPE_CHECKING:
    from istio_mc.domain.mesh import Cluster

NAMES = {"kt": "kt-k2p", "ncloud": "nks_kr_ncloud_1", "nhn": "nhn-nks"}


def contexts(*names: str, **cluster: object) -> list[Context]:
    document: dict[str, Any] = {
        "clusters": [
            {"name": NAMES[name], "cluster": {"server": f"https://{name}:6443", **cluster}} for name in names
        ],
        "contexts": [{"name": name, "context": {"cluster": NAMES[name]}} for name in names],
    }
    return list(merge([KubeconfigFile("/f", document)]).contexts)


def settings(*clusters: ClusterSettings) -> Settings:
    return Settings(certs_dir=Path("/certs"), clusters=clusters)


def member(cluster_id: str | None, network: str | None) -> Observed:
    labels = {"istio-mc/cluster-id": cluster_id, "topology.istio.io/network": network}
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "istio-system", "labels": {k: v for k, v in labels.items() if v}},
    }
    return Observed("v1.32.3", {ref_of(namespace): namespace})


def decided(
    *names: str,
    live: dict[str, Observed] | None = None,
    said: tuple[ClusterSettings, ...] = (),
    others: tuple[str, ...] = (),
) -> dict[str, tuple[str, str]]:
    found = clusters_of(contexts(*names), settings(*said), live or {}, other_networks=others)
    return {name: (cluster.cluster_id, cluster.network) for name, cluster in found.items()}


def refused(*names: str, live: dict[str, Observed], said: tuple[ClusterSettings, ...] = ()) -> list[str]:
    with pytest.raises(InputError) as error:
        decided(*names, live=live, said=said)
    return [problem.code for problem in error.value.problems]


class TestNewClusters:
    def test_get_ids_from_their_names_and_networks_in_their_order(self) -> None:
        assert decided("nhn", "kt", "ncloud") == {
            "nhn": ("nhn-nks", "network1"),
            "kt": ("kt-k2p", "network2"),
            "ncloud": ("nks-kr-ncloud-1", "network3"),
        }

    def test_get_no_network_that_a_cluster_outside_the_run_has(self) -> None:
        assert decided("kt", others=("network1", "network2"))["kt"] == ("kt-k2p", "network3")

    def test_get_what_the_settings_say(self) -> None:
        said = ClusterSettings("kt", id="seoul", network="net-a")
        assert decided("kt", "nhn", said=(said,)) == {
            "kt": ("seoul", "net-a"),
            "nhn": ("nhn-nks", "network1"),
        }


class TestStickiness:
    def test_nhn_alone_then_kt_and_nhn(self) -> None:
        alone = decided("nhn")
        assert alone == {"nhn": ("nhn-nks", "network1")}
        later = decided("kt", "nhn", live={"kt": member(None, None), "nhn": member(*alone["nhn"])})
        assert later == {"kt": ("kt-k2p", "network2"), "nhn": ("nhn-nks", "network1")}

    def test_an_id_that_the_name_would_not_give_stays(self) -> None:
        assert decided("kt", live={"kt": member("old-id", "network7")})["kt"] == ("old-id", "network7")

    @given(st.permutations(["kt", "ncloud", "nhn"]))
    def test_members_keep_theirs_in_whatever_order_they_are_named(self, order: list[str]) -> None:
        live = {
            "kt": member("a", "network3"),
            "ncloud": member("b", "network1"),
            "nhn": member("c", "network2"),
        }
        assert decided(*order, live=live) == {
            "kt": ("a", "network3"),
            "ncloud": ("b", "network1"),
            "nhn": ("c", "network2"),
        }

    def test_settings_that_agree_are_no_fault(self) -> None:
        said = ClusterSettings("kt", id="kt-k2p", network="network1")
        assert decided("kt", live={"kt": member("kt-k2p", "network1")}, said=(said,))

    def test_settings_that_contradict_what_lives_are_refused_together(self) -> None:
        said = ClusterSettings("kt", id="other", network="network9")
        live = {"kt": member("kt-k2p", "network1")}
        assert refused("kt", live=live, said=(said,)) == ["identity-changed", "identity-changed"]

    def test_two_members_with_the_same_id_or_network_are_refused(self) -> None:
        live = {"kt": member("same", "network1"), "nhn": member("same", "network1")}
        assert refused("kt", "nhn", live=live) == ["identity-shared", "identity-shared"]


class TestApiServers:
    def server(self, said: ClusterSettings, **entry: object) -> Cluster:
        return clusters_of(contexts("kt", **entry), settings(said), {})["kt"]

    def test_the_kubeconfigs_by_default(self) -> None:
        found = self.server(ClusterSettings("kt"), **{"tls-server-name": "kubernetes"}).api_server
        assert (found.server, found.ca_data, found.tls_server_name) == ("https://kt:6443", None, "kubernetes")

    def test_the_settings_where_they_say(self, tmp_path: Path) -> None:
        ca = tmp_path / "ca.pem"
        ca.write_bytes(b"PEM")
        said = ApiServerSettings("https://203.0.113.7:6443", ca_file=ca, tls_server_name="api.kt")
        found = self.server(ClusterSettings("kt", api_server=said), **{"tls-server-name": "x"}).api_server
        assert (found.server, found.ca_data, found.tls_server_name) == (
            "https://203.0.113.7:6443",
            b"PEM",
            "api.kt",
        )

    def test_gateway_addresses_and_values_are_carried_along(self) -> None:
        found = self.server(
            ClusterSettings("kt", gateway_addresses=("198.18.0.21",), values={"pilot": {"a": 1}})
        )
        assert (found.gateway_addresses, found.values) == (("198.18.0.21",), {"pilot": {"a": 1}})


def test_the_mesh_is_what_the_settings_say() -> None:
    istio = IstioSettings(version="1.27.1", revision="1-27-1", hub="r.example/istio", tag="1.27.1-debug")
    mesh = mesh_of(Settings(certs_dir=Path("/c"), mesh_id="m", istio=istio, values={"a": 1}))
    assert (mesh.mesh_id, mesh.version, mesh.revision, mesh.hub, mesh.tag, mesh.values) == (
        "m",
        "1.27.1",
        "1-27-1",
        "r.example/istio",
        "1.27.1-debug",
        {"a": 1},
    )
    assert mesh.istiod == "istiod-1-27-1"
