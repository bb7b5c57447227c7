"""How long a command took, as the benchmark of `--help` tells it."""

from __future__ import annotations

import subprocess
import sys
import time
from importlib.util import cache_from_source
from pathlib import Path

import pytest

import istio_mc
from benchmarks import bytecode, helptime


def test_the_end_of_a_command_is_seen_at_once() -> None:
    # Where it is looked for ever more seldom, it is seen after 64 ms or after 114 ms, and never between.
    assert 0.075 <= min(helptime.seconds(["sleep", "0.075"]) for _ in range(8)) < 0.11


def test_a_command_that_fails_is_not_a_measurement() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        helptime.seconds([sys.executable, "-c", "raise SystemExit(1)"])


def test_a_command_that_does_not_end_is_killed() -> None:
    begin = time.perf_counter()
    with pytest.raises(subprocess.CalledProcessError):
        helptime.seconds(["sleep", "30"], deadline=0.2)
    assert time.perf_counter() - begin < 10


@pytest.mark.thorough
def test_the_measured_package_has_bytecode_like_an_installed_one() -> None:
    bytecode.compiled()
    source = Path(istio_mc.__file__)
    assert Path(cache_from_source(str(source))).stat().st_mtime >= source.stat().st_mtime - 1
