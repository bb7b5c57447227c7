"""Three clusters become one mesh, and stay as they are when nothing is missing."""

from __future__ import annotations

import base64
from typing import Any

import pytest
import yaml

from tests.e2e.harness import (
    CLUSTER_IDS,
    CONTEXTS,
    GATEWAY,
    SYSTEM,
    Site,
    changed,
    command,
    each,
    get,
    kubectl,
    live_root,
    rolled_out,
    snapshots,
    soon,
)

# istioctl writes these anew whenever it runs, and istiod then fills in caBundle and failurePolicy again: they
# get a new resourceVersion, and end as they were.
ISTIOD_FILLS_IN = {
    "MutatingWebhookConfiguration istio-sidecar-injector",
    "ValidatingWebhookConfiguration istio-validator-istio-system",
}
VERSIONS = {"kt": "v1", "ncloud": "v2", "nhn": "v3"}


@pytest.fixture(scope="module")
def sample(mesh: Site) -> Site:
    """The mesh with the sample in it."""
    mesh.run("sample", "deploy").exits(0)
    return mesh


def test_install_prints_id_network_and_gateway_of_each_cluster(mesh: Site) -> None:
    result = mesh.run("install", "-o", "json").exits(0)

    assert result.json["command"] == "install"
    assert result.json["status"] == "success"
    assert result.json["errors"] == []
    assert {c["name"]: c["clusterId"] for c in result.data["clusters"]} == CLUSTER_IDS
    assert len({c["network"] for c in result.data["clusters"]}) == 3
    assert {c["name"]: c["gatewayAddresses"] for c in result.data["clusters"]} == {
        "kt": ["198.18.0.21"],
        "ncloud": ["gw.ncloud.lab.test"],
        "nhn": ["198.18.0.23"],
    }
    assert result.data["rootFingerprint"].replace(":", "").lower() == mesh.root


def test_verify_finds_the_whole_mesh_in_order(mesh: Site) -> None:
    result = mesh.run("verify", "-o", "json").exits(0)

    assert result.json["status"] == "success"
    assert result.json["errors"] == []
    synced = {(c["cluster"], c["peer"]) for c in result.data["checks"] if c["id"] == "link.synced"}
    assert synced == {(one, other) for one in CONTEXTS for other in CONTEXTS if one != other}
    errors = [c for c in result.data["checks"] if c["severity"] == "error" and c["verdict"] != "unknown"]
    assert {c["verdict"] for c in errors} == {"ok"}


def test_every_version_of_the_sample_answers_every_cluster(sample: Site) -> None:
    result = sample.run("sample", "test", "-o", "json").exits(0)

    assert result.data["versions"] == VERSIONS
    least = result.data["leastShare"]
    assert least == pytest.approx(1 / 6)
    matrix = {
        c["name"]: {v: n >= least * c["calls"] for v, n in c["responses"].items()}
        for c in result.data["clusters"]
    }
    assert matrix == {name: dict.fromkeys(VERSIONS.values(), True) for name in CONTEXTS}
    assert all(sum(c["responses"].values()) == c["calls"] >= 60 for c in result.data["clusters"])


def test_a_second_install_changes_nothing_in_any_cluster(sample: Site) -> None:
    for context in CONTEXTS:
        rolled_out(context)
    before, certs = snapshots(), _bytes_of(sample)

    result = sample.run("install").exits(0)

    after = snapshots()
    assert "Nothing to change" in result.stdout
    assert {name: changed(before[name], after[name]) for name in CONTEXTS} == {key: set() for key in CONTEXTS}
    assert _bytes_of(sample) == certs


def test_install_repairs_exactly_the_manual_changes_and_a_dry_run_names_them(sample: Site) -> None:
    kubectl("kt", "delete", "gateways.networking.istio.io", "cross-network-gateway", "-n", SYSTEM)
    kubectl("ncloud", "set", "env", GATEWAY, "-n", SYSTEM, "ISTIO_META_ROUTER_MODE=standard")
    rolled_out("ncloud")
    drifted, webhooks = snapshots(), _webhooks("ncloud")

    dry = sample.run("install", "--dry-run", "-o", "json").exits(0)

    assert dry.data["dryRun"] is True
    steps = {c["name"]: {s["name"]: s["reasons"] for s in c["steps"]} for c in dry.data["clusters"]}
    assert steps["kt"] == {"expose": [f"Gateway {SYSTEM}/cross-network-gateway is missing"]}
    assert steps["ncloud"].keys() == {"istio"}
    (reason,) = steps["ncloud"]["istio"]
    assert reason.startswith(f"Deployment {SYSTEM}/istio-ingressgateway ")
    assert "ISTIO_META_ROUTER_MODE" in reason
    assert steps["nhn"] == {}
    assert snapshots() == drifted, "a dry run touches nothing"

    repaired = sample.run("install", "-o", "json").exits(0)

    done = {c["name"]: [s["name"] for s in c["steps"]] for c in repaired.data["clusters"]}
    assert done == {"kt": ["expose"], "ncloud": ["istio"], "nhn": []}
    rolled_out("ncloud")
    after = snapshots()
    assert changed(drifted["nhn"], after["nhn"]) == set()
    assert changed(drifted["kt"], after["kt"]) == {"Gateway cross-network-gateway"}
    others = {
        name for name in changed(drifted["ncloud"], after["ncloud"]) if "istio-ingressgateway" not in name
    }
    assert others <= ISTIOD_FILLS_IN
    soon(lambda: _webhooks("ncloud") == webhooks, "istiod has filled in the webhooks as they were")
    assert sample.run("install", "--dry-run", "-o", "json").exits(0).data["changed"] is False


@pytest.mark.parametrize("peer", CONTEXTS)
@pytest.mark.usefixtures("mesh")
def test_remote_secrets_are_what_istioctl_itself_would_write(peer: str) -> None:
    id_ = CLUSTER_IDS[peer]
    theirs = yaml.safe_load(
        command("istioctl", "create-remote-secret", "--context", peer, "--name", id_, "-n", SYSTEM).partition(
            "\n---"
        )[0]
    )
    for holder in CONTEXTS:
        if holder == peer:
            continue
        ours = get(holder, "secret", f"istio-remote-secret-{id_}")
        for field in ("name", "namespace", "labels", "annotations"):
            assert ours["metadata"][field] == theirs["metadata"][field], field
        assert ours["type"] == theirs.get("type", "Opaque")
        assert _kubeconfigs(ours) == _kubeconfigs(theirs)


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.usefixtures("mesh")
def test_each_istiod_accepts_its_remote_secrets(context: str) -> None:
    shown = command("istioctl", "remote-clusters", "--context", context, "-n", SYSTEM)

    rows = {line.split()[0]: line.split() for line in shown.splitlines()[1:]}
    assert rows.keys() == set(CLUSTER_IDS.values())
    for peer in CONTEXTS:
        if peer != context:
            assert f"{SYSTEM}/istio-remote-secret-{CLUSTER_IDS[peer]}" in rows[CLUSTER_IDS[peer]]
            assert "synced" in rows[CLUSTER_IDS[peer]]


def test_one_root_of_the_sites_folder_is_in_every_cluster(mesh: Site) -> None:
    assert each(live_root) == dict.fromkeys(CONTEXTS, mesh.root)


def _webhooks(context: str) -> dict[str, Any]:
    return {
        name: get(context, *name.lower().split(), namespace=None)["webhooks"]
        for name in sorted(ISTIOD_FILLS_IN)
    }


def _bytes_of(site: Site) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(site.certs.rglob("*")) if path.is_file()}


def _kubeconfigs(secret: dict[str, Any]) -> dict[str, Any]:
    """The kubeconfigs in a remote Secret, without `kind` and `preferences`.

    No reader looks at these two; istioctl up to 1.30 writes them, newer ones do not.
    """
    opened = {key: base64.b64decode(value).decode() for key, value in (secret.get("data") or {}).items()}
    texts = opened | secret.get("stringData", {})
    return {key: _without_what_none_reads(yaml.safe_load(text)) for key, text in texts.items()}


def _without_what_none_reads(kubeconfig: dict[str, Any]) -> dict[str, Any]:
    assert kubeconfig.pop("kind", "Config") == "Config"
    assert not kubeconfig.pop("preferences", None)
    return kubeconfig
