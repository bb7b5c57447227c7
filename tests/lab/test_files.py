"""What the lab writes for people, the product and kubeadm."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest
import yaml

from lab import cluster, files, kubeadm, network, quirks, settings
from lab.errors import LabError

if TYPE_CHECKING:
    from pathlib import Path

ADMIN = {
    "clusters": [{"name": "kubernetes", "cluster": {"server": "https://198.18.0.11:6443"}}],
    "users": [{"name": "kubernetes-admin", "user": {"client-key-data": "secret"}}],
    "contexts": [{"name": "x", "context": {"cluster": "kubernetes", "user": "kubernetes-admin"}}],
}


def test_kubeconfigs_repeat_no_name() -> None:
    written = [files.kubeconfig(ADMIN, one) for one in settings.CLUSTERS]
    assert [one["current-context"] for one in written] == ["kt", "ncloud", "nhn"]
    assert [one["clusters"][0]["name"] for one in written] == ["kt-k2p", "ncloud-nks", "nhn-nks"]
    assert len({one["users"][0]["name"] for one in written}) == 3
    for one in written:
        context = one["contexts"][0]["context"]
        assert context == {"cluster": one["clusters"][0]["name"], "user": one["users"][0]["name"]}


def test_a_kubeconfig_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfigs" / "kt.yaml"
    files.write_private(path, "first")
    files.write_private(path, "second")
    assert path.read_text(encoding="utf-8") == "second"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["kt.yaml"]


def test_mesh_is_in_the_products_format() -> None:
    mesh = yaml.safe_load(files.mesh("1.31.0"))
    assert mesh["apiVersion"] == "istio-mc/v1alpha1"
    assert mesh["istio"] == {"version": "1.31.0", "hub": "docker.io/istio", "tag": "1.31.0"}
    assert mesh["gatewayAPI"]["manifest"] == str(settings.istio_home("1.31.0") / "gateway-api.yaml")
    assert mesh["clusters"] == [
        {"context": "kt", "gatewayAddress": "198.18.0.21"},
        {"context": "ncloud"},
        {"context": "nhn"},
    ]
    assert mesh["values"]["pilot"]["env"]["PILOT_ENABLE_ALPN_FILTER"] == "false"


def test_shell_lines() -> None:
    lines = files.shell().splitlines()
    assert [line.split("=")[0] for line in lines] == [
        "export KUBECONFIG",
        "export ISTIO_MC_CONFIG",
        "export PATH",
        "export NO_PROXY",
        "export no_proxy",
    ]
    assert lines[0].count(":") == 2


def test_shell_lines_of_another_istio_lead_to_its_mesh_and_its_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "STATE", tmp_path)
    with pytest.raises(LabError, match=r"the lab has no Istio 1\.26\.0"):
        files.shell("1.26.0")
    home = tmp_path / "istio-1.26.0"
    home.mkdir()
    lines = files.shell("1.26.0").splitlines()
    assert lines[1:3] == [f"export ISTIO_MC_CONFIG={home}/mesh.yaml", f'export PATH={home}/bin:"$PATH"']


@pytest.mark.parametrize(
    ("required", "does"),
    [
        (settings.Versions("1.33.13", ("1.31.0",)), True),
        (settings.Versions("1.33.13", ("1.31.0", "1.26.0")), True),
        (settings.Versions("1.33.13", ("1.26.0",)), False),
        (settings.Versions("1.33.13", ("1.31.0", "1.30.4")), False),
        (settings.Versions("1.35.8", ("1.31.0",)), False),
    ],
)
def test_a_running_lab_is_reused_if_it_has_the_required_versions(
    required: settings.Versions,
    does: bool,  # noqa: FBT001
) -> None:
    assert settings.Versions("1.33.13", ("1.31.0", "1.26.0")).do_for(required) is does


def test_no_proxy_gets_the_lab_addresses_and_keeps_its_other_entries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("NO_PROXY", ".corp.example")
    found = settings.past_proxies()["NO_PROXY"].split(",")
    assert {".corp.example", "198.18.0.0/24", "198.18.0.12", ".lab.test"} <= set(found)


@pytest.mark.parametrize("one", settings.CLUSTERS, ids=lambda one: one.name)
def test_kubeadm_documents(one: settings.Cluster) -> None:
    documents = {document["kind"]: document for document in yaml.safe_load_all(kubeadm.config(one))}
    assert documents["InitConfiguration"]["localAPIEndpoint"]["advertiseAddress"] == one.address
    assert documents["ClusterConfiguration"]["clusterName"] == one.cluster
    kubelet = documents["KubeletConfiguration"]
    assert kubelet["enforceNodeAllocatable"] == ["none"]
    # Nothing under /usr: it would be the machine's own.
    assert "/usr" not in kubeadm.config(one)


def test_the_control_plane_holds_at_most_a_twelfth_of_the_machine_s_memory_but_a_gibibyte() -> None:
    limits = [
        {one["name"]: one["value"] for one in kubeadm.go_settings(gib << 30)}["GOMEMLIMIT"] for gib in (8, 24)
    ]
    assert limits == ["1024MiB", "2048MiB"]


def test_a_public_hostname_resolves_inside_too() -> None:
    manifests = yaml.safe_dump_all(
        [
            {"kind": "ConfigMap", "data": {"Corefile": "old"}},
            {"kind": "Deployment", "spec": {"replicas": 2}},
            {"kind": "Service"},
        ]
    )
    config, deployment, _ = yaml.safe_load_all(kubeadm.coredns(manifests))
    assert "198.18.0.22 gw.ncloud.lab.test" in config["data"]["Corefile"]
    assert config["data"]["Corefile"].count("{") == config["data"]["Corefile"].count("}")
    assert deployment["spec"]["replicas"] == 1


def test_cilium_starts_as_its_chart_leaves_it() -> None:
    config = next(d for d in yaml.safe_load_all(quirks.cilium()) if d["kind"] == "ConfigMap")
    assert {key: config["data"][key] for key in ("bpf-lb-sock-hostns-only", "cni-exclusive")} == {
        "bpf-lb-sock-hostns-only": "false",
        "cni-exclusive": "true",
    }
    assert all(isinstance(value, str) for value in config["data"].values())


@pytest.mark.parametrize(
    "before",
    ["", "127.0.0.1 localhost\n", "127.0.0.1 localhost", "\n", "a\n\n", "# istio-mc-lab is not ours\n"],
)
def test_the_hosts_file_is_put_back_byte_for_byte(tmp_path: Path, before: str) -> None:
    file = tmp_path / "hosts"
    file.write_text(before, encoding="utf-8")
    for _ in range(2):
        network.name_host("198.18.0.22", "gw.ncloud.lab.test", file)
        lines = file.read_text(encoding="utf-8").splitlines()
        assert [line.split()[:2] for line in lines].count(["198.18.0.22", "gw.ncloud.lab.test"]) == 1
    network.unname_hosts(file)
    assert file.read_text(encoding="utf-8") == before


def test_what_others_add_to_the_hosts_file_stays(tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    file.write_text("127.0.0.1 localhost", encoding="utf-8")
    network.name_host("198.18.0.22", "gw.ncloud.lab.test", file)
    with file.open("a", encoding="utf-8") as more:
        more.write("10.0.0.1 somebody\n")
    network.unname_hosts(file)
    assert "10.0.0.1 somebody\n" in file.read_text(encoding="utf-8")


def ready(name: str, status: str = "True") -> dict[str, object]:
    return {"metadata": {"name": name}, "status": {"conditions": [{"type": "Ready", "status": status}]}}


def test_unready_names_what_is_missing_and_what_is_not_ready() -> None:
    ncloud = settings.find("ncloud")
    parts = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
    items = [ready("ncloud"), *(ready(f"{part}-ncloud") for part in parts)]
    items += [ready("coredns-abc"), ready("kube-proxy-xyz", "False")]
    assert cluster.unready(items, ncloud) == ["kube-proxy-", "cilium-"]
    items += [ready("kube-proxy-new"), ready("cilium-1")]
    assert cluster.unready(items, ncloud) == []
