"""Services of one name and namespace: which of them become one is told, and which differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.harness import kubectl

if TYPE_CHECKING:
    from tests.e2e.harness import Result, Site


def reviews(result: Result) -> dict[str, Any]:
    merged: list[dict[str, Any]] = result.data["mergedServices"]
    (found,) = [one for one in merged if one["name"] == "reviews"]
    return found


@pytest.mark.parametrize("command", [("verify",), ("install", "--dry-run")], ids=" ".join)
def test_a_service_that_runs_in_each_cluster_is_listed_with_its_endpoints(
    mesh: Site, command: tuple[str, ...]
) -> None:
    found = reviews(mesh.run(*command, "-o", "json").exits(0))
    assert (found["endpoints"], found["agrees"]) == ({"kt": 1, "ncloud": 1, "nhn": 1}, True)


def test_labels_that_differ_are_a_warning_that_names_them(mesh: Site) -> None:
    kubectl("kt", "label", "service", "reviews", "-n", "sample", "tier=front")
    try:
        result = mesh.run("verify", "-o", "json").exits(0)
        (message,) = [one for one in result.json["messages"] if one["code"] == "services-disagree"]
        assert "sample/reviews (labels kt: tier=front" in message["seen"]
    finally:
        kubectl("kt", "label", "service", "reviews", "-n", "sample", "tier-")
