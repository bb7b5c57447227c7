"""The stand-in clusters and the stand-in istioctl hold what real ones hold, stage by stage.

The same commands run on the lab and on tests/support's mesh, with the same mesh.yaml. Compared are, of all
objects that are not as they were in the bare clusters: which there are, their labels and finalizers, and each
field that istio-mc or istioctl owns, with its value.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.harness import CONTEXTS, Site, clean, each, kubectl
from tests.support import istioctl
from tests.support.comparing import Compared, compared, differences
from tests.support.istioctl_serving import bin_dir
from tests.support.mesh import remembering_mesh

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BARE = "bare"
STAGES = {
    "installed": ("install",),
    "installed again": ("install",),
    "one has left": ("uninstall", "--contexts", "kt", "--yes"),
    "taken away": ("uninstall", "--yes"),
}
ALLOWED = {
    r"IPAddress\S* \S+: only in the real cluster":
        "Kubernetes 1.33 makes one for each address of a Service: nobody here reads them",
    r"APIService\S* \S+\.(istio\.io|gateway\.networking\.k8s\.io): only in the real cluster":
        "Kubernetes makes one for each version that a CRD serves: nobody here reads them",
    r"CustomResourceDefinition\S* .*: istio-(operator|mc) Apply f:spec/f:versions: ":
        "the recorded CRDs have no schemas and no columns; a real server writes schemas its own way",
    r"Secret \S+-token(-RANDOM|-2)?: labels: real \{'kubernetes\.io/legacy-token-last-used': .*\}, .*\{\}":
        "the day on which a token was used last",
}  # fmt: skip
"""What may be different, and why."""

Found = dict[str, dict[str, tuple[Compared, Compared]]]
"""By stage and context: what a real cluster holds, and what its stand-in holds."""


def real(context: str) -> Compared:
    """All that a real cluster holds."""
    kinds = [
        kind
        for scope in ("true", "false")
        for kind in kubectl(
            context, "api-resources", "--verbs=list", f"--namespaced={scope}", "-o", "name"
        ).split()
        if not re.match(r"events|leases|.*metrics", kind)
    ]
    arguments = ("get", ",".join(sorted(set(kinds))), "-A", "-o", "json", "--show-managed-fields")
    items: list[dict[str, Any]] = json.loads(kubectl(context, *arguments, timeout_s=120))["items"]
    return compared(items)


@pytest.fixture(scope="module", name="found")
def run_on_both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Found]:
    clean()
    site = Site.at(tmp_path_factory.mktemp("both"), ca={"key": "ec-256"})
    with remembering_mesh() as mesh:
        for name, balancer in {"kt": "", "ncloud": "gw.ncloud.lab.test"}.items():
            mesh[name].balancer = balancer  # as the lab's providers have it
        # Its own programs: the stand-in's istioctl is found by the variable.
        mesh.settings(**site.settings | {"certsDir": str(mesh.certs), "tools": None})
        version = site.settings["istio"]["version"]
        stages: Found = {}

        def check(stage: str) -> None:
            mesh.settle()
            lab = each(real)
            stages[stage] = {
                name: (lab[name], compared(mesh[name].store.everything().values())) for name in CONTEXTS
            }

        check(BARE)
        for stage, words in STAGES.items():
            site.run(*words).exits(0)
            mesh.run(*words, ISTIO_MC_BIN_DIR=str(bin_dir(version))).exits(0)
            check(stage)
        yield stages
    clean()


def since(before: Compared, now: Compared) -> Compared:
    """What is not as it was before."""
    return {name: item for name, item in now.items() if before.get(name) != item}


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("stage", STAGES)
def test_a_stand_in_holds_what_the_real_cluster_holds(found: Found, stage: str, context: str) -> None:
    (real_bare, stand_in_bare), (real_now, stand_in_now) = found[BARE][context], found[stage][context]
    lines = differences(since(real_bare, real_now), since(stand_in_bare, stand_in_now))
    assert [line for line in lines if not any(re.match(allowed, line) for allowed in ALLOWED)] == []


def test_an_install_leaves_more_than_fifty_objects_to_compare(found: Found) -> None:
    for context in CONTEXTS:
        assert len(since(found[BARE][context][1], found["installed"][context][1])) > 50


@pytest.mark.parametrize("version", istioctl.VERSIONS)
def test_the_recorded_manifests_are_istioctl_s_own(tmp_path: Path, version: str) -> None:
    """Where this fails, record anew: `python -m tests.support.recording`."""
    from tests.support import recording

    created_again = tmp_path / "recorded.json.gz"
    recording.record(recording.lab_istioctl(version), created_again, version)
    assert created_again.read_bytes() == istioctl.recorded(version).read_bytes()
