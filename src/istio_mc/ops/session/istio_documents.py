"""Documents of a run: files for child processes, and the Gateways that stand for other clusters."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from istio_mc.domain import plan, yamltext
from istio_mc.domain.hint import Advice, istio_mc
from istio_mc.domain.istio.operator import istio_operator
from istio_mc.domain.kube import objects
from istio_mc.domain.problem import Code, Problem, ProblemError
from istio_mc.gateways.host import files
from istio_mc.gateways.host.parallel import all_of, poll_rounds
from istio_mc.ops.session.wait_report import WaitReport

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.mesh import Cluster, Mesh
    from istio_mc.gateways.kube.client import Kube
    from istio_mc.ops.session.session import Session


GATEWAY_CRD = "gateways.gateway.networking.k8s.io"
_POLL_S = 0.2


def apply_remote_gateways(session: Session, context: str, desired: Sequence[Object]) -> None:
    """Writes Gateways into a cluster whose Gateway API CRDs may have been written a moment ago.

    Raises:
        ProblemError: The kind is not served by the run's deadline, or the API server refuses.
    """
    kube = session.clusters.kubes[context]
    waits = WaitReport(session.run.progress, context, plan.REMOTE_GATEWAYS)
    for left_s in poll_rounds(session.run.deadline, _POLL_S):
        if _served(kube):
            break
        waits(f"for CustomResourceDefinition {GATEWAY_CRD} to be established", left_s)
    else:
        raise ProblemError(missing(context, session.clusters.names))
    all_of({document["metadata"]["name"]: partial(kube.apply, document) for document in desired})


def missing(context: str, members: Iterable[str]) -> Problem:
    """The problem of a cluster that cannot have such a Gateway, in a mesh with these members."""
    return Problem(
        code=Code.GATEWAY_API_MISSING,
        cluster=context,
        message=f"{context} has no Gateway API CRDs, so it cannot have a Gateway for another cluster",
        seen=f"no CustomResourceDefinition {GATEWAY_CRD}, or it is not established",
        expected="the Gateway API's CRDs",
        hint=Advice(
            istio_mc("install", contexts=members),
            " installs them if they are missing, unless disabled in mesh.yaml",
        ),
    )


def _served(kube: Kube) -> bool:
    crd = kube.get(objects.CRD, GATEWAY_CRD)
    conditions = (crd or {}).get("status", {}).get("conditions") or []
    return any(one.get("type") == "Established" and one.get("status") == "True" for one in conditions)


def write_operator(folder: Path, mesh: Mesh, cluster: Cluster) -> Path:
    """Writes the cluster's IstioOperator document for istioctl, into a folder of the run."""
    return write_document(folder, cluster.cluster_id, istio_operator(mesh, cluster))


def write_document(folder: Path, name: str, document: Object) -> Path:
    """Writes an IstioOperator document for istioctl, into a folder of the run of that name."""
    path = folder / name / "istio-operator.yaml"
    files.make_private_folder(path.parent, parents=False)
    files.write(path, yamltext.dump(document).encode())
    return path
