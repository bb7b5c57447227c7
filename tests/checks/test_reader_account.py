"""Before an install: an account that the values leave to somebody else must be there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from istio_mc.checks import access, remote_access
from istio_mc.checks.runner import run
from tests.support.world import World

NAMED = {"name": "reader", "namespace": "istio-system"}


def found(values: dict[str, Any], *accounts: str, version: str = "1.31.0") -> list[tuple[str, str | None]]:
    world = World()
    for name in accounts:
        metadata = {"name": name, "namespace": "istio-system"}
        world.objects["kt"].append({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
    facts = world.facts()
    kt = replace(
        facts.clusters["kt"],
        values={"global": values},
        reader=values.get("readerServiceAccount", {}).get("name") or facts.clusters["kt"].reader,
    )
    facts = replace(facts, mesh=replace(facts.mesh, version=version), clusters={**facts.clusters, "kt": kt})
    results = run((*access.CHECKS, *remote_access.BEFORE_AN_INSTALL), facts)
    return [(one.problem.code, one.problem.cluster) for one in results if one.problem]


def test_the_account_that_charts_make_need_not_be_there() -> None:
    assert found({}) == []


@pytest.mark.parametrize(
    ("values", "account"),
    [
        ({"enableReaderRBAC": False}, "istio-reader-service-account"),
        ({"readerServiceAccount": NAMED}, "reader"),
    ],
    ids=["no RBAC", "named"],
)
def test_one_that_they_do_not_make_must_be(values: dict[str, Any], account: str) -> None:
    assert found(values) == [("reader-account-missing", "kt")]
    assert found(values, account) == []


def test_one_of_another_namespace_is_refused() -> None:
    values = {"readerServiceAccount": {"name": "reader", "namespace": "readers"}}
    assert found(values, "reader") == [("reader-account-elsewhere", "kt")]


def test_charts_without_these_values_create_the_reader_account() -> None:
    assert found({"enableReaderRBAC": False}, version="1.29.1") == []
