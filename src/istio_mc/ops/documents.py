"""The documents a child process is given, as files in the run's private folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.domain import yamltext
from istio_mc.domain.operator import istio_operator
from istio_mc.gateways import files

if TYPE_CHECKING:
    from pathlib import Path

    from istio_mc.domain.mesh import Cluster, Mesh
    from istio_mc.ops.session import Session


def written(session: Session, mesh: Mesh, cluster: Cluster) -> Path:
    """The cluster's IstioOperator document, in a file that goes with the run."""
    path = session.folder / cluster.cluster_id / "istio-operator.yaml"
    files.make_private_folder(path.parent, parents=False)
    files.write(path, yamltext.dump(istio_operator(mesh, cluster)).encode())
    return path
