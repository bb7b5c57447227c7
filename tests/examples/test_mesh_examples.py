"""examples/mesh*.yaml: accepted by the program's own rules; the guide's sets are the guide's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from istio_mc.domain.tools import Tool
from istio_mc.gateways.host.settings_file import load_settings

if TYPE_CHECKING:
    from istio_mc.domain.settings.model import Settings

FOLDER = Path(__file__).parents[2] / "examples"
FILES = sorted(FOLDER.glob("mesh*.yaml"))


def settings(name: str) -> Settings:
    return load_settings(FOLDER / name, FOLDER)


def test_there_are_examples() -> None:
    assert {"mesh.yaml", "mesh-all.yaml", "mesh-kpaas-1.6.1.1.yaml", "mesh-kpaas-1.7.0.yaml"} <= {
        file.name for file in FILES
    }


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_each_is_accepted(file: Path) -> None:
    assert [cluster.context for cluster in settings(file.name).clusters] == ["kt", "ncloud", "nhn"]


@pytest.mark.parametrize(
    ("release", "istio", "kubectl", "helm"),
    [("1.6.1.1", "1.26.0", "1.32.3", "3.16.4"), ("1.7.0", "1.28.0", "1.33.4", "3.18.4")],
)
def test_the_guides_sets_pin_the_guides_versions(release: str, istio: str, kubectl: str, helm: str) -> None:
    found = settings(f"mesh-kpaas-{release}.yaml")
    tools = {tool: found.tool_version(tool) for tool in (Tool.ISTIOCTL, Tool.KUBECTL, Tool.HELM)}
    assert tools == {Tool.ISTIOCTL: istio, Tool.KUBECTL: kubectl, Tool.HELM: helm}
    assert found.ca.validity == "87600h"
