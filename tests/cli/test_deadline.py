"""Every wait obeys --timeout, and says what it waits for."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.conftest import Ran
from tests.support.fake_api import FakeApi, Reply, write_kubeconfig

if TYPE_CHECKING:
    from pathlib import Path

Run = Callable[..., Ran]

FAR_TOO_LONG_S = 90
"""Without an end of their own these runs would go on for ever: a busy machine is no reason to fail."""

READING = (
    "contexts",
    "status",
    "verify",
    "verify --wait 5m",
    "report -f -",
    "bundle -f bundle.tar.gz",
    "address",
    "address --set kt=203.0.113.7",
    "link --dry-run",
    "adopt",
    "install",
    "install --dry-run",
    "uninstall --yes",
    "sample deploy",
    "sample test",
    "sample remove --yes",
    "cilium status",
    "cilium fix --yes",
    "ca issue",
    "tools list",
)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """A CA's folder in which another run is at work."""
    folder.mkdir(mode=0o700)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.mark.parametrize("line", ["ca init", "ca issue --cluster-id kt-k2p"])
def test_a_run_waits_for_another_one_in_the_ca_folder_until_its_own_deadline(
    istio_mc: Run, tmp_path: Path, line: str
) -> None:
    with held(tmp_path / "certs"):
        done = istio_mc(*line.split(), "--timeout", "1s", "-o", "json")
    assert done.code == 1
    (error,) = done.envelope["errors"]
    assert error["code"] == "ca-store-busy"
    assert error["seen"] in ("its lock has been held for 0 s", "its lock has been held for 1 s")
    assert "ca waiting: for another run that uses" in done.err


def program(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.mark.thorough
@pytest.mark.parametrize("line", READING)
def test_a_server_that_never_ends_its_answer_does_not_keep_a_run(
    api: FakeApi, tmp_path: Path, line: str
) -> None:
    api.otherwise = Reply(endless=True)
    program(tmp_path / "istioctl", """echo '{"clientVersion": {"version": "1.26.0"}}'""")
    config = write_kubeconfig(tmp_path / "config", {"kt": api.url})
    for timeout in ("1s", "4s", "16s"):  # on a busy machine the first second may go by before the first call
        words = (*line.split(), "--contexts", "kt", "--kubeconfig", str(config), "--timeout", timeout)
        done = ended(tmp_path, *words)
        assert "Traceback" not in done.stderr
        if api.calls:
            break
    assert api.calls


@pytest.mark.thorough
@pytest.mark.parametrize("line", ["install", "install --dry-run", "uninstall --yes", "tools list"])
def test_a_program_that_never_ends_does_not_keep_a_run(api: FakeApi, tmp_path: Path, line: str) -> None:
    api.on("/version", {"gitVersion": "v1.32.3"})
    program(tmp_path / "istioctl", "exec sleep 600")
    config = write_kubeconfig(tmp_path / "config", {"kt": api.url})
    done = ended(tmp_path, *line.split(), "--contexts", "kt", "--kubeconfig", str(config), "--timeout", "1s")
    assert "Traceback" not in done.stderr


@pytest.mark.thorough
def test_progress_names_a_slow_credential_plugin(api: FakeApi, tmp_path: Path) -> None:
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": str(program(tmp_path / "plugin", "exec sleep 600")),
        "interactiveMode": "Never",
    }
    document = api.kubeconfig()
    document["users"][0]["user"] = {"exec": plugin}
    document["clusters"][0]["cluster"]["server"] = api.url.replace("http:", "https:")  # no other runs one
    (tmp_path / "config").write_text(str(document).replace("'", '"'))
    done = ended(tmp_path, "contexts", "--kubeconfig", str(tmp_path / "config"), "--timeout", "4s")
    assert f"kt  credentials waiting: for credential plugin {tmp_path / 'plugin'}" in done.stderr


def ended(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "istio_mc", *words],
        cwd=folder,
        env={**os.environ, "HOME": str(folder), "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=FAR_TOO_LONG_S,
        check=False,
    )
