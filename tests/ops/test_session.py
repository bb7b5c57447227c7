"""What a run leaves behind."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

from istio_mc.domain.mesh import ApiServer, Cluster, Mesh
from istio_mc.domain.problem import ProblemError
from istio_mc.gateways.kube.credentials import private_kubeconfig
from istio_mc.ops.session.inputs import Inputs
from istio_mc.ops.session.istio_documents import write_operator
from istio_mc.ops.session.session import begin
from tests.support.fake_api import write_kubeconfig
from tests.support.sessions import session_of

if TYPE_CHECKING:
    from pathlib import Path


def test_the_private_folder_is_removed_while_a_thread_still_writes_into_it(tmp_path: Path) -> None:
    config = write_kubeconfig(tmp_path / "config", {"kt": "http://127.0.0.1:1"})
    session = begin(Inputs(kubeconfig=str(config)))
    folder = session.run.folder
    until = time.monotonic() + 0.3

    def write() -> None:
        number = 0
        while time.monotonic() < until:
            number += 1
            try:
                (folder / str(number)).write_text("kept in memory no longer", encoding="utf-8")
            except FileNotFoundError:
                return

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    time.sleep(0.05)
    session.close()
    for writer in writers:
        writer.join()

    assert not folder.exists()


def test_the_private_folder_does_not_come_back_while_threads_still_write_into_it() -> None:
    session = session_of()
    folder = session.run.folder
    begun, ended = threading.Event(), threading.Event()
    mesh, cluster = Mesh("m", "1.26.0"), Cluster("kt", "kt", "network1", ApiServer("https://kt.test:6443"))

    def write() -> None:
        """As threads do that Ctrl-C came upon."""
        while not ended.is_set():
            with contextlib.suppress(ProblemError, FileNotFoundError):
                write_operator(session.run.folder, mesh, cluster)
                private_kubeconfig(folder / "kt", {"current-context": "kt"})
            begun.set()

    writers = [threading.Thread(target=write) for _ in range(3)]
    for writer in writers:
        writer.start()
    begun.wait(10)
    session.close()
    ended.set()
    for writer in writers:
        writer.join(10)

    assert not folder.exists()
