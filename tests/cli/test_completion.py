"""What a shell offers for --contexts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from istio_mc.cli.edge import complete_contexts

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config"
    document = {
        "clusters": [
            {"name": name, "cluster": {"server": f"https://{name}"}} for name in ("kt", "nhn", "ncloud")
        ],
        "users": [{"name": "u", "user": {}}],
        "contexts": [
            {"name": name, "context": {"cluster": name, "user": "u"}} for name in ("kt", "nhn", "ncloud")
        ],
    }
    path.write_text(yaml.safe_dump(document))
    monkeypatch.setenv("KUBECONFIG", str(path))


def test_every_context_is_offered_at_the_start() -> None:
    assert complete_contexts("") == ["kt", "nhn", "ncloud"]


def test_the_last_part_of_a_list_is_completed() -> None:
    assert complete_contexts("kt,n") == ["kt,nhn", "kt,ncloud"]


def test_a_context_already_in_the_list_is_not_offered_again() -> None:
    assert complete_contexts("nhn,") == ["nhn,kt", "nhn,ncloud"]


def test_a_kubeconfig_that_cannot_be_read_offers_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    assert complete_contexts("") == []
