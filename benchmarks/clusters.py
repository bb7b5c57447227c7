"""The cost of `istio-mc verify` as the number of clusters grows, measured on simulated API servers.

No machine here runs fifty clusters. The servers respond over HTTPS as the API servers of a healthy mesh do,
with the objects that istioctl generates, and count the requests.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import yaml

from benchmarks.growth import Growth, Size
from benchmarks.sides import ISTIO_MC
from istio_mc.domain.istio.operator import istio_operator
from istio_mc.domain.settings.model import Settings
from istio_mc.gateways.tools.find import BIN_DIR_VARIABLE
from istio_mc.ops.session.topology import mesh_of
from lab import proc, settings
from lab.errors import LabError
from lab.log import log_line
from tests.support.fake_mesh import FakeMesh
from tests.support.world import CLUSTERS, MESH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.mesh import Cluster

COUNTS = (5, 50)
SIDECARS = 20
"""Pods with a sidecar in each cluster: as many as `verify` asks for what their proxies hold."""

_CACHE = "XDG_CACHE_HOME"
_DEADLINE_S = 300
_TAIL = 1200
_USAGE = Path(__file__).with_name("usage.py")


_TAG = [
    {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name, "labels": {"istio.io/tag": "default"}},
    }
    for kind, name in (
        ("MutatingWebhookConfiguration", "istio-revision-tag-default"),
        ("ValidatingWebhookConfiguration", "istiod-default-validator"),
    )
]
"""What `istioctl install` creates beside what `istioctl manifest generate` prints."""


def measure(rounds: int) -> Growth:
    """Runs verify on the small and the large mesh by turns, after a first run on each.

    In the first run istioctl generates the desired objects, which are cached.

    Raises:
        LabError: The program failed, or reported a fault of the healthy mesh; or there is no istioctl of the
            Istio that the simulated clusters have in the lab's cache.
    """
    with prepared() as (objects, environment):
        # Each number of clusters has a cache of its own: else the first run of many would find that of few.
        caches = {
            count: {**environment, _CACHE: f"{environment[_CACHE]}/{count}-clusters"} for count in COUNTS
        }
        turns = [
            _turn(count, objects, caches[count], first=number == 0)
            for number in range(rounds + 1)
            for count in COUNTS
        ]
    return Growth(tuple(turns))


@contextmanager
def prepared() -> Iterator[tuple[Callable[[Cluster], list[Object]], dict[str, str]]]:
    """Istio's objects of any cluster, and the environment of the runs, with a cache of their own.

    Raises:
        LabError: There is no istioctl of the Istio that the simulated clusters have in the lab's cache.
    """
    programs = settings.cache() / "bin" / f"istio-{MESH.version}"
    if not (programs / "istioctl").exists():
        raise LabError(f"the lab's cache has no istioctl {MESH.version}: run `make lab-up` first")
    own = _istios_objects(programs / "istioctl")
    with tempfile.TemporaryDirectory(prefix="istio-mc-bench-") as cache:
        yield own, {_CACHE: cache, BIN_DIR_VARIABLE: str(programs)}


def _turn(
    count: int, own: Callable[[Cluster], list[Object]], environment: Mapping[str, str], *, first: bool
) -> Size:
    fake = FakeMesh(count, own, sidecars=SIDECARS)
    with fake.serve() as mesh:
        used = run(mesh, ("verify",), environment)
    log_line(f"{count} clusters: {used.seconds:.1f} s" + (", the first time" if first else ""))
    return Size(count, used.seconds, used.cpu, used.peak, mesh.counts(), first)


class Used(NamedTuple):
    """What one run used: seconds, seconds of CPU, and MiB of memory at most."""

    seconds: float
    cpu: float
    peak: float


def run(mesh: FakeMesh, words: Sequence[str], environment: Mapping[str, str]) -> Used:
    """Runs a command of istio-mc on simulated clusters.

    Raises:
        LabError: Its exit code is not 0.
    """
    with tempfile.TemporaryDirectory(prefix="istio-mc-bench-") as name:
        folder = Path(name)
        kubeconfig, used = folder / "kubeconfig", folder / "used"
        kubeconfig.write_text(json.dumps(mesh.kubeconfig()), encoding="utf-8")
        command = [str(ISTIO_MC), *words, "--kubeconfig", str(kubeconfig), "--no-progress", "-o", "json"]
        inherited = {name: value for name, value in os.environ.items() if name != "ISTIO_MC_CONFIG"}
        done = subprocess.run(
            [sys.executable, str(_USAGE), str(used), str(_DEADLINE_S), *command],
            capture_output=True,
            text=True,
            cwd=folder,
            env={**inherited, **environment},
            timeout=_DEADLINE_S + 30,
            check=False,
        )
        if done.returncode:
            tail = (done.stderr or done.stdout)[-_TAIL:]
            raise LabError(f"istio-mc {' '.join(words)} ended with exit code {done.returncode}: {tail}")
        return Used(**json.loads(used.read_text(encoding="utf-8")))


def _istios_objects(istioctl: Path) -> Callable[[Cluster], list[Object]]:
    """Istio's objects of any cluster, of one run of istioctl: they differ only in ID and network."""
    model = CLUSTERS["kt"]
    document = yaml.safe_dump(istio_operator(mesh_of(Settings(Path.cwd()), MESH.version), model))
    with tempfile.TemporaryDirectory(prefix="istio-mc-bench-") as folder:
        path = Path(folder) / "operator.yaml"
        path.write_text(document, encoding="utf-8")
        made = proc.run([istioctl, "manifest", "generate", "-f", path]).stdout
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = json.dumps([*(item for item in yaml.load_all(made, loader) if item), *_TAG])

    def of(cluster: Cluster) -> list[Object]:
        own = text.replace(model.cluster_id, cluster.cluster_id).replace(model.network, cluster.network)
        return cast("list[Object]", json.loads(own))

    return of
