"""Which istiods read kubeconfigs from a folder: by their version, and all of a cluster's or none."""

from __future__ import annotations

from typing import Any

import pytest

from istio_mc.domain.istio.istiod import VARIABLE, folder_of, folder_of_values
from tests.support.world import istiod_deployment

VALUES = {"pilot": {"env": {VARIABLE: "/files"}}}


def istiod(tag: str, folder: str = "/files") -> dict[str, Any]:
    made = istiod_deployment("kt", tag)
    made["spec"]["template"]["spec"]["containers"][0]["env"].append({"name": VARIABLE, "value": folder})
    return made


@pytest.mark.parametrize(("version", "folder"), [("1.29.9", ""), ("1.30.0", "/files"), ("ours", "/files")])
def test_since_1_30(version: str, folder: str) -> None:
    assert folder_of([istiod(version)]) == folder
    assert folder_of_values(VALUES, version) == folder


@pytest.mark.parametrize("values", [{}, {"pilot": None}, {"pilot": {"env": None}}, {"pilot": {"env": {}}}])
def test_values_without_it(values: dict[str, Any]) -> None:
    assert folder_of_values(values, "1.31.0") == ""


def test_one_revision_that_reads_remote_secrets_is_enough_to_need_them() -> None:
    assert folder_of([istiod("1.31.0"), istiod_deployment("kt", "1.31.0")]) == ""
    assert folder_of([]) == ""
