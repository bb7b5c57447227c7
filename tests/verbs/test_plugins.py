"""Credential plugins: one that fails sets its cluster aside, and no credential of one is printed or kept."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.mesh import Mesh

INSTALL = ("install", "--contexts", "kt,ncloud,nhn", "-o", "json")
_SCRIPT = """\
#!/bin/sh
echo called >> "$1.calls"
if [ -e "$1.fails" ]; then echo "session of $1 has expired: log in again" >&2; exit 7; fi
/bin/cat "$1.json"
"""


@dataclass(frozen=True)
class Plugins:
    """A mesh whose kubeconfig has plugins only."""

    mesh: Mesh
    folder: Path

    def calls(self, context: str) -> int:
        """How often the plugin of a context ran."""
        path = self.folder / f"{context}.calls"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def fail(self, *contexts: str) -> None:
        """Has the plugins of these contexts fail from now on."""
        for context in contexts:
            (self.folder / f"{context}.fails").touch()


@pytest.fixture
def plugins(installed: Mesh, tmp_path: Path) -> Plugins:
    script = tmp_path / "log-in"
    script.write_text(_SCRIPT)
    script.chmod(0o755)
    document = installed.kubeconfig_document()
    version = "client.authentication.k8s.io/v1"
    for name, user in zip(installed.names, document["users"], strict=True):
        answer = {"apiVersion": version, "kind": "ExecCredential", "status": user["user"]}
        (tmp_path / f"{name}.json").write_text(json.dumps(answer))
        call = {"command": str(script), "args": [str(tmp_path / name)], "interactiveMode": "Never"}
        user["user"] = {"exec": {"apiVersion": version, **call}}
    installed.kubeconfig.write_text(json.dumps(document))
    return Plugins(installed, tmp_path)


def test_each_runs_once_in_a_run(plugins: Plugins) -> None:
    plugins.mesh.run(*INSTALL).exits(0)
    assert [plugins.calls(name) for name in plugins.mesh.names] == [1, 1, 1]


def test_a_failed_plugin_makes_its_cluster_unusable_and_is_reported_with_its_output(plugins: Plugins) -> None:
    plugins.fail("nhn")
    (error,) = plugins.mesh.run(*INSTALL).exits(3).json["errors"]
    assert (error["code"], error["cluster"]) == ("credential-plugin-failed", "nhn")
    assert str(plugins.folder / "log-in") in error["message"]
    assert "exit code 7" in error["message"]
    assert "has expired: log in again" in error["seen"]


def test_nothing_is_changed_and_each_cluster_is_named_if_all_fail(plugins: Plugins) -> None:
    plugins.fail(*plugins.mesh.names)
    writes = plugins.mesh.writes
    result = plugins.mesh.run(*INSTALL).exits(1)
    assert {cluster for _, cluster in result.errors} == set(plugins.mesh.names)
    assert plugins.mesh.writes == writes


def test_no_credential_of_one_is_printed_or_left_in_a_file(plugins: Plugins) -> None:
    kt = plugins.mesh["kt"]
    service = kt.get("Service", "istiod", "istio-system")
    kt.edit(service, lambda item: item["spec"].update(selector={"app": "nobody"}))  # so that istioctl runs
    result = plugins.mesh.run(*INSTALL, "-v", TMPDIR=str(plugins.mesh.folder)).exits(0)
    assert [step["name"] for step in result.cluster("kt")["steps"]] == ["istio"]
    tokens = [one.admin_token for one in plugins.mesh.clusters.values()]
    assert not any(token in result.stdout + result.stderr for token in tokens)
    files = [path for path in plugins.mesh.folder.rglob("*") if path.is_file()]
    assert not any(token.encode() in path.read_bytes() for path in files for token in tokens)
