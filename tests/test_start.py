"""How the program begins."""

from __future__ import annotations

import os
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
def test_garbage_is_collected_rarely(words: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WATCHED.format(words=list(words))],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stderr.splitlines()[-1] == "COLLECTS 50000"


LOADED = """
import atexit, sys
sys.argv = ['istio-mc', *{words!r}]
atexit.register(lambda: print('LOADED', *sorted(sys.modules), file=sys.stderr, flush=True))
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


CLIENTS = {"kubernetes", "urllib3", "websocket"}


def loaded(line: str, folder: Path) -> set[str]:
    """The modules that a command line has imported at its end."""
    (folder / "k.yaml").write_text(KUBECONFIG)
    done = subprocess.run(
        [sys.executable, "-c", LOADED.format(words=line.split())],
        capture_output=True, text=True, timeout=60, check=False, cwd=folder,
    )  # fmt: skip
    *errors, modules = done.stderr.splitlines()
    assert (done.returncode, errors) == (0, [])
    return set(modules.split())


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("contexts --offline --kubeconfig k.yaml", CLIENTS | {"pydantic", "cryptography"}),
        # pydantic makes the schema; what a check is asked with is beside its title
        *(
            pytest.param(line, left, marks=pytest.mark.thorough)
            for line, left in (
                ("--kubeconfig k.yaml contexts --offline -o json", CLIENTS | {"pydantic", "cryptography"}),
                ("config show --kubeconfig k.yaml", CLIENTS | {"pydantic", "cryptography"}),
                ("config schema", CLIENTS | {"cryptography"}),
                ("verify --list", CLIENTS | {"pydantic"}),
                ("ca show", CLIENTS | {"pydantic"}),
            )
        ),
    ],
)
def test_what_a_verb_does_without_is_not_loaded(line: str, left: set[str], tmp_path: Path) -> None:
    if line == "ca show":
        loaded("ca init --key-type ec", tmp_path)

    assert not loaded(line, tmp_path) & left


@pytest.mark.thorough
def test_pydantic_is_loaded_where_a_settings_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "mesh.yaml").write_text("apiVersion: istio-mc/v1alpha1\nkind: Mesh\n")

    assert "pydantic" in loaded("config show --kubeconfig k.yaml", tmp_path)


ENDPOINTS = """
import os, sys
from istio_mc.gateways.kube.endpoint import read_endpoint
kubeconfig = {'clusters': [{'cluster': {'server': 'https://192.0.2.1:6443/'}}]}
for name, value in (('NO_PROXY', 'example.com'), ('HTTPS_PROXY', 'http://192.0.2.2:3128')):
    os.environ[name] = value
    endpoint = read_endpoint('a', kubeconfig)
    print('kubernetes' in sys.modules, endpoint.url, endpoint.proxy and endpoint.proxy.url)
"""


def test_the_python_client_is_loaded_only_for_a_proxy_of_the_environment() -> None:
    clean = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(
        [sys.executable, "-c", ENDPOINTS],
        capture_output=True, text=True, timeout=60, check=True, env=clean,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "False https://192.0.2.1:6443 None",
        "True https://192.0.2.1:6443 http://192.0.2.2:3128",
    ]
