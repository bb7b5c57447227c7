"""What istioctl, a real API server and istiod refuse is reported in their own words, with what to do."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.e2e.harness import (
    SYSTEM,
    Site,
    environment,
    kubectl,
    merged_kubeconfig,
    snapshots,
    write_kubeconfig,
)

if TYPE_CHECKING:
    from pathlib import Path


READ_ONLY = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: test-read-only}
rules: [{apiGroups: ["*"], resources: ["*"], verbs: [get, list, watch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: test-read-only}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: test-read-only}
subjects: [{kind: ServiceAccount, name: test-read-only, namespace: default}]
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: test-read-only, namespace: default}
"""


def _pasted(line: str) -> tuple[int, str]:
    """Exit code and output of a command that an error gives to paste, in a shell as a user has it."""
    done = subprocess.run(
        ["sh", "-c", line],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(KUBECONFIG=""),
        check=False,
    )
    return done.returncode, "\n".join(part for part in (done.stdout.strip(), done.stderr.strip()) if part)


def test_values_that_istioctl_rejects_are_reported_with_its_output_before_the_first_change(
    mesh: Site, tmp_path: Path
) -> None:
    values = mesh.settings["values"] | {"pilot": {"autoscaleMin": "three"}}
    wrong = Site.at(tmp_path, certs=mesh.certs, values=values)
    before = snapshots()

    result = wrong.run("install", "-o", "json").exits(1)

    (error, *_) = result.json["errors"]
    assert error["code"] == "istioctl-failed"
    assert "exit code 1" in error["message"]
    assert "could not unmarshal" in error["seen"]
    assert " manifest generate " in error["hint"]
    assert _pasted(error["hint"]) == (1, error["seen"])
    assert snapshots() == before


def test_values_that_the_cluster_refuses_are_answered_with_the_command_to_paste(
    mesh: Site, tmp_path: Path
) -> None:
    clusters = [dict(entry) for entry in mesh.settings["clusters"]]
    clusters[2]["values"] = {"pilot": {"resources": {"requests": {"cpu": "much"}}}}
    wrong = Site.at(tmp_path, certs=mesh.certs, clusters=clusters)

    result = wrong.run("install", "-o", "json").exits(3)

    (error,) = result.json["errors"]
    assert error["cluster"] == "nhn"
    assert error["code"] == "istioctl-failed"
    assert "exit code 1" in error["message"]
    assert "quantities must match" in error["seen"]
    assert "istioctl install --context nhn" in error["hint"]
    code, output = _pasted(error["hint"])
    assert code == 1
    assert output.splitlines()[-1] == error["seen"].splitlines()[-1]
    mesh.run("install").exits(0)
    mesh.run("verify", "--wait", "20s").exits(0)


def test_rights_that_a_user_lacks_are_named_before_the_first_change(mesh: Site, tmp_path: Path) -> None:
    kubectl("kt", "apply", "-f", "-", stdin=READ_ONLY)
    try:
        document = merged_kubeconfig()
        token = kubectl("kt", "-n", "default", "create", "token", "test-read-only").strip()
        document["users"][0]["user"] = {"token": token}
        before = snapshots()
        limited = replace(mesh, kubeconfig=write_kubeconfig(tmp_path / "kubeconfig", document))

        result = limited.run("install", "-o", "json").exits(1)

        assert snapshots() == before
    finally:
        kubectl("kt", "delete", "--ignore-not-found", "-f", "-", stdin=READ_ONLY)
    (problem,) = result.json["errors"]
    assert (problem["code"], problem["cluster"]) == ("rights-missing", "kt")
    assert f"create secrets in {SYSTEM}" in problem["seen"]
    assert token not in result.stdout + result.stderr
