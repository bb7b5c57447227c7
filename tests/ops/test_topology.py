"""Who is who: what a cluster has it keeps, and what it gets nobody else has."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istio_mc.domain.gateway.address import remote_gateway
from istio_mc.domain.istio.documents import remote_kubeconfig, remote_secret
from istio_mc.domain.kube.kubeconfig import Context, KubeconfigFile, merge
from istio_mc.domain.kube.objects import ref_of
from istio_mc.domain.links.state import Others
from istio_mc.domain.mesh import ApiServer, Cluster
from istio_mc.domain.observed import Observed
from istio_mc.domain.problem import InputError, ProblemError
from istio_mc.domain.settings.model import ApiServerSettings, ClusterSettings, IstioSettings, Settings
from istio_mc.ops.install.preflight import named_after_ids
from istio_mc.ops.session.topology import clusters_of, mesh_of
from tests.support.self_signed import self_signed

CA = self_signed("ca").certificate
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


def member(
    cluster_id: str | None, network: str | None, *, linked: tuple[str, ...] = (), stands: str | None = None
) -> Observed:
    """A cluster that answers, with remote secrets of others, and perhaps a Gateway for the first of them.

    Args:
        cluster_id: Its ID; None: it has none yet.
        network: Its network; None: it has none yet.
        linked: Cluster IDs it holds remote secrets of.
        stands: The network of a Gateway that stands in it for the first of these.
    """
    labels = {"istio-mc/cluster-id": cluster_id, "topology.istio.io/network": network}
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "istio-system", "labels": {k: v for k, v in labels.items() if v}},
    }
    secrets = [
        remote_secret(id_, remote_kubeconfig(id_, ApiServer(f"https://{id_}"), "token", CA)) for id_ in linked
    ]
    silent = [Cluster("x", linked[0], stands, ApiServer(""))] if stands else []
    gateways = [remote_gateway(cluster, ["203.0.113.7"]) for cluster in silent]
    return Observed("v1.32.3", {ref_of(item): item for item in [namespace, *secrets, *gateways]})


NEW = Observed("v1.32.3", {})


def decided(
    *names: str,
    live: dict[str, Observed] | None = None,
    configured: tuple[ClusterSettings, ...] = (),
    others: Others | None = None,
) -> dict[str, tuple[str, str]]:
    found = clusters_of(contexts(*names), settings(*configured), live or {}, others=others)
    return {name: (cluster.cluster_id, cluster.network) for name, cluster in found.items()}


def refused(
    *names: str, live: dict[str, Observed], configured: tuple[ClusterSettings, ...] = ()
) -> list[str]:
    with pytest.raises(InputError) as error:
        decided(*names, live=live, configured=configured)
    return [problem.code for problem in error.value.problems]


class TestNewClusters:
    def test_get_ids_from_their_names_and_networks_in_their_order(self) -> None:
        assert decided("nhn", "kt", "ncloud") == {
            "nhn": ("nhn-nks", "network1"),
            "kt": ("kt-k2p", "network2"),
            "ncloud": ("nks-kr-ncloud-1", "network3"),
        }

    def test_get_no_network_that_a_cluster_outside_the_run_has(self) -> None:
        assert decided("kt", others=Others(frozenset({"network1", "network2"})))["kt"] == (
            "kt-k2p",
            "network3",
        )

    def test_get_the_values_of_the_settings(self) -> None:
        configured = ClusterSettings("kt", id="seoul", network="net-a")
        assert decided("kt", "nhn", configured=(configured,)) == {
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
        configured = ClusterSettings("kt", id="kt-k2p", network="network1")
        assert decided("kt", live={"kt": member("kt-k2p", "network1")}, configured=(configured,))

    def test_settings_that_contradict_what_lives_are_refused_together(self) -> None:
        configured = ClusterSettings("kt", id="other", network="network9")
        live = {"kt": member("kt-k2p", "network1")}
        assert refused("kt", live=live, configured=(configured,)) == ["identity-changed", "identity-changed"]

    def test_two_members_with_the_same_id_or_network_are_refused(self) -> None:
        live = {"kt": member("same", "network1"), "nhn": member("same", "network1")}
        assert refused("kt", "nhn", live=live) == ["identity-shared", "identity-shared"]


class TestSilentMembers:
    """A member that does not answer keeps its network, whatever a run without it gives away."""

    LIVE: ClassVar = {"ncloud": member("nks-kr-ncloud-1", "network2", linked=("nhn-nks",)), "kt": NEW}

    def test_no_number_is_given_that_may_be_a_silent_members(self) -> None:
        found = decided("kt", "ncloud", "nhn", live=self.LIVE)
        assert (found["kt"], found["ncloud"][1]) == (("kt-k2p", "network-kt-k2p"), "network2")

    def test_nor_one_of_a_member_that_no_context_leads_to(self) -> None:
        assert decided("kt", "ncloud", live=self.LIVE)["kt"][1] == "network-kt-k2p"

    def test_such_a_network_stays_when_the_silent_one_is_back(self) -> None:
        live = {
            "kt": member("kt-k2p", "network-kt-k2p"),
            "ncloud": member("nks-kr-ncloud-1", "network2", linked=("nhn-nks", "kt-k2p")),
            "nhn": member("nhn-nks", "network1", linked=("nks-kr-ncloud-1",)),
        }
        assert [network for _, network in decided("kt", "ncloud", "nhn", live=live).values()] == [
            "network-kt-k2p",
            "network2",
            "network1",
        ]

    def test_a_network_set_in_mesh_yaml_is_known(self) -> None:
        configured = ClusterSettings("nhn", network="network1")
        assert decided("kt", "ncloud", "nhn", live=self.LIVE, configured=(configured,))["kt"][1] == "network3"

    def test_a_network_named_by_a_gateway_for_the_silent_cluster_is_known(self) -> None:
        ncloud = member("nks-kr-ncloud-1", "network2", linked=("nhn-nks",), stands="network1")
        assert decided("kt", "ncloud", live={"kt": NEW, "ncloud": ncloud})["kt"][1] == "network3"

    def test_a_member_outside_the_run_that_answers_is_known(self) -> None:
        others = Others(frozenset({"network1"}), frozenset({"nhn-nks"}))
        assert decided("kt", "ncloud", live=self.LIVE, others=others)["kt"][1] == "network3"

    def test_a_silent_cluster_that_no_member_is_linked_to_was_not_a_member(self) -> None:
        live = {"kt": NEW, "ncloud": member("nks-kr-ncloud-1", "network2")}
        assert decided("kt", "ncloud", "nhn", live=live)["kt"][1] == "network1"

    def test_a_link_to_a_reachable_cluster_that_was_reset_hides_nothing(self) -> None:
        live = {"kt": NEW, "ncloud": member("nks-kr-ncloud-1", "network2", linked=("kt-k2p",))}
        assert decided("kt", "ncloud", live=live)["kt"][1] == "network1"

    def test_each_new_cluster_is_reported_with_the_silent_member(self) -> None:
        clusters = clusters_of(contexts("kt", "ncloud", "nhn"), settings(), self.LIVE)
        (warning,) = named_after_ids(clusters, settings(), self.LIVE, Others())
        assert (warning.code, warning.cluster) == ("network-by-id", "kt")
        assert "nhn-nks" in (warning.seen or "")

    def test_nothing_is_reported_where_all_networks_are_known(self) -> None:
        configured = settings(ClusterSettings("nhn", network="network1"))
        clusters = clusters_of(contexts("kt", "ncloud", "nhn"), configured, self.LIVE)
        assert named_after_ids(clusters, configured, self.LIVE, Others()) == []


class TestApiServers:
    def server(self, configured: ClusterSettings, **entry: object) -> Cluster:
        return clusters_of(contexts("kt", **entry), settings(configured), {})["kt"]

    def test_the_kubeconfigs_by_default(self) -> None:
        found = self.server(ClusterSettings("kt"), **{"tls-server-name": "kubernetes"}).api_server
        assert (found.server, found.ca_data, found.tls_server_name) == ("https://kt:6443", None, "kubernetes")

    def test_the_settings_where_they_set_it(self, tmp_path: Path) -> None:
        ca = tmp_path / "ca.pem"
        ca.write_bytes(CA)
        configured = ApiServerSettings("https://203.0.113.7:6443", ca_file=ca, tls_server_name="api.kt")
        found = self.server(
            ClusterSettings("kt", api_server=configured), **{"tls-server-name": "x"}
        ).api_server
        assert (found.server, found.ca_data, found.tls_server_name) == (
            "https://203.0.113.7:6443",
            CA,
            "api.kt",
        )

    def test_what_the_settings_leave_out_is_the_kubeconfigs(self, tmp_path: Path) -> None:
        ca = tmp_path / "ca.pem"
        ca.write_bytes(CA)
        configured = ApiServerSettings(ca_file=ca)
        found = self.server(
            ClusterSettings("kt", api_server=configured), **{"tls-server-name": "x"}
        ).api_server
        assert found == ApiServer("https://kt:6443", CA, "x")

    def test_a_file_that_contains_no_certificate_is_an_error(self, tmp_path: Path) -> None:
        ca = tmp_path / "ca.pem"
        ca.write_bytes(b"PEM")
        with pytest.raises(ProblemError, match="no certificate that Go reads"):
            self.server(ClusterSettings("kt", api_server=ApiServerSettings(ca_file=ca)))

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
    def test_the_one_that_others_are_linked_with_where_the_kubeconfigs_means_this_machine(
        self, host: str
    ) -> None:
        live = {"nhn": member("nhn-nks", "network3", linked=("kt-k2p",))}
        found = clusters_of(contexts("kt", "nhn", server=f"https://{host}:6443"), settings(), live)
        assert found["kt"].api_server == ApiServer("https://kt-k2p", CA)
        assert found["nhn"].api_server.server == f"https://{host}:6443"

    def test_the_kubeconfigs_where_others_are_linked_with_another(self) -> None:
        live = {"nhn": member("nhn-nks", "network3", linked=("kt-k2p",))}
        found = clusters_of(contexts("kt", "nhn"), settings(), live)
        assert found["kt"].api_server.server == "https://kt:6443"

    def test_gateway_addresses_and_values_are_carried_along(self) -> None:
        found = self.server(
            ClusterSettings("kt", gateway_addresses=("198.18.0.21",), values={"pilot": {"a": 1}})
        )
        assert (found.gateway_addresses, found.values) == (("198.18.0.21",), {"pilot": {"a": 1}})


def test_the_mesh_is_what_the_settings_specify() -> None:
    istio = IstioSettings(revision="1-27-1", hub="r.example/istio", tag="1.27.1-debug")
    mesh = mesh_of(Settings(certs_dir=Path("/c"), mesh_id="m", istio=istio, values={"a": 1}), "1.27.1")
    assert (mesh.mesh_id, mesh.version, mesh.revision, mesh.hub, mesh.tag, mesh.values) == (
        "m",
        "1.27.1",
        "1-27-1",
        "r.example/istio",
        "1.27.1-debug",
        {"a": 1},
    )
    assert mesh.istiod == "istiod-1-27-1"


def test_the_tag_follows_the_version() -> None:
    assert mesh_of(Settings(certs_dir=Path("/c")), "1.30.2").tag == "1.30.2"
