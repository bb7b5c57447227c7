"""verify --deep on the lab: pods call across the clusters, and nothing of them is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lab import faults
from tests.e2e.harness import CONTEXTS, Site, each, kubectl, soon

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.harness import Result

PAIRS = {(one, other) for one in CONTEXTS for other in CONTEXTS if one != other}
SELECTOR = "app.kubernetes.io/component=probe"


def namespaces(context: str) -> list[str]:
    """What is there of --deep, in whatever state."""
    return kubectl(context, "get", "namespaces", "-l", SELECTOR, "-o", "name").split()


def nothing_left() -> bool:
    return not any(each(namespaces).values())


def deep(site: Site, code: int = 0, *more: str) -> Result:
    return site.run("verify", "--deep", "--only", "data-path.deep", "-o", "json", *more).exits(code)


def verdicts(result: Result) -> dict[tuple[str, str], str]:
    """Of each ordered pair."""
    return {
        (c["cluster"], c["peer"]): c["verdict"] for c in result.data["checks"] if c["id"] == "data-path.deep"
    }


@pytest.fixture(scope="module", autouse=True)
def swept(mesh: Site) -> Iterator[None]:
    """No namespace of an earlier run, and none afterwards."""
    assert mesh
    soon(nothing_left, "an earlier run's namespaces are gone", 60)
    yield
    soon(nothing_left, "the namespaces are gone", 60)


class TestWholeMesh:
    @pytest.fixture(scope="class")
    @classmethod
    def done(cls, mesh: Site) -> Result:
        return deep(mesh)

    def test_a_pod_in_each_cluster_is_answered_by_every_other_one(self, done: Result) -> None:
        assert verdicts(done) == dict.fromkeys(PAIRS, "ok")

    def test_it_first_prints_the_planned_steps(self, done: Result) -> None:
        first = done.stderr.splitlines()[0]
        assert "--deep creates a namespace istio-mc-probe-" in first
        assert "kt, ncloud, nhn, and removes it afterwards" in first

    def test_afterwards_nothing_of_it_is_left(self, done: Result) -> None:
        assert done.json["messages"] == []
        assert nothing_left()


def test_a_firewall_that_blocks_a_cluster_but_not_this_machine_is_found(mesh: Site) -> None:
    faults.swallow("kt", 15443, of="ncloud")
    try:
        result = mesh.run("verify", "--deep", "--only", "data-path", "-o", "json").exits(4)
    finally:
        faults.unswallow("kt")

    assert verdicts(result) == dict.fromkeys(PAIRS, "ok") | {("ncloud", "kt"): "failed"}
    (error,) = result.json["errors"]
    assert (error["code"], error["hintType"]) == ("no-answer-across", "manual")
    assert "from the nodes of ncloud to 198.18.0.21" in error["hint"]
    assert nothing_left()
