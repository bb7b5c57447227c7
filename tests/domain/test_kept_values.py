"""Values of Istio that an install would reset."""

from __future__ import annotations

import json
from typing import Any

from istio_mc.domain.istio.kept_values import lost_values
from istio_mc.domain.kube.objects import ref_of


def config_map(values: object, name: str = "values") -> dict[str, Any]:
    text = values if isinstance(values, str) else json.dumps(values)
    metadata = {"name": name, "namespace": "istio-system"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"original-values": text}}


def lost(live: object, desired: object, *, version: str = "1.31.0", revision: str = "") -> list[str]:
    name = f"values-{revision}" if revision else "values"
    had = config_map(live, name)
    return lost_values({ref_of(had): had}, [config_map(desired, name)], version, revision)


TAG = {"tag": "1.31.0"}


def test_values_that_are_missing_or_different_in_the_desired_ones_are_lost() -> None:
    live = {"global": {**TAG, "hub": "registry.test"}, "pilot": {"env": {"A": "1", "B": "2"}}}
    desired = {"global": {**TAG, "hub": "docker.io/istio"}, "pilot": {"env": {"A": "1"}}}
    assert lost(live, desired) == ["global.hub", "pilot.env.B"]


def test_values_that_an_install_adds_are_not_lost() -> None:
    assert lost({"global": TAG, "gateways": {}}, {"global": TAG, "gateways": {"a": {"b": 1}}}) == []


def test_the_values_of_a_revision_are_compared() -> None:
    assert lost({"global": TAG, "a": 1}, {"global": TAG}, revision="canary") == ["a"]


def test_values_of_another_version_are_not_compared() -> None:
    assert lost({"global": TAG, "a": 1}, {"global": {"tag": "1.32.0"}}, version="1.32.0") == []


def test_values_that_cannot_be_parsed_are_not_compared() -> None:
    assert lost("{", {"global": TAG}) == []
