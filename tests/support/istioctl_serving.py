"""What the program istioctl asks for: its runs, done in the tests' process.

A Python that reads recorded manifests and speaks TLS takes a tenth of a second to start, three times in each
install. So the program only waits here for its run to end; where it is killed, its run stops at the next
request.
"""

from __future__ import annotations

import base64
import json
import socket
import stat
import sys
import threading
import weakref
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support import api, faults, istioctl, istioctl_program
from tests.support.folders import shared_folder
from tests.support.istioctl import Failed

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.cluster import Cluster
    from tests.support.kinds import Object
    from tests.support.mesh import Mesh

meshes: weakref.WeakSet[Mesh] = weakref.WeakSet()
"""Those of this process, among which a kubeconfig's API server is looked for."""


class Direct:
    """A cluster's API server, asked without a connection: faults and rights are the same.

    Args:
        cluster: Whose.
        token: Of who asks.
        version: The version of istioctl.
        goes_on: Whether the program that asks still lives.
    """

    def __init__(
        self, cluster: Cluster, token: str, version: str, goes_on: Callable[[], bool] = lambda: True
    ) -> None:
        self._cluster = cluster
        self._headers = {"Authorization": f"Bearer {token}", "User-Agent": f"istioctl/{version}"}
        self._goes_on = goes_on

    def call(
        self, method: str, path: str, body: Object | None = None, kind: str = "application/json"
    ) -> Object:
        """One request; an empty object where there is nothing of that name.

        Raises:
            Failed: It was refused, or not answered.
        """
        if not self._goes_on():
            raise Failed("killed")
        path, _, query = path.partition("?")
        headers = {**self._headers, "Content-Type": kind}
        sent = b"" if body is None else json.dumps(body).encode()
        req = api.request(self._cluster, method, path, query, headers, sent)
        try:
            code, answer, _ = self._cluster.api.handle(req, query)
        except api.Reset:
            refused = self._cluster.faults.unreachable == faults.REFUSED
            why = "connect: connection refused" if refused else "connection reset by peer"
            raise Failed(f"{method} {path}: {why}") from None
        if code == 404 and method == "GET":
            return {}
        if code >= 400:
            raise Failed(answer["message"] if isinstance(answer, dict) else str(answer))
        # What is kept is never changed in place, and istioctl does change what it was given.
        found: Object = {}
        if method == "GET":
            found = json.loads(answer if isinstance(answer, bytes) else json.dumps(answer))
        return found


def _reached(kubeconfig: Object, context: str, version: str, goes_on: Callable[[], bool]) -> Direct:
    chosen = context or kubeconfig["current-context"]
    found = _named(kubeconfig["contexts"], chosen)["context"]
    entry = _named(kubeconfig["clusters"], found["cluster"])["cluster"]
    user = _named(kubeconfig["users"], found["user"])["user"]
    cluster = next((one for mesh in list(meshes) if (one := mesh.at(entry["server"]))), None)
    if cluster is None:
        raise Failed(f"{entry['server']}: connect: connection refused")
    if cluster.ca_certificate not in base64.b64decode(entry.get("certificate-authority-data") or ""):
        raise Failed("tls: failed to verify certificate: x509: certificate signed by unknown authority")
    return Direct(cluster, user["token"], version, goes_on)


def _named(items: list[Object], name: str) -> Any:  # noqa: ANN401 - plain data
    for item in items:
        if item["name"] == name:
            return item
    raise Failed(f'context "{name}" does not exist')


@cache
def _served() -> Path:
    """The socket at which this process does what istioctl asks for."""
    path = shared_folder() / "istioctl.socket"
    _serve(path)
    return path


def _serve(path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen(64)
    threading.Thread(target=_accept, args=(listener,), name="istioctl", daemon=True).start()


def serve_again() -> None:
    """Has this process do what istioctl asks for, instead of the one that it was forked from."""
    _served().unlink()
    _serve(_served())


@cache
def bin_dir(version: str) -> Path:
    """A folder with istioctl of a version, which a shell tells: that starts faster than anything else."""
    folder = shared_folder() / f"bin-{version}"
    folder.mkdir()
    program = folder / "istioctl"
    version_json = json.dumps({"clientVersion": {"version": version, "tag": version}})
    program.write_text(
        "#!/bin/sh\n"
        f"[ \"$1\" = version ] && {{ echo '{version_json}'; exit; }}\n"
        f"exec '{sys.executable}' -I -S '{istioctl_program.__file__}' '{_served()}' {version} \"$@\"\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return folder


def _accept(listener: socket.socket) -> None:
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_take, args=(connection,), daemon=True).start()


def _take(connection: socket.socket) -> None:
    with connection, suppress(OSError):
        folder, kubeconfig, version, *words = _read_request(connection).decode().split("\0")
        goes_on = lambda: _is_open(connection)  # noqa: E731 - one line
        try:
            reach = lambda read, context: _reached(read, context, version, goes_on)  # noqa: E731 - likewise
            ended = istioctl.run(version, words, Path(folder), kubeconfig, reach)
        except Exception as error:  # noqa: BLE001 - whatever it is: the run that waits is to hear of it
            ended = istioctl.Ended(2, "", f"the stand-in failed: {error!r}\n")
        connection.sendall("\0".join((str(ended.code), ended.stdout, ended.stderr)).encode())


def _read_request(connection: socket.socket) -> bytes:
    with connection.makefile("rb") as file:
        return file.read(int.from_bytes(file.read(4), "big"))


def _is_open(connection: socket.socket) -> bool:
    """Whether the program still waits: it sends nothing more, and the system closes what a killed one had."""
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False
