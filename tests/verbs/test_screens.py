"""Screens of the verbs on the stand-in mesh, healthy and broken, at 80 and 120 columns.

Those of verify, install, link, sample, ca and contexts are in tests/present. After a change that is intended:
`UPDATE_GOLDEN=1 pytest -m "" tests/verbs/test_screens.py`; then read `git diff tests/golden`.
"""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.cells import cell_len

from tests.support import istioctl
from tests.support.daemons import Cilium
from tests.support.fixtures import made_once
from tests.support.istioctl_serving import bin_dir
from tests.support.store import By

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from _pytest.mark import ParameterSet

    from tests.support.mesh import Mesh

SYSTEM = "istio-system"
GATEWAY = "istio-ingressgateway"
THREE = ("--contexts", "kt,ncloud,nhn")
COPIED = re.compile(r"https?://|IMAGES|/folder|/repository|istio-mc |kubectl |^apiVersion|^ *name: ")
"""In lines with these, words are there to be copied: they are whole, however long."""

FOLDED = re.compile(r"(/folder[^\n]*)\n +(?!(?:seen|expected|fix|docs): )")
"""Where a line is folded behind a path: that depends on the path's length."""

HEALTHY = {
    "address": ("address",),
    "address-set": ("address", "--set", "kt=203.0.113.9", "--dry-run"),
    "addons-list": ("addons", "list"),
    "addons-install": ("addons", "install", "--dry-run"),
    "bundle": ("bundle", "--file", "bundle.tar.gz"),
    "cilium-status": ("cilium", "status"),
    "cilium-fix": ("cilium", "fix", "--dry-run"),
    "config-show": ("config", "show"),
    "config-show-changed": ("config", "show", "--changed"),
    "report": ("report", "--file", "report.html"),
    "status": ("status",),
    "trace": ("trace", "sample/reviews"),
    "uninstall": ("uninstall", "--dry-run"),
    "uninstall-one": ("uninstall", "--contexts", "nhn", "--dry-run"),
}
BROKEN = {
    "address": 3,
    "addons-install": 3,
    "bundle": 3,
    "cilium-status": 3,
    "report": 0,
    "status": 3,
    "trace": 4,
    "uninstall": 3,
}
"""The verbs that also have a screen of a mesh with faults, and their exit codes there."""

pytestmark = pytest.mark.parametrize(
    "columns", [80, pytest.param(120, marks=pytest.mark.thorough)], ids=["80", "120"]
)


def quick(names: Iterable[str], *slow: str) -> list[ParameterSet]:
    """Parameters, of which `slow` ones and bundles, which take a second, are left to `make test`."""
    return [pytest.param(name, marks=[pytest.mark.thorough] * (name in ("bundle", *slow))) for name in names]


@pytest.fixture
def whole(mesh: Mesh, installed: Mesh) -> Mesh:
    """A mesh with a service and a client in every cluster."""

    def make() -> None:
        for one in installed.clusters.values():
            one.deploy("reviews", "sample")
            one.deploy("sleep", "sample")
            one.settle()

    made_once(mesh, "screens", make)
    return installed


@pytest.fixture
def faulty(whole: Mesh) -> Mesh:
    """That mesh without a remote secret, without an address of a gateway, and without a cluster."""
    kt = whole["kt"]
    kt.delete(kt.get("Secret", "istio-remote-secret-nhn-nks", SYSTEM))
    kt.balancer = ""
    service = kt.get("Service", GATEWAY, SYSTEM)
    kt.set_status(service, {"loadBalancer": {}}, By("cloud-controller-manager", subresource="status"))
    kt.settle()
    whole.cut("ncloud")
    return whole


def with_cilium(mesh: Mesh, name: str) -> None:
    """Installs Cilium in a cluster, for its own screens."""
    if name.startswith("cilium"):
        Cilium(mesh["nhn"]).install()


def screen(mesh: Mesh, columns: int, words: tuple[str, ...], code: int = 0) -> str:
    """What a terminal shows of a run: standard output, then standard error, without what differs by run."""
    done = mesh.run(*words, "--no-progress", COLUMNS=str(columns)).exits(code)
    text = f"$ istio-mc {' '.join(words)}\n{done.stdout}{done.stderr}"
    for folder, name in ((mesh.folder, "/folder"), (bin_dir(istioctl.VERSION), "/bin")):
        text = text.replace(str(folder), name)
    text = text.replace(str(Path(__file__).parents[2]), "/repository")
    for number, one in enumerate(mesh.clusters.values(), 1):
        address = one.gateway.address
        text = text.replace(address, f"127.4220{number:03}")
        text = text.replace(socket.inet_ntoa(socket.inet_aton(address)), f"127.64.100.{100 + number}")
    text = re.sub(r"127\.1:\d+", "127.1:46443", text)
    text = re.sub(r"\b\d\d,\d{3} bytes", "90,000 bytes", text)
    text = re.sub(r"\b(reviews|sleep)-[a-z0-9]+(-[a-z0-9]{5})\b", r"\1-7d4f-x2x4z", text)
    text = re.sub(r"\n +(?=/folder)", " ", text)
    while (joined := FOLDED.sub(r"\1 ", text)) != text:
        text = joined
    lines = [line.rstrip() for line in text.splitlines()]
    wide = [line for line in lines if cell_len(line) > columns and len(line.split()) > 2]
    too_wide = [line for line in wide if not COPIED.search(line)]
    assert too_wide == []
    return "".join(f"{line}\n" for line in lines)


@pytest.mark.parametrize("name", quick(HEALTHY))
def test_the_screen_of_a_healthy_mesh(
    whole: Mesh, name: str, columns: int, golden: Callable[[str, str], None]
) -> None:
    with_cilium(whole, name)
    golden(f"screens/{name}-ok-{columns}.txt", screen(whole, columns, HEALTHY[name]))


@pytest.mark.parametrize("name", quick(BROKEN, "report"))
def test_the_screen_of_a_mesh_with_faults(
    faulty: Mesh, name: str, columns: int, golden: Callable[[str, str], None]
) -> None:
    with_cilium(faulty, name)
    golden(f"screens/{name}-faults-{columns}.txt", screen(faulty, columns, HEALTHY[name], BROKEN[name]))


def test_the_screens_of_an_adoption(scripted: Mesh, columns: int, golden: Callable[[str, str], None]) -> None:
    words = ("adopt", *THREE, "--dry-run")
    golden(f"screens/adopt-ok-{columns}.txt", screen(scripted, columns, words))
    scripted.cut("ncloud")
    golden(f"screens/adopt-faults-{columns}.txt", screen(scripted, columns, words, 3))


def test_the_screen_of_settings_with_errors(
    mesh: Mesh, columns: int, golden: Callable[[str, str], None]
) -> None:
    mesh.settings(istio={"version": "1.26", "revison": "a"}, clusters=[{"context": "kt"}, {"context": "aws"}])
    golden(f"screens/config-show-faults-{columns}.txt", screen(mesh, columns, ("config", "show"), 2))
