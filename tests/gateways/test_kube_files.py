"""What a kubeconfig embeds stands in private files while a run lasts, and in none afterwards."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

INTERRUPTED = """
import atexit, contextlib, os, sys, tempfile, threading
from istio_mc.gateways.kube import Kube

embedded = {name + "-data": DATA for name in ("client-certificate", "client-key")}
server = {"server": "https://127.0.0.1:1"}
kubeconfig = {
    "apiVersion": "v1", "kind": "Config", "current-context": "kt",
    "clusters": [{"name": "kt", "cluster": server | {"certificate-authority-data": CA}}],
    "users": [{"name": "kt", "user": embedded}],
    "contexts": [{"name": "kt", "context": {"cluster": "kt", "user": "kt"}}],
}
busy, removing = threading.Event(), threading.Event()
tempfile.gettempdir()  # it tries the folder, with a file
make, remove = tempfile.mkstemp, os.remove

def slow_make(*args, **named):
    found = make(*args, **named)
    if busy.is_set():  # the second file: the first is registered
        removing.wait(1)
    busy.set()
    return found

def slow_remove(path, **named):
    removing.set()
    worker.join(0.5)
    remove(path, **named)

tempfile.mkstemp, os.remove, os.unlink = slow_make, slow_remove, slow_remove

def work():
    with contextlib.suppress(Exception):  # nobody is there to answer
        Kube("kt", kubeconfig).version()

worker = threading.Thread(target=work, daemon=True)
worker.start()
busy.wait(5)
atexit._run_exitfuncs()
sys.stderr.flush()
os._exit(0)
"""


def test_an_end_while_a_thread_still_writes_one_is_silent_and_leaves_none(tmp_path: Path) -> None:
    data, ca = (base64.b64encode(text).decode() for text in (b"certificate", b"root"))
    done = subprocess.run(
        [sys.executable, "-c", f"DATA, CA = {data!r}, {ca!r}\n{INTERRUPTED}"],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []
