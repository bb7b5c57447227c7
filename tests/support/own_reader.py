"""A mesh whose clusters are read by the token of a ServiceAccount that mesh.yaml names."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.mesh import Mesh

ACCOUNT = "mesh-reader"
_SYSTEM = "istio-system"


def with_own_reader(mesh: Mesh) -> None:
    """Makes that account in every cluster, with the rights of Istio's, and names it in mesh.yaml."""
    metadata = {"name": ACCOUNT, "namespace": _SYSTEM}
    subject = {"kind": "ServiceAccount", "name": ACCOUNT, "namespace": _SYSTEM}
    for one in mesh.clusters.values():
        one.make({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
        for name in one.names("ClusterRoleBinding"):
            if "reader" in name:
                one.edit(one.get("ClusterRoleBinding", name), lambda found: found["subjects"].append(subject))
    account = {"name": ACCOUNT, "namespace": _SYSTEM}
    mesh.settings(istio={"version": "1.31.0"}, values={"global": {"readerServiceAccount": account}})
