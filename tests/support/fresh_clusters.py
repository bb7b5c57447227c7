"""Clusters without Istio, as many as wanted, and an istioctl that installs for as long as nobody stops it.

An install works on them until istioctl runs in each: namespace and Secret cacerts are there by then.
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.support.fake_api import FakeApi, write_kubeconfig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "istio-system", "labels": {}}}
_ISTIOCTL = """#!/bin/sh
trap '' HUP INT
case "$1" in
  version) echo '{"clientVersion": {"version": "1.26.0"}}' ;;
  manifest) ;;
  *) echo $$ >> %s; while :; do sleep 0.1; done ;;
esac
"""


@dataclass(frozen=True)
class FreshClusters:
    """The clusters, while they are served.

    Attributes:
        servers: Their API servers, by context.
        words: The command line that installs a mesh of them.
        path: Where istioctl is found.
    """

    folder: Path
    servers: dict[str, FakeApi] = field(default_factory=dict)

    @property
    def words(self) -> tuple[str, ...]:
        return ("install", "--contexts", ",".join(self.servers), "--kubeconfig", str(self.folder / "config"))

    @property
    def path(self) -> str:
        return f"{self.folder}{os.pathsep}{os.defpath}"

    def wait_for_istioctl(self, *, runs: int) -> list[int]:
        """The process IDs of the istioctls that install, once there are so many."""
        pids = self.folder / "istioctl.pids"
        deadline = time.monotonic() + 40
        while not pids.exists() or len(pids.read_text().split()) < runs:
            assert time.monotonic() < deadline, f"waited 40 s for {runs} istioctl"
            time.sleep(0.02)
        return [int(pid) for pid in pids.read_text().split()]


@contextmanager
def fresh_clusters(folder: Path, *names: str) -> Iterator[FreshClusters]:
    """Serves clusters, with kubeconfig, mesh.yaml and istioctl in a folder."""
    made = FreshClusters(folder)
    with ExitStack() as stack:
        for name in names:
            server = made.servers[name] = FakeApi()
            server.on("/version", {"gitVersion": "v1.32.3"})
            server.on("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {"status": {"allowed": True}})
            server.on("/api/v1/namespaces/istio-system", _NAMESPACE)
            server.on("/api/v1/namespaces/istio-system/secrets/cacerts", {"metadata": {"name": "cacerts"}})
            stack.enter_context(server.serve())
        # 127.1 leads to 127.0.0.1, but does not read as this machine, which no remote secret may name.
        urls = {name: f"http://127.1:{server.address[1]}" for name, server in made.servers.items()}
        write_kubeconfig(folder / "config", urls)
        (folder / "mesh.yaml").write_text(
            "apiVersion: istio-mc/v1alpha1\nkind: Mesh\n"
            "istio:\n  version: 1.26.0\ngatewayAPI:\n  install: false\n"
        )
        (folder / "istioctl").write_text(_ISTIOCTL % (folder / "istioctl.pids"))
        (folder / "istioctl").chmod(0o755)
        yield made
