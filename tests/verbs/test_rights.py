"""Missing rights are found before the first change, and reported at once for all clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.verbs.test_upgrade import TO, older_mesh, run

if TYPE_CHECKING:
    from tests.support.mesh import Mesh
    from tests.support.runs import Result

__all__ = ["older_mesh"]

TWO = ("kt", "ncloud")


class Verb(NamedTuple):
    """A verb, and a right that it needs in kt and ncloud."""

    words: tuple[str, ...]
    right: str
    lost: str = ""


VERBS = {
    "link --rotate": Verb(("link", "--rotate"), "delete secrets"),
    "link --rotate without leases": Verb(("link", "--rotate"), "create leases"),
    "ca rotate": Verb(("ca", "rotate"), "patch secrets"),
    "ca rotate --intermediates": Verb(("ca", "rotate", "--intermediates"), "patch secrets"),
    "uninstall --lost": Verb(("uninstall", "--lost", "nhn", "--yes"), "delete secrets", lost="nhn"),
    "addons install": Verb(("addons", "install", "metallb"), "create deployments"),
    "address": Verb(("address", "--set", "kt=203.0.113.7", "--set", "ncloud=203.0.113.8"), "patch services"),
    "sample deploy": Verb(("sample", "deploy"), "create deployments"),
    "sample remove": Verb(("sample", "remove", "--yes"), "delete namespaces"),
}


def denied(mesh: Mesh, right: str) -> None:
    for name in TWO:
        mesh[name].faults.denied.add(right)


def seen(result: Result) -> list[str]:
    return [error["seen"] for error in result.json["errors"]]


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS.keys())
def test_missing_rights_of_all_clusters_are_reported_and_nothing_is_changed(
    installed: Mesh, verb: Verb
) -> None:
    denied(installed, verb.right)
    if verb.lost:
        installed.cut(verb.lost)
    before = {name: installed.snapshots()[name] for name in TWO}
    result = installed.run(*verb.words, "-o", "json").exits(2)
    assert result.errors == [("rights-missing", name) for name in TWO]
    assert all(verb.right in one for one in seen(result))
    assert {name: installed.snapshots()[name] for name in TWO} == before


def test_several_in_one_cluster_are_one_error(installed: Mesh) -> None:
    installed["kt"].faults.denied |= {"delete secrets", "create secrets"}
    (one,) = seen(installed.run("link", "--rotate", "-o", "json").exits(2))
    assert one == "denied: create secrets in istio-system; delete secrets in istio-system"


def test_a_right_that_a_verb_does_not_use_stops_nothing(installed: Mesh) -> None:
    denied(installed, "delete deployments")
    installed.run("sample", "deploy", "-o", "json").exits(0)


@pytest.mark.thorough
@pytest.mark.parametrize("right", ["delete configmaps", "create leases", "patch deployments"])
def test_an_upgrade_reports_them_of_all_clusters(old: Mesh, right: str) -> None:
    denied(old, right)
    before = old.snapshots()
    result = run(old, *TO).exits(2)
    assert result.errors == [("rights-missing", name) for name in TWO]
    assert all(right in one for one in seen(result))
    assert old.snapshots() == before


def test_an_upgrade_that_restarts_workloads_needs_their_rights(old: Mesh) -> None:
    denied(old, "patch daemonsets")
    assert run(old, *TO, "--restart-workloads", "--yes").exits(2).errors == [
        ("rights-missing", name) for name in TWO
    ]


def test_a_dry_run_of_an_upgrade_needs_no_right_to_change(old: Mesh) -> None:
    denied(old, "delete configmaps")
    run(old, *TO, "--dry-run").exits(0)
