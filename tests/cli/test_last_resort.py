"""No traceback, whatever happens: one line, a private file without secrets, the envelope, exit code 1."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from istio_mc.ops import contexts
from tests.conftest import Ran
from tests.support.fake_api import write_kubeconfig

Run = Callable[..., Ran]

TOKEN = "token-of-kt"  # noqa: S105 - what the kubeconfig has, and nobody may read elsewhere
LINE = re.compile(
    r"error\[internal\]: internal error: (\w+): (.*); traceback: (\S+)\n"
    r"  docs:     istio-mc explain internal\n"
)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_kubeconfig(tmp_path / "kt.yaml", {"kt": "https://127.0.0.1:1"})


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A verb with a bug, in a function that has a secret at hand."""

    def fail(*_: object, **__: object) -> None:
        value_of_a_variable = "value-of-a-variable"
        assert value_of_a_variable
        raise ZeroDivisionError(f"divided {TOKEN} by zero\nsecond line")

    monkeypatch.setattr(contexts, "offline", fail)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def kept(done: Ran) -> Path:
    """The file that a line names."""
    found = LINE.fullmatch(done.err)
    assert found, done.err
    return Path(found[3])


@pytest.mark.usefixtures("broken")
class TestABug:
    def test_is_one_line_and_exit_code_1(self, istio_mc: Run, config: Path) -> None:
        done = istio_mc("contexts", "--offline", "--kubeconfig", config)
        assert (done.code, done.out) == (1, "")
        assert LINE.fullmatch(done.err)

    def test_is_kept_in_a_private_file_with_its_places_and_without_secrets(
        self, istio_mc: Run, config: Path
    ) -> None:
        path = kept(istio_mc("contexts", "--offline", "--kubeconfig", config))
        text = path.read_text()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert "ZeroDivisionError" in text
        assert "in fail" in text
        assert TOKEN not in text
        assert "value-of-a-variable" not in text.replace('value_of_a_variable = "value-of-a-variable"', "")

    def test_shows_no_secret_in_its_line(self, istio_mc: Run, config: Path) -> None:
        assert TOKEN not in istio_mc("contexts", "--offline", "--kubeconfig", config).err

    @pytest.mark.parametrize(("output", "load"), [("json", json.loads), ("yaml", yaml.safe_load)])
    def test_ends_in_the_envelope(
        self, istio_mc: Run, config: Path, output: str, load: Callable[[str], dict[str, Any]]
    ) -> None:
        done = istio_mc("contexts", "--offline", "--kubeconfig", config, "-o", output)
        envelope = load(done.out)
        assert (envelope["command"], envelope["status"], envelope["data"]) == ("contexts", "error", None)
        (error,) = envelope["errors"]
        assert error["code"] == "internal"
        assert str(kept(done)) in error["message"]
        assert error["docs"] == "troubleshooting.md#internal"

    def test_without_room_for_its_file_is_still_one_line(
        self, istio_mc: Run, config: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tempfile.tempdir", "/nowhere")
        done = istio_mc("contexts", "--offline", "--kubeconfig", config)
        assert done.err.splitlines()[0].endswith("traceback: none could be written (FileNotFoundError)")
        assert done.err.count("\n") == 2


@pytest.mark.parametrize("output", ["short", "junit", "github"])
def test_a_bug_of_verify_is_reported_in_the_requested_format(
    istio_mc: Run, config: Path, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("istio_mc.ops.verify.verify.verify", fail)
    done = istio_mc("verify", "--contexts", "kt", "--kubeconfig", config, "-o", output)
    assert done.code == 1
    assert "internal" in done.out
    if output == "junit":
        assert ET.fromstring(done.out).get("errors") == "1"  # noqa: S314 - our own


WRAPPED = """
import sys
{before}
sys.argv = ['istio-mc', *{words!r}]
from istio_mc.__main__ import main
main()
"""


def started(folder: Path, before: str, *words: str) -> subprocess.CompletedProcess[str]:
    """The program, in a process where something was done before it."""
    return subprocess.run(
        [sys.executable, "-c", WRAPPED.format(before=before, words=list(words))],
        cwd=folder, env={**os.environ, "HOME": str(folder), "TMPDIR": str(folder)},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


NO_MODULE = """
class Missing:
    def find_spec(self, name, *_):
        if name == {name!r}: raise ImportError('failed to map segment from shared object')
sys.meta_path.insert(0, Missing())
"""


@pytest.mark.parametrize("name", ["typer", "istio_mc.cli.contexts"])
def test_what_cannot_be_imported_is_one_line_too(tmp_path: Path, name: str) -> None:
    done = started(tmp_path, NO_MODULE.format(name=name), "contexts", "--offline", "-o", "json")
    assert done.returncode == 1
    assert LINE.fullmatch(done.stderr)
    envelope = json.loads(done.stdout)
    assert [error["code"] for error in envelope["errors"]] == ["internal"]
    assert envelope["command"] == ("" if name == "typer" else "contexts")


def test_no_memory_at_all_is_one_line_too(tmp_path: Path) -> None:
    before = (
        "import traceback\ndef none(*_): raise MemoryError\n"
        "traceback.format_exception = traceback.extract_tb = none"
    )
    done = started(tmp_path, before + NO_MODULE.format(name="typer"), "contexts")
    assert done.returncode == 1
    assert done.stderr.startswith("error[internal]: internal error: ImportError")
    assert done.stderr.splitlines()[0].endswith("traceback: none could be written (MemoryError)")


@pytest.mark.thorough
@pytest.mark.parametrize("kib", [20_000, 40_000, 60_000, 80_000, 100_000])
def test_little_memory_is_no_traceback(tmp_path: Path, kib: int) -> None:
    config = write_kubeconfig(tmp_path / "c", {"kt": "http://127.0.0.1:1"})
    words = f"{sys.executable} -m istio_mc contexts --kubeconfig {config} --timeout 2s -o json"
    alone = "unset COVERAGE_PROCESS_START COVERAGE_PROCESS_CONFIG"  # which has no room in so little
    done = shell(tmp_path, f"{alone}; ulimit -v {kib}; exec {words}")
    assert "Traceback" not in done.stderr
    if done.returncode == 1 and done.stdout:
        assert [error["code"] for error in json.loads(done.stdout)["errors"]] == ["internal"]


@pytest.mark.thorough
def test_ctrl_c_while_the_program_is_still_loading_is_no_traceback(tmp_path: Path) -> None:
    before = NO_MODULE.format(name="typer").replace(
        "raise ImportError('failed to map segment from shared object')",
        "import os, signal; os.kill(os.getpid(), signal.SIGINT)",
    )
    done = started(tmp_path, before, "contexts")
    assert done.returncode in (130, -2)
    assert done.stderr == ""


@pytest.mark.thorough
def test_exceptions_of_threads_and_destructors_are_not_printed(tmp_path: Path) -> None:
    before = (
        "import threading, atexit\n"
        "class Bad:\n    def __del__(self): raise RuntimeError('in a destructor')\n"
        "def fail(): raise RuntimeError('in a thread')\n"
        "def later():\n    t = threading.Thread(target=fail); t.start(); t.join(); Bad()\n"
        "atexit.register(later)\n"
    )
    done = started(tmp_path, before, "--version")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.thorough
@pytest.mark.parametrize(
    "line",
    ["contexts --offline", "config show", "ca init", "ca show", "tools list", "verify", "report -f x.html"],
)
def test_a_current_folder_that_was_deleted_is_reported(tmp_path: Path, line: str) -> None:
    write_kubeconfig(tmp_path / "c", {"kt": "http://127.0.0.1:1"})
    words = f"{sys.executable} -m istio_mc {line} --kubeconfig {tmp_path}/c -o json"
    done = shell(tmp_path, f"mkdir gone; cd gone; rmdir ../gone; exec {words}")
    assert done.returncode == 2
    assert [error["code"] for error in json.loads(done.stdout)["errors"]] == ["current-folder"]


@pytest.mark.thorough
@pytest.mark.parametrize("home", ["env -u HOME", "HOME=", "HOME=/nowhere", "TMPDIR=/nowhere"])
def test_a_home_or_temporary_folder_that_is_missing_stops_nothing(tmp_path: Path, home: str) -> None:
    write_kubeconfig(tmp_path / "c", {"kt": "http://127.0.0.1:1"})
    words = "-m istio_mc contexts --offline --kubeconfig c"
    done = shell(tmp_path, f"{home} {sys.executable} {words}")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.thorough
def test_a_user_without_a_home_at_all_can_run_it(tmp_path: Path) -> None:
    before = "import os, pwd\nos.environ.pop('HOME')\ndef none(_): raise KeyError\npwd.getpwuid = none"
    assert started(tmp_path, before, "tools", "list").returncode == 0


def shell(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
