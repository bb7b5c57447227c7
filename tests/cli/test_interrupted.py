"""Ctrl-C in every verb: children are stopped, and it is told what was done and what the next run does.

Here every verb is interrupted while it waits: for a cluster that keeps silent, or for a child. The end-to-end
tests interrupt those that change clusters in the middle of a change.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import shlex
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.test_help import COMMANDS
from tests.support.fake_api import FakeApi, write_kubeconfig
from tests.support.fake_api import kubeconfig as kubeconfig_of
from tests.support.fresh_clusters import fresh_clusters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


pytestmark = pytest.mark.thorough

ENDS_WITHIN_S = 15  # a few seconds, and what a busy machine adds
CHANGES_NOTHING = "nothing was changed; run the same command again"

CHANGES_CLUSTERS = {
    "link": "missing",
    "address": "the remaining changes",
    "sample deploy": "deploys the sample where it is missing",
    "sample remove --yes": "removes the rest",
    "upgrade --back": "old pods serve until new ones are ready",
    "uninstall --yes": "removes the rest",
    "addons install": "applies what is missing",
    "addons remove --yes": "removes the rest",
    "addons default-storage kt=fast": "marks the remaining StorageClasses",
    "cilium fix --yes": "restarts the agents",
    "cilium revert --yes": "restarts the agents",
    "ca issue": "issues the missing CAs",
}
WAITS_FOR_A_CHILD = {
    "install": "finishes the rest, under the same root CA",
    "adopt": "labels the remaining clusters",
}
ELSEWHERE = {"tools install", "tools download"}
"""Interrupted in test_tools_cli.py."""
WITHOUT_CLUSTERS = {
    "addons list", "ca init", "ca show", "ca verify", "config init", "config show", "config schema",
    "explain", "version", "completion",
}  # fmt: skip
_CHANGING = {
    line.partition(" --")[0].partition(" kt=")[0] for line in CHANGES_CLUSTERS
} | WAITS_FOR_A_CHILD.keys()
_OF_A_SERVICE = {"trace"}
READING = [
    *(COMMANDS.keys() - _CHANGING - ELSEWHERE - WITHOUT_CLUSTERS - _OF_A_SERVICE),
    *(f"{line} sample/reviews" for line in _OF_A_SERVICE),
    "status --watch",
]
WAITS_FOR_A_CLUSTER = CHANGES_CLUSTERS | dict.fromkeys(sorted(READING), CHANGES_NOTHING)


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


PINNED = "apiVersion: istio-mc/v1alpha1\nkind: Mesh\nistio:\n  version: 1.26.0\n"


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """An API server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        yield server


@pytest.fixture
def kubeconfig(silent: socket.socket, tmp_path: Path) -> Path:
    return write_kubeconfig(tmp_path / "config", {"kt": f"http://127.0.0.1:{silent.getsockname()[1]}"})


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Path]:
    """A kubeconfig of a cluster that has nothing: no namespace for a Lease either."""
    server = FakeApi()
    with server.serve():
        yield write_kubeconfig(tmp_path / "config", {"kt": f"http://127.1:{server.address[1]}"})


def environment(folder: Path, path: str = os.defpath) -> dict[str, str]:
    """This one, but with home and temporary files below a folder, and no CI: progress moves on a terminal."""
    named = {"KUBECONFIG", "ISTIO_MC_CONFIG", "CI"}
    kept = {key: value for key, value in os.environ.items() if key not in named}
    (folder / "tmp").mkdir(exist_ok=True)
    return kept | {"PATH": path, "HOME": str(folder), "TMPDIR": str(folder / "tmp")}


def start(folder: Path, *words: str, path: str = os.defpath, before: str = "") -> subprocess.Popen[str]:
    """Starts a run; `before`: a shell's commands that come first."""
    shell = ["sh", "-c", f'{before}; exec "$@"', "sh"] if before else []
    return subprocess.Popen(
        [*shell, sys.executable, "-m", "istio_mc", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=environment(folder, path),
    )


def opened(pid: int, path: Path) -> bool:
    files = (fd.resolve() for fd in Path(f"/proc/{pid}/fd").iterdir())
    return path.resolve() in files


def left_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


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
    assert left_in(tmp_path / "tmp") == []
    assert ended.code == 130, ended
    assert ended.seconds < ENDS_WITHIN_S
    assert ended.error["code"] == "interrupted"
    assert ended.error["seen"].startswith("done by then: nothing")
    assert WAITS_FOR_A_CLUSTER[line] in ended.error["expected"]
    assert ended.error["hint"] == shlex.join(["istio-mc", *words])
    assert "error[interrupted]: interrupted" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("line", WAITS_FOR_A_CHILD)
@pytest.mark.parametrize(
    "signals",
    [
        (signal.SIGINT,),
        (signal.SIGTERM,),
        (signal.SIGHUP,),
        (signal.SIGQUIT,),
        (signal.SIGINT, signal.SIGINT),
        (signal.SIGHUP, signal.SIGHUP, signal.SIGTERM),  # as a terminal is closed
    ],
)
def test_a_child_that_will_not_end_is_ended(
    bare: Path, tmp_path: Path, line: str, signals: tuple[signal.Signals, ...]
) -> None:
    (tmp_path / "mesh.yaml").write_text(PINNED, encoding="utf-8")
    (tmp_path / "istioctl").write_text(
        "#!/bin/sh\ntrap '' TERM INT\necho $$ > pid\nwhile :; do sleep 0.1; done\n", encoding="utf-8"
    )
    (tmp_path / "istioctl").chmod(0o755)
    run = start(
        tmp_path, line, "--contexts", "kt", "--kubeconfig", str(bare), "-o", "json",
        path=f"{tmp_path}{os.pathsep}{os.defpath}",
    )  # fmt: skip
    pid = tmp_path / "pid"
    wait_for(lambda: pid.exists() and bool(pid.read_text().strip()), "istioctl runs")

    ended = interrupt(run, *signals)

    assert ended.code == 130, ended
    assert ended.seconds < ENDS_WITHIN_S
    assert ended.error["message"] == f"interrupted by {signals[0].name}"
    assert WAITS_FOR_A_CHILD[line] in ended.error["expected"]
    assert "Traceback" not in ended.stderr
    assert left_in(tmp_path / "tmp") == []
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_a_closed_terminal_ends_the_children_and_removes_temporary_files(bare: Path, tmp_path: Path) -> None:
    """As when a connection over SSH is lost: SIGHUP, and nothing can be written any more."""
    wait_for_a_child = "#!/bin/sh\ntrap '' HUP TERM\necho $$ > pid\nwhile :; do sleep 0.1; done\n"
    (tmp_path / "mesh.yaml").write_text(PINNED, encoding="utf-8")
    (tmp_path / "istioctl").write_text(wait_for_a_child, encoding="utf-8")
    (tmp_path / "istioctl").chmod(0o755)
    ours, theirs = os.openpty()
    run = subprocess.Popen(
        [sys.executable, "-c", IN_A_SESSION, sys.executable, "-m", "istio_mc", "install", "--contexts", "kt",
         "--kubeconfig", str(bare)],
        stdin=theirs, stdout=theirs, stderr=theirs, cwd=tmp_path, start_new_session=True,
        env=environment(tmp_path, f"{tmp_path}{os.pathsep}{os.defpath}"),
    )  # fmt: skip
    os.close(theirs)
    pid = tmp_path / "pid"
    wait_for(lambda: pid.exists() and bool(pid.read_text().strip()), "istioctl runs")

    os.close(ours)

    assert run.wait(20) == 130
    assert left_in(tmp_path / "tmp") == []
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


IN_A_SESSION = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_an_interrupt_during_istioctl_reports_the_step_of_each_cluster(
    tmp_path: Path, number: signal.Signals
) -> None:
    with fresh_clusters(tmp_path, "kt", "ncloud", "nhn") as fresh:
        run = start(tmp_path, *fresh.words, "-o", "json", path=fresh.path)
        pids = fresh.wait_for_istioctl(runs=3)

        ended = interrupt(run, number)

    assert ended.code == 130, ended
    done, _, begun = ended.error["seen"].removeprefix("done by then: ").partition("; not finished: ")
    assert sorted(done.split("; ")) == [f"{name}: namespace, cacerts" for name in ("kt", "ncloud", "nhn")]
    assert sorted(begun.split("; ")) == [f"{name}: istio" for name in ("kt", "ncloud", "nhn")]
    assert "failed" not in ended.stderr, "it was stopped, which is no failure of its own"
    assert left_in(tmp_path / "tmp") == []
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_run_that_ignores_sighup_as_nohup_has_it_goes_on(
    silent: socket.socket, kubeconfig: Path, tmp_path: Path
) -> None:
    words = ["contexts", "--kubeconfig", str(kubeconfig), "--timeout", "3s", "-o", "json"]
    run = start(tmp_path, *words, before="trap '' HUP")
    connection, _ = silent.accept()

    ended = interrupt(run, signal.SIGHUP)

    connection.close()
    assert ended.code == 0, ended
    assert json.loads(ended.stdout)["status"] == "success"


@pytest.mark.parametrize("package", ["select", "yaml"])
def test_while_the_program_is_loaded_it_ends_without_a_traceback(tmp_path: Path, package: str) -> None:
    """A package that never finishes its import stands for a slow disk; one is imported first, one late."""
    script = "open('loading', 'w').close()\nimport time\ntime.sleep(30)\n"
    (tmp_path / f"{package}.py").write_text(script)
    alone = "unset COVERAGE_PROCESS_START COVERAGE_PROCESS_CONFIG"  # coverage would import it first
    run = start(tmp_path, "contexts", before=f"{alone}; export PYTHONPATH={tmp_path}")
    wait_for((tmp_path / "loading").exists, f"{package} is imported")

    ended = interrupt(run, signal.SIGINT)

    assert ended.code in (-signal.SIGINT, 130)
    assert "Traceback" not in ended.stderr


def test_while_its_result_is_written_to_a_reader_that_has_stopped(tmp_path: Path) -> None:
    """No second document follows the first one, and the program does not wait for its reader."""
    run = start(tmp_path, "config", "schema", "-o", "json")
    output = run.stdout
    assert output
    fcntl.fcntl(output, fcntl.F_SETPIPE_SZ, 4096)
    wait_for(lambda: select.select([output], [], [], 0)[0] != [], "it writes")
    time.sleep(0.5)

    run.send_signal(signal.SIGINT)
    try:
        code = run.wait(30)
        stdout, stderr = run.communicate(timeout=10)
    finally:
        run.kill()

    assert code == 130
    assert stdout.count("schemaVersion") == 1
    assert "error[interrupted]: interrupted" in stderr
    assert "Traceback" not in stderr


def test_while_it_waits_for_the_lock_of_another_run(tmp_path: Path) -> None:
    finished(tmp_path, "ca", "init", "--key-type", "ec")
    with (tmp_path / "certs/.lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run = start(tmp_path, "ca", "issue", "--cluster-id", "kt", "-o", "json")
        wait_for(lambda: opened(run.pid, tmp_path / "certs/.lock"), "it has opened the lock")

        ended = interrupt(run, signal.SIGHUP)

    assert (ended.code, ended.error["code"]) == (130, "interrupted"), ended


def test_while_credential_plugins_run_they_are_ended(tmp_path: Path) -> None:
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never"}
    document = kubeconfig_of({"kt": "https://127.0.0.1:1", "nhn": "https://127.0.0.1:2"})
    for number, user in enumerate(document["users"]):
        script = f"trap '' TERM HUP; echo $$ > pid{number}; while :; do sleep 0.1; done"
        user["user"] = {"exec": {**plugin, "command": "sh", "args": ["-c", script]}}
    (tmp_path / "config").write_text(json.dumps(document))
    run = start(tmp_path, "contexts", "--kubeconfig", "config", "-o", "json")
    pids = [tmp_path / "pid0", tmp_path / "pid1"]
    wait_for(lambda: all(pid.exists() and pid.read_text().strip() for pid in pids), "both plugins run")

    ended = interrupt(run, signal.SIGHUP)

    assert ended.code == 130, ended
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid.read_text()), 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_watch_ends_with_the_code_of_its_last_reading(
    api: FakeApi, tmp_path: Path, number: signal.Signals
) -> None:
    api.on("/version", {"gitVersion": "v1.32.3"})
    config = str(write_kubeconfig(tmp_path / "config", {"kt": api.url}))
    words = ("--contexts", "kt", "--kubeconfig", config, "-o", "json")
    run = start(tmp_path, "status", "--watch", "--every", "60s", *words)
    assert run.stdout
    first = run.stdout.readline()

    ended = interrupt(run, number)

    assert json.loads(first)["status"] == "success"
    assert (ended.code, ended.stdout, ended.stderr) == (0, "", "")
    assert left_in(tmp_path / "tmp") == []


def test_interrupted_root_creation_leaves_no_root_and_the_next_run_creates_it(tmp_path: Path) -> None:
    certs = tmp_path / "certs"
    run = start(tmp_path, "ca", "init", "--key-size", "4096", "-o", "json")  # takes seconds, as a rule
    wait_for((certs / ".gitignore").exists, "ca init holds the lock and is at work")

    ended = interrupt(run, signal.SIGINT)

    assert ended.code == 130, ended
    assert "no file is incomplete" in ended.error["expected"]
    assert {path.name for path in certs.iterdir()} == {".lock", ".gitignore"}
    assert finished(tmp_path, "ca", "init")["root"]["fingerprint"]


def test_interrupted_issuing_leaves_complete_cas_and_the_next_run_issues_the_missing_ones(
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
