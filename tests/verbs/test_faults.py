"""A fault that shows in objects alone is one root cause, and the command that verify suggests fixes it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from istio_mc.ops import cilium as cilium_op
from tests.support.daemons import Cilium

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.kinds import Object
    from tests.support.mesh import Mesh
    from tests.support.runs import Result

pytestmark = pytest.mark.thorough

SYSTEM = "istio-system"
NETWORK = "topology.istio.io/network"


@dataclass(frozen=True)
class Fault:
    """One way to break a mesh.

    Attributes:
        root: ID of the check and context, as verify names the one root cause; None: the mesh.
        make: Breaks it.
    """

    root: tuple[str, str | None]
    make: Callable[[Mesh], object]


def on_namespace(change: Callable[[Object], object]) -> Callable[[Mesh], object]:
    """Changes the labels of nhn's istio-system."""

    def make(mesh: Mesh) -> None:
        nhn = mesh["nhn"]
        nhn.edit(nhn.get("Namespace", SYSTEM), lambda copy: change(copy["metadata"]["labels"]))

    return make


def on_istiod(change: Callable[[Object], object]) -> Callable[[Mesh], object]:
    """Changes the container of nhn's istiod."""

    def make(mesh: Mesh) -> None:
        nhn = mesh["nhn"]

        def edit(copy: Object) -> None:
            (container,) = copy["spec"]["template"]["spec"]["containers"]
            change(container)

        nhn.edit(nhn.get("Deployment", "istiod", SYSTEM), edit)
        nhn.settle()

    return make


def of_another_cluster(container: Object) -> None:
    for one in container["env"]:
        if one["name"] == "CLUSTER_ID":
            one["value"] = "kt-k2p"


def of_an_old_version(container: Object) -> None:
    container["image"] = container["image"].rpartition(":")[0] + ":1.24.0"


FAULTS = {
    "cluster IDs equal": Fault(("names.cluster-id", "nhn"), on_istiod(of_another_cluster)),
    "network label missing on the namespace": Fault(
        ("names.network", "nhn"), on_namespace(lambda labels: labels.pop(NETWORK))
    ),
    "Istio versions too far apart": Fault(("versions.apart", None), on_istiod(of_an_old_version)),
    "settings of Cilium wrong": Fault(
        ("cni.cilium", "ncloud"), lambda mesh: Cilium(mesh["ncloud"]).install()
    ),
}


@pytest.fixture(autouse=True)
def _settles_in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Watches what was ready before a restart for a second only."""
    carry_out = cilium_op.carry_out
    monkeypatch.setattr(
        cilium_op, "carry_out", lambda *words, settle_s: carry_out(*words, settle_s=settle_s / 30)
    )


def roots(result: Result) -> list[tuple[str, str | None]]:
    return [(one["id"], one["cluster"]) for one in result.data["rootCauses"]]


@pytest.mark.parametrize("name", FAULTS)
def test_it_is_the_one_root_cause_and_the_suggested_command_fixes_it(installed: Mesh, name: str) -> None:
    fault = FAULTS[name]
    fault.make(installed)
    found = installed.run("verify", "-o", "json").exits(4)
    assert roots(found) == [fault.root]
    hints = {
        check["problem"]["hint"]
        for check in found.data["checks"]
        if (check["id"], check["cluster"]) == fault.root
    }
    for hint in hints:
        program, *words = shlex.split(hint)
        assert program == "istio-mc"
        installed.run(*words).exits(0)
    installed.settle()
    assert roots(installed.run("verify", "-o", "json").exits(0)) == []
