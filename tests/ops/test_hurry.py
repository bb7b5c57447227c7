"""A changed Secret that no istiod takes up: kubelets are looked again, and not at each look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from istio_mc.ops.rotation import cacerts

if TYPE_CHECKING:
    from collections.abc import Mapping


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Which cluster's kubelets were looked to look, and with which mark."""
    found: list[tuple[str, str]] = []
    monkeypatch.setattr(cacerts, "hurry", lambda kube, mark: found.append((kube, mark)))
    return found


KUBES: Mapping[str, Any] = {"kt": "kt", "nhn": "nhn"}


def test_each_time_the_mark_is_another_one(
    looked: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cacerts, "AGAIN_S", 0.0)
    hurry = cacerts.Hurry(KUBES, "trust")
    hurry.again(["kt"])
    hurry.again(["kt", "nhn", "nhn"])
    assert looked == [("kt", "trust-2"), ("kt", "trust-3"), ("nhn", "trust-3")]


def test_soon_after_the_last_time_no_kubelet_looks(looked: list[tuple[str, str]]) -> None:
    cacerts.Hurry(KUBES, "trust").again(["kt"])
    assert looked == []
