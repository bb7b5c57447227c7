"""What a run leaves behind."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from istio_mc.ops.inputs import Inputs
from istio_mc.ops.session import begin
from tests.fake_api import write_kubeconfig


def test_the_private_folder_goes_though_a_thread_still_writes_into_it(tmp_path: Path) -> None:
    config = write_kubeconfig(tmp_path / "config", {"kt": "http://127.0.0.1:1"})
    session = begin(Inputs(kubeconfig=str(config)))
    folder = Path(session.folder.name)
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
