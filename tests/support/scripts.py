"""The guide's scripts, and K-PaaS's Ansible role, on stand-in clusters: a mesh that others installed.

The scripts' sequence is benchmarks/published.sh's, with the same documents. The CA has small keys, made
beforehand.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, NamedTuple

import yaml

from benchmarks import documents as guide
from istio_mc.domain.istio import documents
from istio_mc.domain.mesh import ApiServer
from istio_mc.domain.pki.pem import dump_certificates, dump_key
from tests.support import istioctl, world
from tests.support.istiod import SYSTEM
from tests.support.store import By

if TYPE_CHECKING:
    from tests.support.cluster import Cluster
    from tests.support.kinds import Object
    from tests.support.mesh import Mesh

_CREATE, _LABEL = By("kubectl-create"), By("kubectl-label")
_APPLY = By("kubectl-client-side-apply")
_ROOT = "of the scripts"


class Habits(NamedTuple):
    """In what the two differ.

    Attributes:
        allocates: Whether proxies get addresses for ServiceEntries that have none.
        labels_last: Whether the network's label is set after the install.
        links_itself: Whether a cluster gets a remote secret for itself too.
    """

    allocates: bool = False
    labels_last: bool = False
    links_itself: bool = False


SCRIPTS = Habits()
ROLE = Habits(allocates=True, labels_last=True, links_itself=True)
ALLOCATE = "ISTIO_META_DNS_AUTO_ALLOCATE"


def settings(mesh_id: str = "mesh1") -> guide.Settings:
    """What the guide's documents are made with."""
    return guide.Settings(mesh_id, "docker.io/istio", istioctl.VERSION, {}, "", {})


def run_scripts(mesh: Mesh, mesh_id: str = "mesh1", habits: Habits = SCRIPTS) -> None:
    """Installs a mesh on all clusters as the scripts do, their certificates in the mesh's folder."""
    _write_certificates(mesh)
    for number, name in enumerate(sorted(mesh.names), 1):
        _install(mesh[name], f"network{number}", settings(mesh_id), habits)
    for one in mesh.clusters.values():
        one.make(documents.reader_token_secret(), By("istioctl"))
        one.settle()
    for one in mesh.clusters.values():
        for other in mesh.clusters.values():
            if other is not one or habits.links_itself:
                one.make(_remote_secret(mesh, other), _APPLY)
    mesh.settle()


def _install(one: Cluster, network: str, desired: guide.Settings, habits: Habits) -> None:
    one.make({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}}, _CREATE)
    if not habits.labels_last:
        _label(one, network)
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "cacerts", "namespace": SYSTEM}}
    one.make({**secret, "data": world.ca_certs(one.name, _ROOT).secret_data()}, _CREATE)
    one.istioctl(guide.control_plane(desired, one.cluster, network))
    one.istioctl(guide.gateway(desired, one.cluster, network))
    if habits.allocates:
        _allocate(one)
    exposed = guide.expose()
    one.make({**exposed, "metadata": {**exposed["metadata"], "namespace": SYSTEM}}, _APPLY)
    if habits.labels_last:
        _label(one, network)


def _allocate(one: Cluster) -> None:
    """Sets in the MeshConfig what istioctl makes of the role's document."""

    def change(item: Object) -> None:
        config = yaml.safe_load(item["data"]["mesh"])
        config["defaultConfig"]["proxyMetadata"][ALLOCATE] = "true"
        item["data"]["mesh"] = yaml.safe_dump(config)

    one.edit(one.get("ConfigMap", "istio", SYSTEM), change, By("istio-operator"))


def _label(one: Cluster, network: str) -> None:
    one.edit(
        one.get("Namespace", SYSTEM),
        lambda item: item["metadata"]["labels"].update({"topology.istio.io/network": network}),
        _LABEL,
    )


def _write_certificates(mesh: Mesh) -> None:
    root = world.root(_ROOT)
    mesh.certs.mkdir(mode=0o700)
    (mesh.certs / "root-cert.pem").write_bytes(dump_certificates([root.certificate]))
    (mesh.certs / "root-ca.key").write_bytes(dump_key(root.key))
    for one in mesh.clusters.values():
        folder = mesh.certs / one.cluster
        folder.mkdir(mode=0o700)
        issuer = world.authority(one.name, _ROOT)
        (folder / "ca-cert.pem").write_bytes(dump_certificates([issuer.certificate]))
        (folder / "ca-key.pem").write_bytes(dump_key(issuer.key))
        (folder / "cert-chain.pem").write_bytes(dump_certificates(issuer.path))


def _remote_secret(mesh: Mesh, of: Cluster) -> Object:
    token = of.get("Secret", documents.READER_TOKEN_SECRET, SYSTEM)["data"]
    decoded = {key: base64.b64decode(value) for key, value in token.items()}
    server = ApiServer(mesh.url(of.name))
    kubeconfig = documents.remote_kubeconfig(of.cluster, server, decoded["token"].decode(), decoded["ca.crt"])
    return documents.remote_secret(of.cluster, kubeconfig)
