"""Keys that change and a cluster that is lost, on three real clusters, while requests go on: none fails."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any

from lab import faults
from tests.e2e.harness import (
    CONTEXTS,
    Site,
    each,
    get,
    live_root,
    merged_kubeconfig,
    secret,
    soon,
    write_kubeconfig,
)
from tests.e2e.traffic import requests

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.e2e.harness import Result

READER = "istio-reader-service-account-istio-remote-secret-token"


@contextlib.contextmanager
def without_a_failed_request(
    what: str, sources: tuple[str, ...] = CONTEXTS, versions: Mapping[str, set[str]] | None = None
) -> Iterator[None]:
    """Sends requests for the time of a block; none fails, every version responds; the counts are printed.

    Args:
        versions: Those that have to respond to each cluster; None: all of them.
    """
    with requests(sources) as made:
        yield
    sys.stdout.write(f"\n{what}: {made}\n")
    assert made.failed == []
    desired = versions or {name: {"v1", "v2", "v3"} for name in sources}
    assert all(desired[name] <= set(made.versions(name)) for name in sources), str(made)


def without_api_server(name: str) -> dict[str, Any]:
    """A kubeconfig whose address of a cluster has no API server."""
    document = merged_kubeconfig()
    (cluster,) = [one["context"]["cluster"] for one in document["contexts"] if one["name"] == name]
    for one in document["clusters"]:
        if one["name"] == cluster:
            one["cluster"]["server"] = one["cluster"]["server"].replace(":6443", ":1")
    return document


def done(result: Result) -> Result:
    sys.stdout.write(result.stderr)
    return result.exits(0)


def test_tokens_are_replaced_without_a_failed_request(with_sample: Site) -> None:
    before = each(token_secrets)
    with without_a_failed_request("link --rotate"):
        done(with_sample.run("link", "--rotate", "--canary", "kt", timeout_s=170))
    after = each(token_secrets)
    assert [len(names) for names in (*before.values(), *after.values())] == [1] * 2 * len(CONTEXTS)
    assert [name for name in CONTEXTS if after[name] == before[name]] == []
    with_sample.run("verify", "--wait", "30s").exits(0)


def token_secrets(name: str) -> list[str]:
    """The Secrets of the tokens by which others read a cluster."""
    secrets = (one["metadata"]["name"] for one in get(name, "secrets")["items"])
    return [one for one in secrets if one.startswith(READER)]


def test_tokens_that_expire_are_used_without_a_failed_request(with_sample: Site) -> None:
    with without_a_failed_request("link --rotate --expires 90d"):
        result = done(with_sample.run("link", "--rotate", "--expires", "90d", "-o", "json", timeout_s=170))
    assert all(one["expires"] for one in result.data["clusters"])
    bound = each(bound_tokens)
    assert [len(names) for names in bound.values()] == [1, 1, 1]
    with_sample.run("install", "--contexts", ",".join(CONTEXTS), "--timeout", "170s", timeout_s=180).exits(0)
    assert each(bound_tokens) == bound
    with_sample.run("verify", "--wait", "30s").exits(0)


def bound_tokens(name: str) -> list[str]:
    """The Secrets of tokens that expire."""
    secrets = get(name, "secrets", "--field-selector", "type=istio-mc/bound-token")["items"]
    return [one["metadata"]["name"] for one in secrets]


def ca_of(name: str) -> bytes | None:
    """The certificate of a cluster's own CA, as Secret cacerts has it."""
    return (secret(name, "cacerts") or {}).get("ca-cert.pem")


def test_the_intermediates_change_without_a_failed_request(with_sample: Site) -> None:
    before, root = {name: ca_of(name) for name in CONTEXTS}, {live_root(name) for name in CONTEXTS}
    with without_a_failed_request("ca rotate --intermediates"):
        done(with_sample.run("ca", "rotate", "--intermediates", "--canary", "kt", timeout_s=300))
    after = {name: ca_of(name) for name in CONTEXTS}
    assert [name for name in CONTEXTS if after[name] in (before[name], None)] == []
    assert {live_root(name) for name in CONTEXTS} == root
    with_sample.run("verify", "--wait", "30s").exits(0)


def test_the_root_changes_without_a_failed_request(with_sample: Site) -> None:
    before = {live_root(name) for name in CONTEXTS}
    with without_a_failed_request("ca rotate"):
        done(with_sample.run("ca", "rotate", "--canary", "kt", timeout_s=350))
    (root,) = {live_root(name) for name in CONTEXTS}
    assert root not in before
    with_sample.run("verify", "--wait", "30s").exits(0)


def test_a_cluster_is_lost_and_joins_again_without_a_failed_request(with_sample: Site) -> None:
    others = ("kt", "ncloud")
    with_sample.run("sample", "test").exits(0)
    faults.blind("kt", "nhn")
    faults.blind("ncloud", "nhn")
    remaining = {name: {"v1", "v2"} for name in others}
    with without_a_failed_request("uninstall --lost", others, remaining):
        config = write_kubeconfig(with_sample.folder / "lost", without_api_server("nhn"))
        done(with_sample.run("uninstall", "--lost", "nhn", "--yes", "--kubeconfig", config, timeout_s=120))
    assert {name: secret(name, "istio-remote-secret-nhn-nks") for name in others} == dict.fromkeys(others)
    faults.unblind("kt")
    faults.unblind("ncloud")
    with without_a_failed_request("join again", others, remaining):
        with_sample.run(
            "install", "--contexts", ",".join(CONTEXTS), "--timeout", "170s", timeout_s=180
        ).exits(0)
    soon(lambda: with_sample.run("verify", "--wait", "30s").code == 0, "the mesh is whole", 60)
