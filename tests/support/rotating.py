"""A stand-in mesh whose CAs change: what clusters and proxies have, and faults at a write of cacerts."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from cryptography import x509

from istio_mc.ops.rotation import root
from istio_mc.ops.upgrade import gate
from tests.support import refusals

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from tests.support.cluster import Cluster
    from tests.support.mesh import Mesh

SYSTEM = "istio-system"


def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has a change of the root look again after a short time; deadlines count only where nothing follows."""
    for module, name in ((gate, "SETTLE_S"), (root, "GATE_S")):
        monkeypatch.setattr(module, name, 10.0)
    for module in (gate, root):
        monkeypatch.setattr(module, "_POLL_S", 0.05)


def with_workloads(mesh: Mesh) -> Mesh:
    """A mesh with a workload in each cluster, whose proxies have certificates."""
    for one in mesh.clusters.values():
        one.deploy("shop", "shop")
    mesh.settle()
    for one in mesh.clusters.values():
        for pod in one.store.of("Pod", "shop"):
            one.istiods.proxy(pod)
    return mesh


def certificates_in(one: Cluster, key: str) -> list[x509.Certificate]:
    """The certificates of a key of a cluster's cacerts."""
    data = one.get("Secret", "cacerts", SYSTEM)["data"]
    return x509.load_pem_x509_certificates(base64.b64decode(data[key]))


def proxies(mesh: Mesh) -> list[tuple[frozenset[x509.Certificate], x509.Certificate]]:
    """The roots that each workload's proxy trusts, and the root of its certificate."""
    found = []
    for one in mesh.clusters.values():
        for pod in one.store.of("Pod", "shop"):
            trusted, issuer = one.istiods.proxy(pod)
            found.append((frozenset(trusted), issuer.root))
    return found


def files(folder: Path) -> dict[str, bytes]:
    """The files below a folder, but for hidden ones."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def at_write(mesh: Mesh, number: int, act: Callable[[], None]) -> None:
    """Acts once, after that write of a Secret cacerts in any of the clusters."""
    count = 0

    def after() -> None:
        nonlocal count
        count += 1
        if count == number:
            act()
        else:
            mesh.when("PATCH .*/secrets/cacerts$", after)

    mesh.when("PATCH .*/secrets/cacerts$", after)


def unreachable(mesh: Mesh) -> None:
    """Cuts ncloud off."""
    mesh.cut("ncloud")


def refused(mesh: Mesh) -> None:
    """Has ncloud refuse changes."""
    mesh["ncloud"].faults.refuse(refusals.Refused(403, "Forbidden", "a policy forbids it"), "PATCH")
