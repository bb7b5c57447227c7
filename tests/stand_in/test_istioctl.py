"""The stand-in istioctl makes and applies what the real one was recorded to make."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from istio_mc.domain.istio.operator import istio_operator
from istio_mc.domain.mesh import ApiServer, Cluster, Mesh
from istio_mc.gateways.istio.istioctl import find_istioctl
from tests.support import istioctl, recording
from tests.support.mesh import environment
from tests.support.snapshots import owners

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.mesh import Mesh as Remembering

SYSTEM = "istio-system"


def document(mesh: Mesh, *addresses: str) -> dict[str, Any]:
    server = ApiServer("https://kt.example:6443")
    return istio_operator(mesh, Cluster("kt", "kt-k2p", "network1", server, addresses))


def made(mesh: Mesh, *addresses: str) -> dict[str, dict[str, Any]]:
    found = istioctl.manifest(document(mesh, *addresses))
    return {f"{item['kind']} {item['metadata']['name']}": item for item in found}


def test_a_mesh_s_own_values_stand_where_they_belong() -> None:
    found = made(Mesh("mesh9", "1.26.0", "", "registry.example/istio", "1.26.0-fixed"))
    (container,) = found["Deployment istiod"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry.example/istio/pilot:1.26.0-fixed"
    assert {"name": "CLUSTER_ID", "value": "kt-k2p"} in container["env"]
    assert "meshId: mesh9" in found["ConfigMap istio"]["data"]["mesh"]
    labels = found["Service istio-ingressgateway"]["metadata"]["labels"]
    assert labels["topology.istio.io/network"] == "network1"


def test_no_mark_of_the_recording_is_left() -> None:
    text = str([made(Mesh("mesh1", "1.26.0", revision), "203.0.113.7") for revision in ("", "blue")])
    assert [mark for mark in istioctl.MARKS.values() if mark in text] == []


def test_a_revision_names_its_own_control_plane() -> None:
    found = made(Mesh("mesh1", "1.26.0", "blue"))
    assert "Deployment istiod-blue" in found
    assert "Deployment istiod" not in found


def test_addresses_of_a_gateway_are_on_its_service() -> None:
    found = made(Mesh("mesh1", "1.26.0"), "203.0.113.7", "203.0.113.8")
    assert found["Service istio-ingressgateway"]["spec"]["externalIPs"] == ["203.0.113.7", "203.0.113.8"]


def test_a_shape_that_was_not_recorded_is_refused_with_what_to_do() -> None:
    with pytest.raises(istioctl.Failed, match=r"tests/support/recording\.py"):
        made(Mesh("mesh1", "1.26.0", values={"global": {"logAsJson": True}}))


def test_it_is_found_and_reports_its_version(tmp_path: Path) -> None:
    assert find_istioctl(environment(tmp_path), None, "1.26.0").version == "1.26.0"


def installed_by(mesh: Remembering, text: dict[str, Any], *words: str) -> subprocess.CompletedProcess[str]:
    path = mesh.folder / "operator.yaml"
    path.write_text(yaml.safe_dump(text))
    env = environment(mesh.folder)
    program = f"{env['ISTIO_MC_BIN_DIR']}/istioctl"
    return subprocess.run(
        [program, "install", "--context", "kt", "-f", str(path), "-y", *words],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_applies_waits_and_sets_the_default_tag(mesh: Remembering) -> None:
    kt = mesh["kt"]
    done = installed_by(mesh, document(Mesh("mesh1", "1.26.0")))
    assert done.returncode == 0, done.stderr
    assert kt.get("Deployment", "istiod", SYSTEM)["status"]["availableReplicas"] == 1
    assert kt.has("MutatingWebhookConfiguration", "istio-revision-tag-default")
    assert kt.has("ValidatingWebhookConfiguration", "istiod-default-validator")
    assert set(owners(kt.get("ConfigMap", "istio", SYSTEM))) == {"istio-operator"}
    assert kt.get("Namespace", SYSTEM)["metadata"]["labels"]["topology.istio.io/network"] == "network1"


def test_a_revision_beside_another_leaves_the_default_tag_alone(installed: Remembering) -> None:
    kt = installed["kt"]
    before = kt.get("MutatingWebhookConfiguration", "istio-revision-tag-default")["webhooks"]
    done = installed_by(installed, recording.another_revision("canary"))
    assert done.returncode == 0, done.stderr
    assert kt.has("Deployment", "istiod-canary", SYSTEM)
    assert kt.get("MutatingWebhookConfiguration", "istio-revision-tag-default")["webhooks"] == before


def test_pods_that_do_not_start_fail_it_before_the_tag_is_set(mesh: Remembering) -> None:
    mesh["kt"].stuck["istiod"] = "ImagePullBackOff"
    done = installed_by(mesh, document(Mesh("mesh1", "1.26.0")), "--readiness-timeout", "1s")
    assert done.returncode == 1
    assert "resources not ready after 1s" in done.stderr
    assert not mesh["kt"].has("MutatingWebhookConfiguration", "istio-revision-tag-default")
