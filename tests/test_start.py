"""How the program begins."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

WATCHED = """
import atexit, gc, sys
sys.argv = ['istio-mc', *{words!r}]
atexit.register(lambda: print('COLLECTS', gc.get_threshold()[0], file=sys.stderr, flush=True))
from istio_mc.__main__ import main
main()
"""


@pytest.mark.parametrize("words", [("--help",), ("config", "schema")])
def test_garbage_is_looked_for_seldom(words: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WATCHED.format(words=list(words))],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stderr.splitlines()[-1] == "COLLECTS 50000"


LOADED = """
import atexit, sys
sys.argv = ['istio-mc', *{words!r}]
atexit.register(lambda: print('LOADED', 'kubernetes' in sys.modules, file=sys.stderr, flush=True))
from istio_mc.__main__ import main
main()
"""
KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: a, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {token: x}}]
contexts: [{name: a, context: {cluster: a, user: u}}]
"""


@pytest.mark.parametrize(
    "line",
    ["contexts --offline --kubeconfig k.yaml", "config show --kubeconfig k.yaml", "verify --list", "ca show"],
)
def test_what_calls_no_api_server_does_not_load_the_client_for_it(line: str, tmp_path: Path) -> None:
    (tmp_path / "k.yaml").write_text(KUBECONFIG)

    done = subprocess.run(
        [sys.executable, "-c", LOADED.format(words=line.split())],
        capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path,
    )  # fmt: skip

    assert done.stderr.splitlines()[-1] == "LOADED False", done.stderr
