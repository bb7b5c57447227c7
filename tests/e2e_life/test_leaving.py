"""One cluster leaves a mesh of three: the others go on without it, and take back what it held."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from tests.e2e.harness import SYSTEM, Site, command, get, kubectl, secret, soon
from tests.e2e.traffic import again_and_again

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

WATCHED_S = 90
READER = "istio-reader-service-account-istio-remote-secret-token"


def status(context: str, token: str) -> str:
    """How a cluster's API server answers the bearer of a token."""
    config = json.loads(kubectl(context, "config", "view", "--raw", "--minify", "-o", "json"))
    url = config["clusters"][0]["cluster"]["server"] + "/api/v1/namespaces/istio-system/secrets"
    options = ["--silent", "--insecure", "--output", "/dev/null", "--write-out", "%{http_code}"]
    return command("curl", *options, "--header", f"Authorization: Bearer {token}", url)


def assert_ended(tokens: Iterable[tuple[str, str]]) -> None:
    """No API server takes one of these tokens any more; it remembers for ten seconds whom it let in."""
    tokens = list(tokens)
    assert tokens
    soon(lambda: {status(name, token) for name, token in tokens} == {"401"}, "the tokens have ended")


@pytest.fixture
def traffic(with_sample: Site) -> Iterator[Callable[[], list[str]]]:
    """Requests from ncloud to the reviews of every cluster, one after another without a pause."""
    assert with_sample
    call = "curl -s -o /dev/null -m 5 -w '%{http_code}\\n' http://reviews:9080/reviews/1 || echo failed"
    with again_and_again("sample", "deploy/sleep", call, lasts_s=WATCHED_S) as ended:
        yield ended


@pytest.fixture
def links(with_sample: Site) -> Iterator[Callable[[], list[str]]]:
    """What ncloud's istiod tells of the clusters it reads: a line of JSON, many times a second."""
    assert with_sample
    script = "pilot-discovery request GET /debug/clusterz | tr -d '\\n'; echo"
    with again_and_again(SYSTEM, "deploy/istiod", script, lasts_s=WATCHED_S) as ended:
        yield ended


def test_a_cluster_leaves_without_a_lost_request_or_link_and_takes_no_key_along(
    with_sample: Site, traffic: Callable[[], list[str]], links: Callable[[], list[str]]
) -> None:
    held = {name: (secret(name, READER) or {})["token"].decode() for name in ("ncloud", "nhn")}
    assert {status(name, token) for name, token in held.items()} == {"200"}
    time.sleep(1)

    result = with_sample.run("uninstall", "--contexts", "kt", "--yes", "-o", "json").exits(0)

    assert [message["code"] for message in result.json["messages"]] == ["settings-name-it"]
    by_name = {cluster["name"]: cluster for cluster in result.data["clusters"]}
    assert {name: cluster["status"] for name, cluster in by_name.items()} == {
        "kt": "removed",
        "ncloud": "member",
        "nhn": "member",
    }
    assert_ended((name, token) for name, token in held.items())
    for name in ("ncloud", "nhn"):
        assert get(name, "secret", "istio-remote-secret-kt-k2p") is None
    answers = traffic()
    assert len(answers) > 50
    assert set(answers) == {"200"}
    snapshots = [json.loads(line) for line in links()]
    nhn = [[one["syncStatus"] for one in at_once if one["id"] == "nhn-nks"] for at_once in snapshots]
    assert len(nhn) > 20
    # "syncing" is what istiod says of a kubeconfig it has just been given, while it goes on with the old one.
    assert {tuple(found) for found in nhn} <= {("synced",), ("syncing",)}, "nhn is never lost"
    assert nhn[-1] == ["synced"]


def test_those_that_stay_are_a_mesh(with_sample: Site) -> None:
    members = Site.at(with_sample.folder / "rest", certs=with_sample.certs, clusters=None)
    checked = members.run("verify", "--wait", "60s", "-o", "json").exits(0)
    assert [cluster["name"] for cluster in checked.data["clusters"]] == ["ncloud", "nhn"]
    tested = members.run("sample", "test", "-o", "json").exits(0)
    assert len(tested.data["clusters"]) == 2


def test_nothing_of_istio_is_left_in_the_cluster_that_left(with_sample: Site) -> None:
    assert with_sample
    kinds = ("namespace", "crd", "clusterrole", "clusterrolebinding")
    webhooks = ("mutatingwebhookconfiguration", "validatingwebhookconfiguration")
    left = kubectl("kt", "get", ",".join((*kinds, *webhooks)), "-o", "name").split()
    assert [name for name in left if "istio" in name or "gateway.networking" in name] == []
    assert command("kubectl", "--context", "kt", "get", "configmap", "-A", "-o", "name").count("istio") == 0


def test_it_can_join_again_under_the_same_root(with_sample: Site) -> None:
    root = with_sample.root
    with_sample.run("install").exits(0)
    assert with_sample.root == root
    with_sample.run("sample", "deploy").exits(0)
    with_sample.run("sample", "test").exits(0)
