"""A cluster keeps its ID and network, whatever it is called and in whatever order clusters are named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.e2e.harness import (
    CONTEXTS,
    Site,
    clean,
    get,
    live_root,
    merged_kubeconfig,
    write_kubeconfig,
)
from tests.e2e.trust import istiod_uses_the_given_ca, workload_is_signed_under

if TYPE_CHECKING:
    from pathlib import Path

UNDERSCORES = "nks_kr_Main_6f9619ff-8b86-d011-b42d-00c04fc964ff"
ARN = "arn:aws:eks:ap-northeast-2:123456789012:cluster/prod"


def _identities(data: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {c["name"]: (c["clusterId"], c["network"]) for c in data["clusters"]}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """nhn alone in a mesh with an EC root, then kt with it; mesh.yaml names no clusters."""
    clean()
    site = Site.at(tmp_path_factory.mktemp("small"), clusters=None)
    alone = site.run("install", "--contexts", "nhn", "--key-type", "ec", "-o", "json").exits(0)
    assert _identities(alone.data) == {"nhn": ("nhn-nks", "network1")}
    address = ("--gateway-address", "kt=198.18.0.21")
    both = site.run("install", "--contexts", "kt,nhn", "--key-type", "ec", *address, "-o", "json").exits(0)
    assert _identities(both.data) == {"kt": ("kt-k2p", "network2"), "nhn": ("nhn-nks", "network1")}
    return site


def test_a_cluster_that_joins_gets_an_unused_network_and_the_others_keep_theirs(small: Site) -> None:
    result = small.run("contexts", "-o", "json").exits(0)

    networks = {c["name"]: c["network"] for c in result.data["contexts"]}
    assert networks == {"kt": "network2", "ncloud": None, "nhn": "network1"}


def test_verify_finds_the_members_by_their_label_and_leaves_others_out(small: Site) -> None:
    result = small.run("verify", "-o", "json").exits(0)

    assert {c["name"] for c in result.data["clusters"]} == {"kt", "nhn"}


@pytest.mark.parametrize("context", ["kt", "nhn"])
def test_istiod_runs_under_an_ec_ca_and_signs_workloads_with_it(
    small: Site, context: str, tmp_path: Path
) -> None:
    istiod_uses_the_given_ca(context)

    intermediate = workload_is_signed_under(small, context, tmp_path)

    assert isinstance(intermediate.public_key(), ec.EllipticCurvePublicKey)


@pytest.fixture
def renamed(small: Site, tmp_path: Path) -> Site:
    """The same clusters under names as clouds give them: ncloud's with underscores, kt's an ARN."""
    document = merged_kubeconfig()
    names = {"ncloud-nks": UNDERSCORES, "kt-k2p": ARN}
    for cluster in document["clusters"]:
        cluster["name"] = names.get(cluster["name"], cluster["name"])
    for context in document["contexts"]:
        entry = context["context"]
        entry["cluster"] = names.get(entry["cluster"], entry["cluster"])
        if entry["cluster"] in names.values():
            context["name"] = entry["cluster"]
    kubeconfig = write_kubeconfig(tmp_path / "clouds.yaml", document)
    return Site.at(tmp_path / "site", kubeconfig=kubeconfig, certs=small.certs, clusters=None)


def test_a_member_keeps_its_id_under_another_name_and_a_new_name_becomes_a_valid_id(
    renamed: Site,
) -> None:
    shown = renamed.run("contexts", "-o", "json").exits(0)

    ids = {c["name"]: c["clusterId"] for c in shown.data["contexts"]}
    assert ids == {ARN: "kt-k2p", UNDERSCORES: UNDERSCORES.lower().replace("_", "-"), "nhn": "nhn-nks"}
    renamed.run("verify").exits(0)
    linked = renamed.run("link", "-o", "json").exits(0)
    assert {c["status"] for c in linked.data["clusters"]} == {"unchanged"}


def test_a_cluster_with_a_name_that_kubernetes_refuses_is_installed_linked_and_verified(
    renamed: Site,
) -> None:
    id_ = UNDERSCORES.lower().replace("_", "-")
    address = ("--gateway-address", f"{ARN}=198.18.0.21")
    contexts = ("--contexts", f"{UNDERSCORES},{ARN},nhn")

    result = renamed.run("install", *contexts, *address, "--key-type", "ec", "-o", "json").exits(0)

    assert _identities(result.data) == {
        UNDERSCORES: (id_, "network3"),
        ARN: ("kt-k2p", "network2"),
        "nhn": ("nhn-nks", "network1"),
    }
    assert get("kt", "secret", f"istio-remote-secret-{id_}")["data"].keys() == {id_}
    assert {live_root(context) for context in CONTEXTS} == {renamed.root}
    renamed.run("verify").exits(0)
    renamed.run("sample", "deploy").exits(0)
    renamed.run("sample", "test").exits(0)
