"""How the program begins."""

from __future__ import annotations

import subprocess
import sys

import pytest

WATCHED = """
import atexit, gc, sys
sys.argv = ['istio-mc', *{words!r}]
atexit.register(lambda: print('COLLECTS', gc.isenabled(), file=sys.stderr, flush=True))
from istio_mc.__main__ import main
main()
"""


def collects(*words: str) -> bool:
    done = subprocess.run(
        [sys.executable, "-c", WATCHED.format(words=list(words))],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return done.stderr.splitlines()[-1] == "COLLECTS True"


def test_garbage_is_looked_for_once_a_verb_runs() -> None:
    assert collects("config", "schema")


@pytest.mark.parametrize("words", [("--help",), ("install", "--help")])
def test_help_is_made_without_looking_for_garbage(words: tuple[str, ...]) -> None:
    assert not collects(*words)
