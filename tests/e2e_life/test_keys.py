"""Keys that change and a cluster that is lost, on three real clusters, while requests go on: none fails."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import tempfile
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from lab import faults
from tests.e2e.harness import (
    CONTEXTS,
    Site,
    clean,
    command,
    environment,
    live_root,
    merged_kubeconfig,
    secret,
    soon,
    write_kubeconfig,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.harness import Result

PAUSE_S = 0.2
WATCHED_S = 360
_ANSWER = re.compile(r"reviews-(v\d+).* (\d{3})$")
READER = "istio-reader-service-account-istio-remote-secret-token"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A mesh of its own with the sample: its root changes."""
    clean()
    made = Site.at(tmp_path_factory.mktemp("keys") / "site")
    made.run("install", "--contexts", ",".join(CONTEXTS), "--timeout", "170s", timeout_s=180).exits(0)
    made.run("sample", "deploy").exits(0)
    made.run("sample", "test").exits(0)
    yield made
    clean()


class Requests:
    """Requests from clusters to every version of reviews, one after another with a pause."""

    def __init__(self, sources: tuple[str, ...]) -> None:
        self._out = {name: tempfile.TemporaryFile("w+") for name in sources}  # noqa: SIM115 - closed in end
        call = "curl -s -m 5 -w ' %{http_code}\\n' http://reviews:9080/reviews/1 || echo failed"
        most = int(WATCHED_S / PAUSE_S)
        loop = f"echo $$; i=0; while [ $i -lt {most} ]; do {call}; i=$((i+1)); sleep {PAUSE_S}; done"
        self._processes = {
            name: subprocess.Popen([*self._words(name), loop], stdout=out, env=environment())
            for name, out in self._out.items()
        }

    def end(self) -> tuple[Counter[str], list[str]]:
        """Ends them: how many answers each pair of cluster and version had, and what failed."""
        answers: Counter[str] = Counter()
        failed: list[str] = []
        for name, out in self._out.items():
            out.seek(0)
            shell = out.readline().strip()
            command(*self._words(name), f"kill {shell}", check=False)
            self._processes[name].kill()
            self._processes[name].wait()
            for line in (each.strip() for each in out if each.endswith("\n")):
                found = _ANSWER.search(line)
                if found and found[2] == "200":
                    answers[f"{name} → {found[1]}"] += 1
                else:
                    failed.append(f"{name}: {line[-200:]}")
            out.close()
        return answers, failed

    @staticmethod
    def _words(name: str) -> list[str]:
        return ["kubectl", "--context", name, "-n", "sample", "exec", "deploy/sleep", "--", "sh", "-c"]


@contextlib.contextmanager
def without_a_failed_request(what: str, sources: tuple[str, ...] = CONTEXTS) -> Iterator[None]:
    """Sends requests for the time of a block; none fails, every version responds; the counts are printed."""
    requests = Requests(sources)
    try:
        yield
    finally:
        answers, failed = requests.end()
        count = f"{sum(answers.values()) + len(failed)} requests, {len(failed)} failed"
        sys.stdout.write(f"\n{what}: {count}: {dict(answers)}\n")
    assert failed == []
    assert all(answers[f"{name} → v1"] for name in sources), answers


def without_api_server(name: str) -> dict[str, Any]:
    """A kubeconfig whose address of a cluster has no API server."""
    document = merged_kubeconfig()
    (cluster,) = [one["context"]["cluster"] for one in document["contexts"] if one["name"] == name]
    for one in document["clusters"]:
        if one["name"] == cluster:
            one["cluster"]["server"] = one["cluster"]["server"].replace(":6443", ":1")
    return document


def done(result: Result) -> Result:
    sys.stdout.write(result.stderr[-3000:])
    return result.exits(0)


def test_tokens_are_replaced_without_a_failed_request(keys: Site) -> None:
    before = {name: secret(name, READER) for name in CONTEXTS}
    with without_a_failed_request("link --rotate"):
        done(keys.run("link", "--rotate", "--canary", "kt", timeout_s=170))
    assert all(before.values())
    assert {name: secret(name, READER) for name in CONTEXTS} == dict.fromkeys(CONTEXTS)
    keys.run("verify", "--wait", "30s").exits(0)


def ca_of(name: str) -> bytes | None:
    """The certificate of a cluster's own CA, as Secret cacerts has it."""
    return (secret(name, "cacerts") or {}).get("ca-cert.pem")


def test_the_intermediates_change_without_a_failed_request(keys: Site) -> None:
    before, root = {name: ca_of(name) for name in CONTEXTS}, {live_root(name) for name in CONTEXTS}
    with without_a_failed_request("ca rotate --intermediates"):
        done(keys.run("ca", "rotate", "--intermediates", "--canary", "kt", timeout_s=300))
    after = {name: ca_of(name) for name in CONTEXTS}
    assert [name for name in CONTEXTS if after[name] in (before[name], None)] == []
    assert {live_root(name) for name in CONTEXTS} == root
    keys.run("verify", "--wait", "30s").exits(0)


def test_the_root_changes_without_a_failed_request(keys: Site) -> None:
    before = {live_root(name) for name in CONTEXTS}
    with without_a_failed_request("ca rotate"):
        done(keys.run("ca", "rotate", "--canary", "kt", timeout_s=350))
    (root,) = {live_root(name) for name in CONTEXTS}
    assert root not in before
    keys.run("verify", "--wait", "30s").exits(0)


def test_a_cluster_is_lost_and_joins_again_without_a_failed_request(keys: Site) -> None:
    others = ("kt", "ncloud")
    keys.run("sample", "test").exits(0)
    faults.blind("kt", "nhn")
    faults.blind("ncloud", "nhn")
    with without_a_failed_request("uninstall --lost", others):
        config = write_kubeconfig(keys.folder / "lost", without_api_server("nhn"))
        done(keys.run("uninstall", "--lost", "nhn", "--yes", "--kubeconfig", config, timeout_s=120))
    assert {name: secret(name, "istio-remote-secret-nhn-nks") for name in others} == dict.fromkeys(others)
    faults.unblind("kt")
    faults.unblind("ncloud")
    with without_a_failed_request("join again", others):
        keys.run("install", "--contexts", ",".join(CONTEXTS), "--timeout", "170s", timeout_s=180).exits(0)
    soon(lambda: keys.run("verify", "--wait", "30s").code == 0, "the mesh is whole", 60)
