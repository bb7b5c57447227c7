"""What docs/trace.md shows of trace is what trace prints of these faults, but for names of pods."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.verbs.test_trace import (
    annotated,
    custom,
    deploy,
    edit,
    labelled,
    replace_pods,
    template,
    without_injection,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.mesh import Mesh

pytestmark = pytest.mark.thorough

VERSIONS = {"kt": "v1", "ncloud": "v2", "nhn": "v3"}
_PAGE = Path(__file__).parents[2] / "docs" / "trace.md"
_CAPTURE = re.compile(r"^```\n\$ istio-mc trace sample/reviews\n(.*?)```$", re.MULTILINE | re.DOTALL)
_WORKLOAD = re.compile(r"reviews-v\d")
_POD = re.compile(r"reviews(-[0-9a-z]+)+(?= |$)", re.MULTILINE)


def routes_to(**destination: str) -> dict[str, object]:
    return {"hosts": ["reviews"], "http": [{"route": [{"destination": destination}]}]}


def captures() -> list[str]:
    return [plain(one) for one in _CAPTURE.findall(_PAGE.read_text(encoding="utf-8"))]


def plain(text: str) -> str:
    """A text without the names of the lab's Deployments and of pods, and without blanks at line ends."""
    lines = _POD.sub("POD", _WORKLOAD.sub("reviews", text)).splitlines()
    return "\n".join(line.rstrip() for line in lines)


def with_versions(mesh: Mesh) -> None:
    for name, one in mesh.clusters.items():
        template(one, "reviews", labels={"version": VERSIONS[name]})


def nothing(_: Mesh) -> None:
    """No fault."""


def not_exported(mesh: Mesh) -> None:
    edit(mesh["nhn"], "Service", "reviews", annotated("networking.istio.io/exportTo", "."))


def without_an_image(mesh: Mesh) -> None:
    mesh["nhn"].stuck["reviews"] = "ImagePullBackOff"
    replace_pods(mesh["nhn"], "sample", ["deployment/reviews"])


def restarted_without_injection(mesh: Mesh) -> None:
    without_injection(mesh["nhn"])
    edit(mesh["nhn"], "Namespace", "sample", labelled("istio-injection=enabled"), "")


def routed_elsewhere(mesh: Mesh) -> None:
    custom(mesh["kt"], "networking", "VirtualService", "fault", routes_to(host="ratings"))


def routed_to_own_subset(mesh: Mesh) -> None:
    subsets = {"host": "reviews", "subsets": [{"name": "own", "labels": {"version": "v1"}}]}
    custom(mesh["kt"], "networking", "DestinationRule", "fault", subsets)
    custom(mesh["kt"], "networking", "VirtualService", "fault", routes_to(host="reviews", subset="own"))


FAULTS: tuple[Callable[[Mesh], None], ...] = (
    nothing,
    not_exported,
    without_an_image,
    restarted_without_injection,
    routed_elsewhere,
    routed_to_own_subset,
)


def test_each_capture_is_of_one_of_these_faults() -> None:
    assert len(captures()) == len(FAULTS)


@pytest.mark.parametrize("number", range(len(FAULTS)), ids=lambda number: FAULTS[number].__name__)
def test_a_capture_is_what_is_printed(installed: Mesh, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    deploy(installed)
    with_versions(installed)
    FAULTS[number](installed)
    result = installed.run("trace", "sample/reviews", "--no-progress")
    assert plain(result.stdout + result.stderr) == captures()[number]
