"""What is reported where a cluster leaves and something is left to do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from istio_mc.ops.uninstall.leave import named_in_settings, tokens_in_files, tokens_kept
from istio_mc.ops.uninstall.plan import Uninstalling
from istio_mc.ops.uninstall.uninstall import untouched
from tests.support.world import CLUSTERS, UNREACHABLE, World

if TYPE_CHECKING:
    from istio_mc.domain.observed import Observed

FILE = Path("mesh.yaml")


def leaving(*going: str, observed: dict[str, Observed] | None = None) -> Uninstalling:
    """Some clusters are to leave the mesh of three; all of it responds."""
    seen = World().facts().observed if observed is None else observed
    return Uninstalling(CLUSTERS, going, seen, {}, (), {}, {})


def test_kept_tokens_are_a_warning_with_the_unfinished_clusters_and_the_command() -> None:
    seen = {"kt": World().facts().observed["kt"]}
    todo = leaving("nhn", observed=seen)
    problem = tokens_kept(todo, {"kt": (UNREACHABLE,), "ncloud": (UNREACHABLE,)})
    assert (problem.code, problem.seen) == ("tokens-kept", "ncloud, kt is not reachable, or not finished")
    assert "the tokens in nhn still work" in problem.message
    assert str(problem.hint).endswith("uninstall --contexts nhn")


def test_tokens_in_kubeconfig_files_are_a_warning_with_the_clusters_that_have_the_files() -> None:
    """Nobody but the user can replace them: istiod of kt reads the others with files."""
    clusters = {**CLUSTERS, "kt": replace(CLUSTERS["kt"], kubeconfig_folder="/etc/remote")}
    (problem,) = tokens_in_files(replace(leaving("nhn"), clusters=clusters))
    assert problem.message == "tokens of ncloud in nhn still work"
    assert problem.seen == "istiod reads kubeconfigs with them from files in kt (/etc/remote)"
    assert tokens_in_files(leaving("nhn")) == ()


@pytest.mark.parametrize(
    ("going", "listed", "named"),
    [
        (("nhn",), ("kt", "ncloud", "nhn"), "nhn"),
        (("ncloud", "nhn"), ("kt", "nhn"), "nhn"),
        (("ncloud", "nhn"), ("kt", "ncloud", "nhn"), "ncloud, nhn"),
        (("nhn",), ("kt", "ncloud"), None),
        (("kt", "ncloud", "nhn"), ("kt", "ncloud", "nhn"), None),  # the whole mesh goes: nothing takes it in
    ],
)
def test_a_cluster_that_leaves_though_mesh_yaml_names_it_is_a_warning(
    going: tuple[str, ...], listed: tuple[str, ...], named: str | None
) -> None:
    found = named_in_settings(leaving(*going), listed, FILE)
    assert [problem.seen for problem in found] == ([f"{named} under clusters in {FILE}"] if named else [])
    planned = untouched(leaving(*going), listed, FILE)
    assert (planned.dry_run, planned.removed, planned.warnings) == (True, {}, found)
