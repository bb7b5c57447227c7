"""mesh.yaml's section `tools`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from istio_mc.domain.hosts import mirror_fault
from istio_mc.domain.problem import InputError
from istio_mc.domain.settings.model import (
    Digests,
    HelmSettings,
    IstioctlSettings,
    KubectlSettings,
    ManifestSettings,
    ToolsSettings,
)
from istio_mc.domain.tools import PLATFORMS, Tool
from istio_mc.gateways.host.settings_file import load_settings

if TYPE_CHECKING:
    from pathlib import Path

    from istio_mc.domain.settings.model import Settings

A, B = "a" * 64, "b" * 64


def load(folder: Path, text: str) -> Settings:
    (folder / "mesh.yaml").write_text(f"apiVersion: istio-mc/v1alpha1\nkind: Mesh\n{text}")
    return load_settings(None, folder)


def faults_of(folder: Path, text: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        load(folder, text)
    return [problem.message.removeprefix(f"{folder}/mesh.yaml:") for problem in caught.value.problems]


def test_all_settings_of_tools(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        f"""\
tools:
  binDir: bin
  kubectl:
    version: 1.31.4
    mirror: https://mirror.example/k8s
    sha256: {{linux/amd64: {A.upper()}, darwin/arm64: {B}}}
  helm: {{version: 3.15.3, mirror: http://mirror.example}}
  istioctl: {{sha256: {{linux/arm64: {A}}}}}
  gatewayAPI: {{mirror: https://mirror.example/gw, sha256: {B}}}
""",
    )
    assert found.tools == ToolsSettings(
        bin_dir=tmp_path / "bin",
        kubectl=KubectlSettings(
            "1.31.4", "https://mirror.example/k8s", Digests(linux_amd64=A, darwin_arm64=B)
        ),
        helm=HelmSettings("3.15.3", "http://mirror.example"),
        istioctl=IstioctlSettings(sha256=Digests(linux_arm64=A)),
        gateway_api=ManifestSettings("https://mirror.example/gw", B),
    )
    digests = [found.digest(Tool.KUBECTL, platform) for platform in PLATFORMS]
    assert digests == [A, None, None, B]
    assert found.digest(Tool.GATEWAY_API, PLATFORMS[3]) == B
    assert {tool: found.mirror(tool) for tool in Tool} == {
        Tool.KUBECTL: "https://mirror.example/k8s",
        Tool.HELM: "http://mirror.example",
        Tool.ISTIOCTL: None,
        Tool.GATEWAY_API: "https://mirror.example/gw",
    }


def test_istioctl_and_the_crds_are_of_the_meshs_versions(tmp_path: Path) -> None:
    found = load(tmp_path, "istio: {version: 1.27.1}\ngatewayAPI: {version: 1.4.0}\n")
    versions = {str(tool): found.tool_version(tool) for tool in Tool}
    assert versions == {
        "kubectl": "1.32.3",
        "helm": "3.16.4",
        "istioctl": "1.27.1",
        "gateway-api": "1.4.0",
    }


@pytest.mark.parametrize(
    ("text", "official"),
    [
        (f"gatewayAPI: {{sha256: {A.upper()}}}\n", A),
        (f"gatewayAPI: {{sha256: {A}, manifest: crds.yaml}}\n", None),
        (f"gatewayAPI: {{sha256: {A}}}\ntools: {{gatewayAPI: {{sha256: {B}}}}}\n", B),
    ],
)
def test_a_digest_of_the_crds_is_that_of_the_manifest_which_is_named(
    tmp_path: Path, text: str, official: str | None
) -> None:
    found = load(tmp_path, text)
    assert found.gateway_api.sha256 == A
    assert found.digest(Tool.GATEWAY_API, PLATFORMS[0]) == official


def test_an_invalid_digest_of_the_manifest_is_rejected(tmp_path: Path) -> None:
    assert faults_of(tmp_path, "gatewayAPI: {sha256: abc}\n") == [
        "3: gatewayAPI.sha256: 'abc' is not a SHA-256: 64 hexadecimal digits"
    ]


def test_every_fault_is_reported_with_its_line(tmp_path: Path) -> None:
    assert faults_of(
        tmp_path,
        """\
tools:
  binDir: ""
  kubectl: {version: latest, sha256: {linux/amd64: abc, windows/amd64: abc}}
  helm: {mirror: "ftp://mirror.example"}
  istioctl: {version: 1.26.0}
  gatewayAPI: {sha256: {linux/amd64: abc}}
  step: {version: 0.24.4}
""",
    ) == [
        "4: tools.binDir: '' is empty",
        "5: tools.kubectl.version: 'latest' is not a version such as 1.32.3",
        "5: tools.kubectl.sha256.linux/amd64: 'abc' is not a SHA-256: 64 hexadecimal digits",
        "5: tools.kubectl.sha256.windows/amd64: is not a known key",
        "6: tools.helm.mirror: 'ftp://mirror.example' is not an https:// or http:// URL",
        "7: tools.istioctl.version: is not a known key",
        "8: tools.gatewayAPI.sha256: expected a string, saw a mapping",
        "9: tools.step: is not a known key",
    ]


@pytest.mark.parametrize("good", ["https://a", "http://127.0.0.1:8000/tools", "https://[2001:db8::1]/x"])
def test_mirrors_are_urls(good: str) -> None:
    assert mirror_fault(good) is None


@pytest.mark.parametrize(
    "bad", ["", "a", "https://", "https://a b", "https://a?x=1", "https://a#x", "https://a:x", "file:///x"]
)
def test_other_texts_are_no_mirrors(bad: str) -> None:
    assert mirror_fault(bad) == "is not an https:// or http:// URL"


def test_a_mirror_holds_no_password() -> None:
    assert "is not allowed in this file" in (mirror_fault("https://me:secret@mirror.example") or "")


def test_a_password_in_a_url_is_not_shown(tmp_path: Path) -> None:
    faults = faults_of(tmp_path, "tools: {helm: {mirror: 'https://me:secret@mirror.example'}}\n")
    (fault,) = faults
    assert fault.startswith("3: tools.helm.mirror: 'https://***@mirror.example' contains a user name or pass")
