"""A cluster that cannot be reached does not keep the others from being finished."""

from __future__ import annotations

from typing import Any

from lab import faults
from tests.e2e.harness import CONTEXTS, SYSTEM, Site, clean, get, live_root

DEADLINE_S = 60
SLACK_S = 5  # to start Python and to end the children


def _status(data: dict[str, Any]) -> dict[str, str]:
    return {cluster["name"]: cluster["status"] for cluster in data["clusters"]}


def test_with_a_clusters_link_down_the_others_finish_and_the_same_command_later_completes_it(
    mesh: Site,
) -> None:
    root = mesh.root
    clean(["kt", "nhn"])
    faults.cut("nhn")

    cut = mesh.run("install", "--timeout", f"{DEADLINE_S}s", "-o", "json").exits(3)

    assert cut.seconds < DEADLINE_S + SLACK_S
    assert cut.json["status"] == "partial"
    assert [(error["cluster"], error["code"]) for error in cut.json["errors"]] == [
        ("nhn", "cluster-unreachable")
    ]
    assert "nhn" in cut.stderr
    assert _status(cut.data) == {"kt": "changed", "ncloud": "changed", "nhn": "failed"}
    mesh.run("verify", "--contexts", "kt,ncloud").exits(0)

    faults.heal("nhn")
    mesh.run("install", "--timeout", "120s").exits(0)

    mesh.run("verify", "--wait", "20s").exits(0)
    assert {live_root(context) for context in CONTEXTS} == {root}


def test_with_packets_lost_in_the_middle_the_others_finish_within_the_deadline_and_no_istioctl_stays(
    mesh: Site,
) -> None:
    root = mesh.root
    clean(["ncloud", "nhn"])
    running = mesh.start("install", "--timeout", f"{DEADLINE_S}s", "-o", "json")
    running.until(r"\bncloud  istio started")
    faults.drop("ncloud")

    lost = running.wait(DEADLINE_S + 30).exits(3)

    assert lost.seconds < DEADLINE_S + SLACK_S
    assert running.left_behind() == []
    assert {error["cluster"] for error in lost.json["errors"]} == {"ncloud"}
    done = {cluster["name"]: [step["name"] for step in cluster["steps"]] for cluster in lost.data["clusters"]}
    assert {"namespace", "cacerts"} <= set(done["ncloud"])
    assert not {"istio", "expose", "link"} & set(done["ncloud"])
    assert _status(lost.data) == {"kt": "changed", "ncloud": "failed", "nhn": "changed"}
    mesh.run("verify", "--contexts", "kt,nhn", "--wait", "20s").exits(0)

    faults.undrop("ncloud")
    mesh.run("install", "--timeout", "120s").exits(0)

    mesh.run("verify", "--wait", "20s").exits(0)
    assert {live_root(context) for context in CONTEXTS} == {root}


def _networks() -> dict[str, str]:
    found = {name: get(name, "namespace", SYSTEM, namespace=None) for name in CONTEXTS}
    return {name: item["metadata"]["labels"]["topology.istio.io/network"] for name, item in found.items()}


def test_one_that_joins_while_a_member_is_silent_is_not_given_the_silent_ones_network(mesh: Site) -> None:
    members = Site.at(mesh.folder / "members", certs=mesh.certs, clusters=None)
    before = _networks()
    clean(["nhn"])
    faults.cut("kt")

    joined = members.run("install", "--contexts", "ncloud,nhn", "-o", "json").exits(0)

    (told,) = [one for one in joined.json["messages"] if one["code"] == "network-by-id"]
    assert told["cluster"] == "nhn"
    faults.heal("kt")
    mesh.run("install", "--timeout", "120s").exits(0)
    assert _networks() == before | {"nhn": "network-nhn-nks"}
    mesh.run("verify", "--wait", "20s").exits(0)
    clean(["nhn"])
    mesh.run("install").exits(0)
    assert _networks() == before
