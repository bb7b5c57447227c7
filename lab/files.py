"""Files the lab leaves for people and tests: kubeconfigs, mesh.yaml, programs, shell lines."""

from __future__ import annotations

import os
import shlex
import shutil
from typing import TYPE_CHECKING, Any

import yaml

from lab import settings
from lab.binaries import istio_name
from lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lab.settings import Cluster, Versions

MESH = """\
# The lab's mesh, as `lab up` writes it.
apiVersion: istio-mc/v1alpha1
kind: Mesh
meshID: k-paas-lab
istio:
  version: {istio}
  # Named here because an istioctl built from source defaults to a development registry.
  hub: docker.io/istio
  tag: {istio}
gatewayAPI:
  manifest: {gateway_api}
# IstioOperator values of every cluster. The lab's Envoy is upstream's, without Istio's own filters
# (metadata exchange, ALPN, stats): what would need them is off. A real mesh has none of this.
values:
  global:
    imagePullPolicy: IfNotPresent
  telemetry:
    enabled: false
  pilot:
    env:
      PILOT_ENABLE_METADATA_EXCHANGE: "false"
      PILOT_ENABLE_ALPN_FILTER: "false"
  meshConfig:
    defaultProviders:
      metrics: []
clusters:
{clusters}"""


def kubeconfig(admin: Mapping[str, Any], cluster: Cluster) -> dict[str, Any]:
    """Turn kubeadm's admin.conf into one whose names repeat in no other cluster's."""
    user = f"{cluster.name}-admin"
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster.cluster, "cluster": admin["clusters"][0]["cluster"]}],
        "users": [{"name": user, "user": admin["users"][0]["user"]}],
        "contexts": [{"name": cluster.name, "context": {"cluster": cluster.cluster, "user": user}}],
        "current-context": cluster.name,
        "preferences": {},
    }


def write_private(path: Path, text: str) -> None:
    """Write a file only its owner may read; never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.new")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    partial.replace(path)


def write_kubeconfig(cluster: Cluster) -> None:
    """Write a cluster's kubeconfig from what kubeadm left in its node."""
    admin = yaml.safe_load((cluster.node / "etc/kubernetes/admin.conf").read_text(encoding="utf-8"))
    write_private(cluster.kubeconfig, yaml.safe_dump(kubeconfig(admin, cluster), sort_keys=False))


def mesh(version: str = settings.ISTIO[0]) -> str:
    """Return the mesh.yaml of one Istio version."""
    lines = []
    for cluster in settings.CLUSTERS:
        lines.append(f"  - context: {cluster.name}\n")
        if cluster.provider is settings.Provider.PENDING:
            lines.append("    # Its LoadBalancer stays pending; this is the static NAT in front of it.\n")
            lines.append(f"    gatewayAddress: {cluster.gateway}\n")
    gateway_api = settings.istio_home(version) / "gateway-api.yaml"
    return MESH.format(istio=version, gateway_api=gateway_api, clusters="".join(lines))


def write(versions: Versions, files: Mapping[str, Path]) -> None:
    """Write all of them."""
    for cluster in settings.CLUSTERS:
        write_kubeconfig(cluster)
    for version in versions.istio:
        home = settings.istio_home(version)
        _programs(home / "bin", files["kubectl"], files[istio_name(version, "istioctl")])
        (home / "mesh.yaml").write_text(mesh(version), encoding="utf-8")
        shutil.copyfile(files[istio_name(version, "gateway-api.yaml")], home / "gateway-api.yaml")
    settings.MESH.write_text(mesh(versions.main), encoding="utf-8")
    _programs(settings.BIN, files["kubectl"], files[istio_name(versions.main, "istioctl")])


def _programs(folder: Path, kubectl: Path, istioctl: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, program in (("kubectl", kubectl), ("istioctl", istioctl)):
        link = folder / name
        link.unlink(missing_ok=True)
        link.symlink_to(program)


def shell(version: str = "") -> str:
    """Return lines for a shell's `eval`; they lead to the mesh's own Istio, or to that version."""
    home = settings.istio_home(version) if version else settings.STATE
    if version and not home.exists():
        raise LabError(f"the lab has no Istio {version}: expected one of those it was brought up with")
    mesh_file, programs = shlex.quote(str(home / "mesh.yaml")), shlex.quote(str(home / "bin"))
    joined = ":".join(str(cluster.kubeconfig) for cluster in settings.CLUSTERS)
    return (
        f"export KUBECONFIG={shlex.quote(joined)}\n"
        f"export ISTIO_MC_CONFIG={mesh_file}\n"
        f'export PATH={programs}:"$PATH"\n'
        + "".join(f"export {name}={shlex.quote(value)}\n" for name, value in settings.past_proxies().items())
    )
