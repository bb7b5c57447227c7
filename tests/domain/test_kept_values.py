"""Values of Istio that an install would reset."""

from __future__ import annotations

import json
from typing import Any

from istio_mc.domain.istio.kept_values import lost_values


def config_map(values: object, name: str = "values") -> dict[str, Any]:
    text = values if isinstance(values, str) else json.dumps(values)
    metadata = {"name": name, "namespace": "istio-system"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"original-values": text}}


def lost(live: object, desired: object, *, revision: str = "", becomes: str = "") -> list[str]:
    had, other = (
        config_map(values, f"values-{name}" if name else "values")
        for values, name in ((live, revision), (desired, becomes))
    )
    return lost_values([had], [other], revision)


TAG = {"tag": "1.31.0"}


def test_values_that_are_missing_or_different_in_the_desired_ones_are_lost() -> None:
    live = {"global": {**TAG, "hub": "registry.test"}, "pilot": {"env": {"A": "1", "B": "2"}}}
    desired = {"global": {**TAG, "hub": "docker.io/istio"}, "pilot": {"env": {"A": "1"}}}
    assert lost(live, desired) == ["global.hub", "pilot.env.B"]


def test_values_that_an_install_adds_are_not_lost() -> None:
    assert lost({"global": TAG, "gateways": {}}, {"global": TAG, "gateways": {"a": {"b": 1}}}) == []


def test_the_values_of_a_revision_are_compared() -> None:
    assert lost({"global": TAG, "a": 1}, {"global": TAG}, revision="canary", becomes="canary") == ["a"]


def test_the_values_of_a_revision_are_compared_with_those_of_the_one_that_comes() -> None:
    assert lost({"global": TAG, "a": 1, "b": 1}, {"global": TAG, "b": 1}, becomes="canary") == ["a"]


def test_values_are_compared_with_those_of_another_version_without_its_tag() -> None:
    assert lost({"global": TAG, "a": 1}, {"global": {"tag": "1.32.0"}}) == ["a"]


def test_a_tag_that_is_more_than_a_version_is_lost() -> None:
    live = {"global": {"tag": "1.31.0-distroless"}}
    assert lost(live, {"global": {"tag": "1.32.0"}}) == ["global.tag"]


def test_values_that_cannot_be_parsed_are_not_compared() -> None:
    assert lost("{", {"global": TAG}) == []
