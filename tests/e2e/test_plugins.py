"""Credential plugins: run once for a context and command, and never by istioctl."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.harness import (
    CONTEXTS,
    GATEWAY,
    SYSTEM,
    Site,
    kubectl,
    merged_kubeconfig,
    rolled_out,
    write_kubeconfig,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ADMIN = "e2e-plugin-admin"
# Writes down who called it, and then answers.
_SCRIPT = """\
#!/bin/sh
tr '\\0' ' ' < /proc/$PPID/cmdline >> "$1.calls"
echo >> "$1.calls"
cat "$1.json"
"""


@dataclass(frozen=True)
class Plugins:
    """A site whose kubeconfig holds nothing but plugins."""

    site: Site
    folder: Path

    def calls(self, context: str) -> list[str]:
        """Command lines of those that have run a context's plugin; forgotten thereby."""
        path = self.folder / f"{context}.calls"
        found = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return found


def _certificate(context: str, user: dict[str, Any]) -> dict[str, str]:
    del context
    return {
        "clientCertificateData": base64.b64decode(user["client-certificate-data"]).decode(),
        "clientKeyData": base64.b64decode(user["client-key-data"]).decode(),
    }


def _token(context: str, _user: dict[str, Any]) -> dict[str, str]:
    return {"token": kubectl(context, "create", "token", _ADMIN, "-n", "default").strip()}


@pytest.fixture
def plugins(mesh: Site, tmp_path: Path) -> Iterator[Plugins]:
    """kt and nhn with a plugin that gives a client certificate, ncloud with one that gives a token."""
    kubectl("ncloud", "create", "serviceaccount", _ADMIN, "-n", "default")
    kubectl(
        "ncloud",
        "create",
        "clusterrolebinding",
        _ADMIN,
        "--clusterrole=cluster-admin",
        f"--serviceaccount=default:{_ADMIN}",
    )
    script = tmp_path / "log-in"
    script.write_text(_SCRIPT, encoding="utf-8")
    script.chmod(0o755)
    document = merged_kubeconfig()
    for context, user in zip(CONTEXTS, document["users"], strict=True):
        give = _token if context == "ncloud" else _certificate
        answer = {
            "apiVersion": "client.authentication.k8s.io/v1",
            "kind": "ExecCredential",
            "status": give(context, user["user"]),
        }
        (tmp_path / f"{context}.json").write_text(json.dumps(answer), encoding="utf-8")
        user["user"] = {
            "exec": {
                "apiVersion": "client.authentication.k8s.io/v1",
                "command": str(script),
                "args": [str(tmp_path / context)],
                "interactiveMode": "Never",
            }
        }
    kubeconfig = write_kubeconfig(tmp_path / "kubeconfig.yaml", document)
    yield Plugins(Site.at(tmp_path / "site", kubeconfig=kubeconfig, certs=mesh.certs), tmp_path)
    kubectl("ncloud", "delete", "clusterrolebinding", _ADMIN)
    kubectl("ncloud", "delete", "serviceaccount", _ADMIN, "-n", "default")


def test_install_and_verify_run_each_plugin_once_and_istioctl_runs_none(plugins: Plugins) -> None:
    for context in ("kt", "ncloud"):  # so that istioctl has something to repair in both
        kubectl(context, "set", "env", GATEWAY, "-n", SYSTEM, "ISTIO_META_ROUTER_MODE=standard")

    installed = plugins.site.run("install", "-o", "json").exits(0)

    done = {c["name"]: [step["name"] for step in c["steps"]] for c in installed.data["clusters"]}
    assert done == {"kt": ["istio"], "ncloud": ["istio"], "nhn": []}
    calls = {context: plugins.calls(context) for context in CONTEXTS}
    assert {context: len(found) for context, found in calls.items()} == dict.fromkeys(CONTEXTS, 1)
    assert all("istio_mc install" in line for found in calls.values() for line in found), calls
    for context in ("kt", "ncloud"):
        rolled_out(context)

    plugins.site.run("verify").exits(0)

    assert {context: len(plugins.calls(context)) for context in CONTEXTS} == dict.fromkeys(CONTEXTS, 1)
