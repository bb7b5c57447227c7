"""What `istio-mc verify` costs as clusters grow in number, against API servers that are not real.

No machine here carries fifty clusters. The servers answer over HTTPS what clusters of a mesh that works
would, Istio's own objects as istioctl makes them among it, and count what they are asked.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import yaml

from benchmarks.growth import Growth, Size
from benchmarks.sides import ISTIO_MC
from istio_mc.domain.istio.operator import istio_operator
from istio_mc.domain.settings.model import Settings
from istio_mc.ops.session.topology import mesh_of
from lab import proc
from lab.errors import LabError
from lab.log import say
from tests.support.fake_mesh import FakeMesh
from tests.support.world import CLUSTERS, MESH

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.mesh import Cluster

COUNTS = (5, 50)
_DEADLINE_S = 300
_TAIL = 1200
_USAGE = Path(__file__).with_name("usage.py")


_TAG = {
    "apiVersion": "admissionregistration.k8s.io/v1",
    "kind": "MutatingWebhookConfiguration",
    "metadata": {"name": "istio-revision-tag-default", "labels": {"istio.io/tag": "default"}},
}
"""What `istioctl install` sets beside what it generates."""


def measure(rounds: int) -> Growth:
    """Verify the smaller mesh and the larger one in turns, each as often as said, after a first time.

    The first time istioctl says what is wanted in each cluster, which is kept.

    Raises:
        LabError: The program failed, or found fault with a mesh that has none.
    """
    own = _istios_objects()
    with tempfile.TemporaryDirectory(prefix="istio-mc-bench-") as cache:
        turns = [
            _turn(count, own, Path(cache), first=number == 0)
            for number in range(rounds + 1)
            for count in COUNTS
        ]
    return Growth(tuple(turns))


def _turn(count: int, own: Callable[[Cluster], list[Object]], cache: Path, *, first: bool) -> Size:
    fake = FakeMesh(count, own)
    with fake.serve() as mesh, tempfile.TemporaryDirectory(prefix="istio-mc-bench-") as folder:
        size = _verified(count, mesh, Path(folder), {"XDG_CACHE_HOME": str(cache)}, first=first)
    say(f"{count} clusters: {size.seconds:.1f} s" + (", the first time" if first else ""))
    return size


def _verified(count: int, mesh: FakeMesh, folder: Path, more: Mapping[str, str], *, first: bool) -> Size:
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(json.dumps(mesh.kubeconfig()), encoding="utf-8")
    used = folder / "used"
    verify = [str(ISTIO_MC), "verify", "--kubeconfig", str(kubeconfig), "--no-progress", "-o", "json"]
    settings = {name: value for name, value in os.environ.items() if name != "ISTIO_MC_CONFIG"}
    done = subprocess.run(
        [sys.executable, str(_USAGE), str(used), str(_DEADLINE_S), *verify],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**settings, **more},
        timeout=_DEADLINE_S + 30,
        check=False,
    )
    if done.returncode:
        raise LabError(
            f"verify of {count} clusters ended with exit code {done.returncode}: {done.stderr[-_TAIL:]}"
        )
    told = json.loads(used.read_text(encoding="utf-8"))
    return Size(count, told["seconds"], told["cpu"], told["peak"], mesh.asked(), first)


def _istios_objects() -> Callable[[Cluster], list[Object]]:
    """Istio's objects of any cluster, from one run of istioctl: they differ in ID and network alone."""
    model = CLUSTERS["kt"]
    document = yaml.safe_dump(istio_operator(mesh_of(Settings(Path.cwd()), MESH.version), model))
    with tempfile.TemporaryDirectory(prefix="istio-mc-bench-") as folder:
        path = Path(folder) / "operator.yaml"
        path.write_text(document, encoding="utf-8")
        made = proc.run(["istioctl", "manifest", "generate", "-f", path]).stdout
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = json.dumps([*(item for item in yaml.load_all(made, loader) if item), _TAG])

    def of(cluster: Cluster) -> list[Object]:
        own = text.replace(model.cluster_id, cluster.cluster_id).replace(model.network, cluster.network)
        return cast("list[Object]", json.loads(own))

    return of
