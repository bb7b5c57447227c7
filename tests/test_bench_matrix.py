"""When the benchmark takes a mesh for complete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.matrix import faults

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTEXTS = ("kt", "nhn")


def envelope(
    answered: Mapping[str, Mapping[str, int]], *, calls: int = 120, versions: Mapping[str, str] | None = None
) -> dict[str, Any]:
    rows = [{"name": name, "calls": calls, "responses": row, "failed": {}} for name, row in answered.items()]
    return {
        "status": "success",
        "data": {
            "versions": versions or {"kt": "v1", "nhn": "v2"},
            "leastShare": 0.25,
            "clusters": rows,
        },
        "errors": [],
    }


def test_every_version_answering_every_cluster_is_complete() -> None:
    assert faults(envelope({"kt": {"v1": 58, "v2": 62}, "nhn": {"v1": 61, "v2": 59}}), CONTEXTS) == []


def test_a_version_with_too_few_answers_is_reported() -> None:
    found = faults(envelope({"kt": {"v1": 100, "v2": 20}, "nhn": {"v1": 61, "v2": 59}}), CONTEXTS)
    assert found == ["v2 answered kt in 20 of 120 calls"]


def test_a_version_that_never_answered_is_reported() -> None:
    found = faults(envelope({"kt": {"v1": 120}, "nhn": {"v1": 61, "v2": 59}}), CONTEXTS)
    assert found == ["v2 never answered kt"]


def test_a_cluster_without_a_row_is_reported() -> None:
    assert faults(envelope({"kt": {"v1": 58, "v2": 62}}), CONTEXTS) == ["nhn has no client"]


def test_a_cluster_without_a_version_is_reported() -> None:
    found = faults(envelope({"kt": {"v1": 60}, "nhn": {"v1": 60}}, calls=60, versions={"kt": "v1"}), CONTEXTS)
    assert found == ["nhn has no version"]


def test_a_failed_test_s_own_errors_are_reported() -> None:
    failed = {"status": "error", "data": None, "errors": [{"cluster": "kt", "message": "no answer"}]}
    assert faults(failed, CONTEXTS) == ["kt: no answer"]
