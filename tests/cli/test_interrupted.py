"""Ctrl-C in every verb: children are stopped, and it is told what was done and what the next run does.

Here every verb is interrupted while it waits: for a cluster that keeps silent, or for a child. The end-to-end
tests interrupt those that change clusters in the middle of a change.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.test_help import COMMANDS
from tests.fake_api import write_kubeconfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.thorough

ENDS_WITHIN_S = 6
LOOKS = "nothing was changed; the same command looks anew"

CHANGES_CLUSTERS = {
    "link": "missing",
    "address": "the changes that are left",
    "sample deploy": "puts the sample where it is missing",
    "sample remove --yes": "takes away the rest",
    "uninstall --yes": "takes away the rest",
    "cilium fix --yes": "restarts the agents",
    "cilium revert --yes": "restarts the agents",
    "ca issue": "makes the CAs that are still missing",
}
WAITS_FOR_A_CHILD = {
    "install": "does the rest, under the same root CA",
    "adopt": "labels the clusters that are left",
}
ELSEWHERE = {"tools install", "tools download"}
"""Interrupted in test_tools_cli.py."""
WITHOUT_CLUSTERS = {"ca init", "ca show", "ca verify", "config init", "config show", "config schema"}
_SAID = {line.partition(" --")[0] for line in CHANGES_CLUSTERS} | WAITS_FOR_A_CHILD.keys()
ONLY_LOOKS = [*(COMMANDS.keys() - _SAID - ELSEWHERE - WITHOUT_CLUSTERS), "status --watch"]
WAITS_FOR_A_CLUSTER = CHANGES_CLUSTERS | dict.fromkeys(sorted(ONLY_LOOKS), LOOKS)


@dataclass(frozen=True)
class Ended:
    """An interrupted run."""

    code: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def error(self) -> dict[str, Any]:
        document = json.loads(self.stdout)
        assert (document["status"], document["data"]) == ("error", None)
        (error,) = document["errors"]
        found: dict[str, Any] = error
        return found


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """An API server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        yield server


@pytest.fixture
def kubeconfig(silent: socket.socket, tmp_path: Path) -> Path:
    return write_kubeconfig(tmp_path / "config", {"kt": f"http://127.0.0.1:{silent.getsockname()[1]}"})


def start(folder: Path, *words: str, path: str = os.defpath) -> subprocess.Popen[str]:
    kept = {key: value for key, value in os.environ.items() if key not in ("KUBECONFIG", "ISTIO_MC_CONFIG")}
    return subprocess.Popen(
        [sys.executable, "-m", "istio_mc", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=kept | {"PATH": path, "HOME": str(folder)},
    )


def interrupt(run: subprocess.Popen[str], *signals: signal.Signals) -> Ended:
    begun = time.monotonic()
    for number in signals:
        run.send_signal(number)
    try:
        stdout, stderr = run.communicate(timeout=20)
    finally:
        run.kill()
    return Ended(run.returncode, stdout, stderr, time.monotonic() - begun)


@pytest.mark.parametrize("line", WAITS_FOR_A_CLUSTER)
def test_while_a_cluster_keeps_silent(
    silent: socket.socket, kubeconfig: Path, tmp_path: Path, line: str
) -> None:
    words = [*line.split(), "--contexts", "kt", "--kubeconfig", str(kubeconfig), "-o", "json"]
    run = start(tmp_path, *words)
    connection, _ = silent.accept()

    ended = interrupt(run, signal.SIGINT)

    connection.close()
    assert ended.code == 130, ended
    assert ended.seconds < ENDS_WITHIN_S
    assert ended.error["code"] == "interrupted"
    assert ended.error["seen"].startswith("done by then: nothing")
    assert WAITS_FOR_A_CLUSTER[line] in ended.error["expected"]
    assert ended.error["hint"] == shlex.join(["istio-mc", *words])
    assert "error: interrupted" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("line", WAITS_FOR_A_CHILD)
@pytest.mark.parametrize("signals", [(signal.SIGINT,), (signal.SIGTERM,), (signal.SIGINT, signal.SIGINT)])
def test_a_child_that_will_not_end_is_ended(
    kubeconfig: Path, tmp_path: Path, line: str, signals: tuple[signal.Signals, ...]
) -> None:
    (tmp_path / "istioctl").write_text(
        "#!/bin/sh\ntrap '' TERM INT\necho $$ > pid\nwhile :; do sleep 0.1; done\n", encoding="utf-8"
    )
    (tmp_path / "istioctl").chmod(0o755)
    run = start(
        tmp_path, line, "--contexts", "kt", "--kubeconfig", str(kubeconfig), "-o", "json",
        path=f"{tmp_path}{os.pathsep}{os.defpath}",
    )  # fmt: skip
    pid = tmp_path / "pid"
    wait_for(lambda: pid.exists() and bool(pid.read_text().strip()), "istioctl runs")

    ended = interrupt(run, *signals)

    assert ended.code == 130, ended
    assert ended.seconds < ENDS_WITHIN_S
    assert WAITS_FOR_A_CHILD[line] in ended.error["expected"]
    assert "Traceback" not in ended.stderr
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_while_a_root_ca_is_made_there_is_none_afterwards_and_the_next_run_makes_it(tmp_path: Path) -> None:
    certs = tmp_path / "certs"
    run = start(tmp_path, "ca", "init", "--key-size", "4096", "-o", "json")  # takes seconds, as a rule
    wait_for((certs / ".lock").exists, "ca init is at work")

    ended = interrupt(run, signal.SIGINT)

    assert ended.code == 130, ended
    assert "no file is written by halves" in ended.error["expected"]
    assert {path.name for path in certs.iterdir()} == {".lock"}
    assert finished(tmp_path, "ca", "init")["root"]["fingerprint"]


def test_while_clusters_cas_are_made_those_that_are_there_are_whole_and_the_next_run_makes_the_rest(
    tmp_path: Path,
) -> None:
    finished(tmp_path, "ca", "init", "--key-type", "ec")
    ids = [f"c{number}" for number in range(4)]
    words = ["ca", "issue", *(word for id_ in ids for word in ("--cluster-id", id_))]
    run = start(tmp_path, *words, "-o", "json")
    wait_for((tmp_path / "certs/c0").exists, "the first CA is there")

    ended = interrupt(run, signal.SIGINT)

    assert ended.code == 130, ended
    made = [id_ for id_ in ids if (tmp_path / "certs" / id_).exists()]
    assert len(made) < len(ids)
    before = {id_: (tmp_path / "certs" / id_ / "ca-cert.pem").read_bytes() for id_ in made}
    issued = finished(tmp_path, *words)["clusters"]
    assert [one["clusterId"] for one in issued if one["outcome"] != issued[-1]["outcome"]] == made
    after = {id_: (tmp_path / "certs" / id_ / "ca-cert.pem").read_bytes() for id_ in made}
    assert after == before
    finished(tmp_path, "ca", "verify")


def finished(folder: Path, *words: str) -> dict[str, Any]:
    """The data of a run that nobody interrupts."""
    run = start(folder, *words, "-o", "json")
    stdout, stderr = run.communicate(timeout=60)
    assert run.returncode == 0, stderr
    data: dict[str, Any] = json.loads(stdout)["data"]
    return data


def wait_for(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, f"waited 20 s until {what}"
        time.sleep(0.005)
