"""A mesh that remembers: stand-in clusters, a folder to run istio-mc in, and its runs."""

from __future__ import annotations

import base64
import json
import re
import signal
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from tests.support import certificates, cluster, direct, faults, istioctl, istioctl_serving, runs
from tests.support.api import NotAtOnce, Reset
from tests.support.folders import shared_folder
from tests.support.istioctl_serving import bin_dir
from tests.support.snapshots import snapshot
from tests.support.world import IDS, cluster_id_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.support.cluster import Cluster
    from tests.support.kinds import Object
    from tests.support.runs import Result, Running
    from tests.support.snapshots import Snapshot

CLUSTERS = IDS
"""Names of the clusters that the guide joins, by context."""

MOMENT_S = 0.003
_RECORDED = Path(__file__).with_name("recorded")


@dataclass
class _End:
    """After which write a run ends, and how."""

    after: int | str | tuple[str, int]
    then: Callable[[], None]

    def is_here(self, write: str) -> bool:
        """Whether this write is the one."""
        if isinstance(self.after, str):
            return re.search(self.after, write) is not None
        if isinstance(self.after, tuple):
            pattern, left = self.after
            if re.search(pattern, write):
                self.after = (pattern, left - 1)
            return self.after[1] <= 0
        self.after -= 1
        return self.after <= 0


class State(NamedTuple):
    """What a mesh was like at one moment."""

    clusters: dict[str, cluster.State]
    files: dict[Path, bytes]


class Mesh:
    """Clusters that may become a mesh, and a folder to run istio-mc in.

    Attributes:
        clusters: The clusters, by context; `mesh["kt"]` is one of them.
        folder: Where istio-mc runs: mesh.yaml, certs and kubeconfig lie there.
        writes: How many requests have changed something so far, in all clusters.
    """

    def __init__(self, folder: Path, *contexts: str, moment_s: float = MOMENT_S) -> None:
        self.folder = folder
        self.writes = 0
        self.aliases: dict[str, str] = {}
        self._lock = threading.Lock()
        self._dead = False
        self._end: _End | None = None
        self._events: list[tuple[re.Pattern[str], Callable[[], None]]] = []
        material = certificates.material()
        self.clusters = {
            name: cluster.Cluster(self, name, cluster_id_of(name), number, material, moment_s)
            for number, name in enumerate(contexts or CLUSTERS, 1)
        }
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(json.dumps(self.kubeconfig_document()))
        self.kubeconfig.chmod(0o600)
        self.settings()
        istioctl_serving.meshes.add(self)

    def __getitem__(self, context: str) -> Cluster:
        """The cluster of a context."""
        return self.clusters[context]

    @property
    def names(self) -> tuple[str, ...]:
        """Every context."""
        return tuple(self.clusters)

    @property
    def certs(self) -> Path:
        """The folder of the mesh's CA."""
        return self.folder / "certs"

    def url(self, context: str) -> str:
        """Where a cluster's API server is."""
        return f"https://{certificates.HOST}:{self.clusters[context].api.port}"

    def kubeconfig_document(self) -> Object:
        """A kubeconfig with a context for each cluster, the first one current."""
        ca = base64.b64encode(certificates.material().certificate).decode()
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": one.cluster, "cluster": {"server": self.url(name), "certificate-authority-data": ca}}
                for name, one in self.clusters.items()
            ],
            "users": [
                {"name": f"{name}-admin", "user": {"token": one.admin_token}}
                for name, one in self.clusters.items()
            ],
            "contexts": [
                {"name": name, "context": {"cluster": one.cluster, "user": f"{name}-admin"}}
                for name, one in self.clusters.items()
            ],
            "current-context": self.names[0],
        }

    # --- mesh.yaml

    def settings(self, **edits: Any) -> None:
        """Writes mesh.yaml: small keys, the stand-in's Istio, the Gateway API from a file, and `edits`."""
        document = {
            "apiVersion": "istio-mc/v1alpha1",
            "kind": "Mesh",
            "ca": {"key": "ec-256"},
            "istio": {"version": istioctl.VERSION},
            "gatewayAPI": {"manifest": str(_RECORDED / "gateway-api.yaml")},
            **edits,
        }
        kept = {key: value for key, value in document.items() if value is not None}
        (self.folder / "mesh.yaml").write_text(yaml.safe_dump(kept))

    # --- runs

    def run(
        self, *words: object, dies_after: int | str | tuple[str, int] | None = None, **env: str
    ) -> Result:
        """Runs istio-mc in this process, as a user would in the mesh's folder.

        Args:
            words: Its arguments.
            dies_after: After so many writes, or after the first write whose `METHOD path` this regular
                expression is found in, or the n-th of these, nothing of this run reaches a cluster any more,
                as if it had been killed; its result is what it printed.
            env: Variables of its environment.
        """
        if dies_after is not None:
            self._end = _End(dies_after, self._die)
        try:
            with self.direct():
                result = runs.run(self.folder, [str(word) for word in words], environment(self.folder, **env))
        finally:
            assert self._end is None, f"the run ended before it was to die: after {dies_after}"
            self._dead = False
        if dies_after is None:
            self.settle()  # tests may read at once what the controllers do next
        return result

    def direct(self) -> AbstractContextManager[None]:
        """Has requests of this process skip TLS and HTTP: for tests that open a session themselves."""
        return direct.connections({one.api.port: one for one in self.clusters.values()})

    def start(
        self, *words: object, killed_after: int | str | tuple[str, int] | None = None, **env: str
    ) -> Running:
        """Starts istio-mc as a process of its own.

        Args:
            words: Its arguments.
            killed_after: As `dies_after`, but it really is killed (SIGKILL); the istioctl that it may have
                started goes on, as a real one would.
            env: Variables of its environment.
        """
        running = runs.start(self.folder, [str(word) for word in words], environment(self.folder, **env))
        if killed_after is not None:
            self._end = _End(killed_after, lambda: running.process.send_signal(signal.SIGKILL))
        return running

    def when(self, write: str, then: Callable[[], None]) -> None:
        """Has something happen once: after the first write whose `METHOD path` fits, before its answer."""
        self._events.append((re.compile(write), then))

    def _die(self) -> None:
        self._dead = True

    # --- what the API servers ask

    def at(self, server: str) -> Cluster | None:
        """The cluster at a URL, as others reach it; None: nobody is there."""
        server = server.rstrip("/")
        for name, one in self.clusters.items():
            if server in (self.url(name), self.aliases.get(name)):
                return one
        return None

    def gate(self, one: Cluster, *, waits: bool = True) -> None:
        """What keeps a request from being looked at.

        Raises:
            Reset: It gets no answer.
            NotAtOnce: It would have to wait, and `waits` is False.
        """
        if waits:
            self._wait(one)
        elif one.faults.slow_s or one.faults.unreachable == faults.SILENT:
            raise NotAtOnce
        if self._dead or one.faults.unreachable or one.api.over.is_set():
            raise Reset

    @staticmethod
    def _wait(one: Cluster) -> None:
        if one.faults.slow_s:
            one.api.over.wait(one.faults.slow_s)
        if one.faults.unreachable == faults.SILENT:
            one.faults.kept.set()
        with one.api.healed:
            one.api.healed.wait_for(lambda: one.faults.unreachable != faults.SILENT or one.api.over.is_set())

    def wrote(self, method: str, path: str) -> None:
        """Counts a write.

        Raises:
            Reset: Whoever wrote is dead by now.
        """
        with self._lock:
            self.writes += 1
            if self._dead:  # on its way when the other one ended the run
                raise Reset
            happening = [event for event in self._events if event[0].search(f"{method} {path}")]
            for event in happening:
                self._events.remove(event)
                event[1]()
            if self._end and self._end.is_here(f"{method} {path}"):
                end, self._end = self._end, None
                end.then()
                raise Reset

    def cut(self, context: str, how: str = faults.REFUSED) -> None:
        """Takes a cluster's API server out of reach: `refused` or `silent`."""
        one = self.clusters[context]
        one.faults.unreachable = how
        if how == faults.REFUSED:
            one.api.cut()

    def heal(self, context: str) -> None:
        """Brings it back."""
        one = self.clusters[context]
        before, one.faults.unreachable = one.faults.unreachable, ""
        if before == faults.REFUSED:
            one.api.listen_again()
        one.api.wake()

    # --- as it was

    def state(self) -> State:
        """All that the clusters and the folder hold, to be had back later."""
        self.settle()
        files = {path: path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}
        return State({name: one.state() for name, one in self.clusters.items()}, files)

    def restore(self, state: State) -> None:
        """Has all be as it was, without any fault."""
        self._end, self._dead = None, False
        self._events.clear()
        self.aliases.clear()
        for path in sorted(self.folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        for path, content in state.files.items():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.write_bytes(content)
            path.chmod(0o600)
        for name, one in self.clusters.items():
            one.restore(state.clusters[name])
        self.settle()
        for one in self.clusters.values():
            one.complain()

    # --- forks

    def pause(self) -> None:
        """Ends all threads, and closes all ports: what a fork does not copy, or must not share."""
        for one in self.clusters.values():
            one.pause()

    def resume(self) -> None:
        """Has all work again, in this process or in one that was forked from it."""
        istioctl_serving.serve_again()
        for one in self.clusters.values():
            one.resume()

    # --- what is there

    def settle(self) -> None:
        """Waits until nothing moves any more in any cluster."""
        for one in self.clusters.values():
            one.settle()

    def snapshots(self) -> dict[str, Snapshot]:
        """Every object of every cluster, once nothing moves any more."""
        self.settle()
        return {name: snapshot(one) for name, one in self.clusters.items()}


def environment(folder: Path, **more: str) -> dict[str, str]:
    """The environment of a run: its own home, the stand-in istioctl, and no proxy."""
    return {
        "PATH": str(bin_dir(istioctl.VERSION)),
        "HOME": str(folder),
        "XDG_CACHE_HOME": str(shared_folder() / "cache"),
        "ISTIO_MC_BIN_DIR": str(bin_dir(istioctl.VERSION)),
        "KUBECONFIG": str(folder / "kubeconfig"),
        "COLUMNS": "200",
        "NO_PROXY": "*",
        **more,
    }


@contextmanager
def remembering_mesh(*contexts: str, moment_s: float = MOMENT_S) -> Iterator[Mesh]:
    """Clusters that remember, for the length of a block; kt, ncloud and nhn where none is named."""
    with tempfile.TemporaryDirectory(prefix="istio-mc-mesh-") as folder:
        mesh = Mesh(Path(folder), *contexts, moment_s=moment_s)
        for one in mesh.clusters.values():
            one.start()
        try:
            yield mesh
        finally:
            for one in mesh.clusters.values():
                one.stop()
