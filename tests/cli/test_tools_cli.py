"""The verb `tools` as its users run it: in a process of its own, against a server that is really there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from istio_mc.domain.tools import Tool
from istio_mc.gateways.tools.find import own_platform
from tests.support.mirror import VERSIONS, Fault, Mirror

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.thorough

PROGRAM = [sys.executable, "-m", "istio_mc"]


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with Mirror().serve() as server:
        for tool in Tool:
            server.publish(tool, own_platform())
        yield server


@pytest.fixture
def here(tmp_path: Path, mirror: Mirror) -> Path:
    """A folder with a mesh.yaml that names the mirror."""
    (tmp_path / "mesh.yaml").write_text(f"""\
apiVersion: istio-mc/v1alpha1
kind: Mesh
istio: {{version: {VERSIONS[Tool.ISTIOCTL]}}}
gatewayAPI: {{version: {VERSIONS[Tool.GATEWAY_API]}}}
tools:
  kubectl: {{version: {VERSIONS[Tool.KUBECTL]}, mirror: "{mirror.url}"}}
  helm: {{version: {VERSIONS[Tool.HELM]}, mirror: "{mirror.url}"}}
  istioctl: {{mirror: "{mirror.url}"}}
  gatewayAPI: {{mirror: "{mirror.url}"}}
""")
    return tmp_path


def environment(folder: Path) -> dict[str, str]:
    return {
        "PATH": f"{folder}/none",
        "HOME": str(folder),
        "COLUMNS": "80",
        "PYTHONPATH": os.pathsep.join(sys.path),
        "COVERAGE_PROCESS_START": os.environ.get("COVERAGE_PROCESS_START", ""),
    }


def run(folder: Path, *arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, "tools", *arguments],
        cwd=folder,
        env=environment(folder) | (env or {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def envelope(folder: Path, *arguments: str, code: int = 0) -> dict[str, Any]:
    done = run(folder, *arguments, "-o", "json")
    assert done.returncode == code, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_a_dry_run_prints_the_sources_and_sends_no_request(here: Path, mirror: Mirror) -> None:
    shown = run(here, "install", "--dry-run").stdout.replace("\n", " ")
    assert mirror.requests == []
    assert shown.count(mirror.url) == len(Tool)


def test_install_puts_all_four_in_the_cache(here: Path) -> None:
    found = envelope(here, "install")
    assert (found["command"], found["status"]) == ("tools install", "success")
    assert [(tool["name"], tool["version"], tool["outcome"]) for tool in found["data"]["tools"]] == [
        ("kubectl", "1.31.4", "installed"),
        ("helm", "3.15.3", "installed"),
        ("istioctl", "1.26.1", "installed"),
        ("gateway-api", "1.2.1", "installed"),
    ]
    assert found["data"]["folder"] == f"{here}/.cache/istio-mc"


def test_list_finds_what_install_brought(here: Path) -> None:
    run(here, "install")
    tools = envelope(here, "list")["data"]["tools"]
    assert [(tool["name"], tool["origin"], tool["matches"]) for tool in tools] == [
        ("kubectl", "cache", True),
        ("helm", "cache", True),
        ("istioctl", "cache", True),
        ("gateway-api", "cache", True),
    ]


def test_offline_never_speaks_of_a_server(here: Path, mirror: Mirror) -> None:
    run(here, "download", "usb")
    for words in (("--dry-run",), ()):
        done = run(here, "install", "--offline", "usb", *words)
        assert "usb/kubectl/" in done.stdout + done.stderr
        assert mirror.url not in done.stdout + done.stderr


def test_a_folder_prepared_with_download_installs_offline(here: Path, mirror: Mirror) -> None:
    assert envelope(here, "download", "usb")["status"] == "success"
    mirror.requests.clear()
    found = envelope(here, "install", "--offline", "usb", "--bin-dir", "bin")
    assert {tool["outcome"] for tool in found["data"]["tools"]} == {"installed"}
    assert mirror.requests == []
    (warning,) = [one for one in found["messages"] if one["code"] == "bin-dir-off-path"]
    assert f"PATH={here}/bin:$PATH" in warning["hint"], "a relative folder on PATH is another one elsewhere"


def test_one_failure_of_four_is_exit_code_3_and_one_error(here: Path, mirror: Mirror) -> None:
    mirror.files[mirror.publish(Tool.HELM, own_platform())] += b"corrupted"
    found = envelope(here, "install", code=3)
    assert found["status"] == "partial"
    assert [error["code"] for error in found["errors"]] == ["checksum-mismatch"]
    assert [tool["outcome"] for tool in found["data"]["tools"]].count("installed") == 3


def test_all_failing_is_exit_code_1(here: Path, mirror: Mirror) -> None:
    del mirror.files[mirror.publish(Tool.KUBECTL, own_platform())]
    assert envelope(here, "install", "kubectl", code=1)["status"] == "error"


@pytest.mark.parametrize(
    "arguments",
    [
        ("install", "step"),
        ("install", "--kubectl", "latest"),
        ("install", "--platform", "windows/amd64"),
        ("download",),
    ],
)
def test_wrong_usage_is_exit_code_2(here: Path, arguments: tuple[str, ...]) -> None:
    assert run(here, *arguments).returncode == 2


def test_a_pipe_gets_plain_lines_and_no_bars(here: Path) -> None:
    done = run(here, "install", "helm")
    subject = f"helm {own_platform()}"
    lines = [line.strip().split("  ", 1)[1] for line in done.stderr.splitlines()]
    assert lines[0].startswith(f"{subject}  install started: http://127.0.0.1:")
    assert lines[-1].startswith(f"{subject}  install done: ")
    assert len(lines) <= 6


def test_ctrl_c_leaves_nothing_unfinished_and_the_next_run_starts_again(here: Path, mirror: Mirror) -> None:
    path = mirror.publish(Tool.KUBECTL, own_platform())
    mirror.faults[path] = [Fault(stall_at=5000)]
    child = subprocess.Popen(
        [*PROGRAM, "tools", "install", "kubectl"],
        cwd=here,
        env=environment(here),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        wait_for(lambda: any(p.stat().st_size == 5000 for p in here.glob(".cache/istio-mc/partial/*kubectl")))
        child.send_signal(signal.SIGINT)
        _, stderr = child.communicate(timeout=20)
    finally:
        child.kill()
    assert child.returncode == 130
    assert b"error[interrupted]: interrupted" in stderr
    assert envelope(here, "install", "kubectl")["status"] == "success"


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "waited 20 s for the download to begin"
        time.sleep(0.02)


def test_the_folder_of_programs_may_come_from_the_environment(here: Path) -> None:
    run(here, "install", "helm", env={"ISTIO_MC_BIN_DIR": str(here / "mine")})
    assert (here / "mine/helm").exists()


@pytest.mark.parametrize("verb", ["install", "download", "list"])
def test_help_shows_examples_that_name_the_verb(here: Path, verb: str) -> None:
    done = run(here, verb, "--help")
    examples = done.stdout.split("Examples:")[1].split("Options:")[0]
    assert examples.count(f"istio-mc tools {verb}") >= 2


def test_list_at_80_columns(here: Path, golden: Callable[[str, str], None]) -> None:
    """The rows of releases are left out: which of them ended changes with the day."""
    done = run(here, "list")
    kept = [line.rstrip() for line in done.stdout.splitlines() if not line.lstrip(" *").startswith("1.")]
    golden("tools_list.txt", "\n".join(kept).replace(str(here), "HOME") + "\n")
