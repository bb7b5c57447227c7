"""Pod Security denies the mesh's pods in one cluster: a dry run of an install reports it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.harness import SYSTEM, Site, get, kubectl

if TYPE_CHECKING:
    from collections.abc import Iterator

_ENFORCE = "pod-security.kubernetes.io/enforce"


@pytest.fixture
def restricted(whole: Site) -> Iterator[Site]:
    """The mesh, with Pod Security `restricted` for istio-system of nhn."""
    kubectl("nhn", "label", "namespace", SYSTEM, f"{_ENFORCE}=restricted")
    yield whole
    kubectl("nhn", "label", "namespace", SYSTEM, f"{_ENFORCE}-")


def test_pods_that_would_be_denied_are_reported_with_the_reason_and_none_is_made(restricted: Site) -> None:
    before = [pod["metadata"]["uid"] for pod in get("nhn", "pods")["items"]]
    result = restricted.run("install", "--dry-run", "-o", "json").exits(3)
    errors = result.json["errors"]
    assert {(one["code"], one["cluster"]) for one in errors} == {("pod-security", "nhn")}
    assert all('violates PodSecurity "restricted:latest"' in one["seen"] for one in errors)
    assert [pod["metadata"]["uid"] for pod in get("nhn", "pods")["items"]] == before


def test_a_dry_run_reports_nothing_if_admission_allows_the_pods(whole: Site) -> None:
    assert whole.run("install", "--dry-run", "-o", "json").exits(0).json["errors"] == []
