"""A cluster whose packets are lost does not keep the others from being finished."""

from __future__ import annotations

from lab import faults
from tests.e2e.harness import CONTEXTS, SYSTEM, Site, clean, kubectl, live_root

DEADLINE_S = 40
SLACK_S = 5  # to start Python and to end the children


def test_with_packets_lost_in_the_middle_the_others_finish_within_the_deadline_and_no_istioctl_stays(
    mesh: Site,
) -> None:
    root = mesh.root
    clean(["ncloud"])
    kubectl("nhn", "delete", "gateways.networking.istio.io", "cross-network-gateway", "-n", SYSTEM)
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
    assert done["nhn"] == ["expose"]
    mesh.run("verify", "--contexts", "kt,nhn", "--wait", "20s").exits(0)

    faults.undrop("ncloud")
    mesh.run("install", "--timeout", "120s").exits(0)

    mesh.run("verify", "--wait", "20s").exits(0)
    assert {live_root(context) for context in CONTEXTS} == {root}
