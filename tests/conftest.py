"""What the tests of several folders share."""

from __future__ import annotations

import atexit
import difflib
import gc
import json
import os
import shutil
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from istio_mc.domain.istio import releases
from tests import commands
from tests.support import command_line
from tests.support.fake_api import FakeApi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# A busy machine is no reason to fail: what is generated counts, not how fast. `make check` generates
# few examples, `make test` many (--hypothesis-profile).
settings.register_profile("few", deadline=None, max_examples=15)
settings.register_profile("many", deadline=None, max_examples=300)
settings.load_profile("few")

# A shell starts what runs in the background with Ctrl-C ignored, and children inherit that: the programs that
# tests interrupt would go on.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Each run looks through the folder for temporary files: what runs leave there goes with the tests.
os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
os.environ["TMPDIR"] = tempfile.tempdir = tempfile.mkdtemp(prefix="tests-of-istio-mc-")
atexit.register(shutil.rmtree, tempfile.tempdir, ignore_errors=True)

GOLDEN = Path(__file__).parent / "golden"


gc.disable()  # until all is loaded: none of it is garbage


def pytest_collection_finish() -> None:
    """Has the garbage collector leave alone what is loaded: looking through it takes a tenth of the time."""
    gc.freeze()
    gc.enable()
    gc.set_threshold(20_000, 20, 20)


@pytest.fixture(autouse=True)
def _pasted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Reads every command that a test has made as the program that it names would; any hint must fix."""
    with commands.watched(monkeypatch) as made:
        yield
    assert commands.faults_of(made) == []


@pytest.fixture(autouse=True)
def _table_of_any_age(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps runs by today's date from warning, once the packaged table of releases has become old."""
    monkeypatch.setattr(releases, "OLD_AFTER_DAYS", 100 * 365)


@pytest.fixture
def api() -> Iterator[FakeApi]:
    """An API server that answers what it is told to."""
    with FakeApi().serve() as server:
        yield server


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compares a text with a file of tests/golden; with UPDATE_GOLDEN=1 it is written instead.

    Look at `git diff tests/golden` afterwards: what changed there changes for users and their scripts.
    """

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if os.environ.get("UPDATE_GOLDEN"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        kept = path.read_text().splitlines() if path.exists() else []
        difference = "\n".join(
            difflib.unified_diff(kept, text.splitlines(), f"golden/{name}", "now", lineterm="")
        )
        assert not difference, f"{difference}\n\nif this is wanted: UPDATE_GOLDEN=1 pytest …"

    return compare


@dataclass(frozen=True)
class Ran:
    """What a command line left behind: exit code, standard output and standard error."""

    code: int
    out: str
    err: str

    @property
    def envelope(self) -> dict[str, Any]:
        """Standard output as the one JSON document it is to be."""
        found: dict[str, Any] = json.loads(self.out)
        return found


@pytest.fixture
def istio_mc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Ran]]:
    """Runs `istio-mc` in this process, in an empty folder, with nobody at the keyboard."""
    monkeypatch.chdir(tmp_path)
    for name in ("KUBECONFIG", "ISTIO_MC_CONFIG", "NO_COLOR", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    handler = signal.getsignal(signal.SIGTERM)

    def run(*arguments: object) -> Ran:
        done = command_line.run([str(argument) for argument in arguments])
        return Ran(done.exit_code, done.stdout, done.stderr)

    yield run
    signal.signal(signal.SIGTERM, handler)
