"""Tools: where they are published, what their checksums look like, what platform a program is for."""

from __future__ import annotations

import pytest

from istio_mc.domain.problem import InputError
from istio_mc.domain.tools import (
    DEFAULT_VERSIONS,
    PLATFORMS,
    SHA256,
    Platform,
    Tool,
    artifact,
    parse_checksum,
    parse_platform,
    parse_version,
    platform_of,
    program_platforms,
    version_in_output,
)
from tests.support.mirror import elf

LINUX, MAC = Platform("linux", "amd64"), Platform("darwin", "arm64")
A, B = "a" * 64, "b" * 64


@pytest.mark.parametrize(
    ("tool", "platform", "url", "member"),
    [
        (Tool.KUBECTL, LINUX, "https://dl.k8s.io/release/v1.32.3/bin/linux/amd64/kubectl", None),
        (Tool.KUBECTL, MAC, "https://dl.k8s.io/release/v1.32.3/bin/darwin/arm64/kubectl", None),
        (Tool.HELM, LINUX, "https://get.helm.sh/helm-v3.16.4-linux-amd64.tar.gz", "linux-amd64/helm"),
        (Tool.HELM, MAC, "https://get.helm.sh/helm-v3.16.4-darwin-arm64.tar.gz", "darwin-arm64/helm"),
        (
            Tool.ISTIOCTL,
            LINUX,
            "https://github.com/istio/istio/releases/download/1.26.0/istioctl-1.26.0-linux-amd64.tar.gz",
            "istioctl",
        ),
        (
            Tool.ISTIOCTL,
            MAC,
            "https://github.com/istio/istio/releases/download/1.26.0/istioctl-1.26.0-osx-arm64.tar.gz",
            "istioctl",
        ),
    ],
)
def test_programs_are_where_their_projects_publish_them(
    tool: Tool, platform: Platform, url: str, member: str | None
) -> None:
    found = artifact(tool, DEFAULT_VERSIONS.get(tool, "1.26.0"), platform)
    assert (found.url, found.checksum_url, found.member) == (url, f"{url}.sha256", member)


def test_the_crds_have_no_platform_and_no_published_checksum() -> None:
    found = artifact(Tool.GATEWAY_API, "1.3.0", LINUX)
    url = "https://github.com/kubernetes-sigs/gateway-api/releases/download/v1.3.0/standard-install.yaml"
    assert (found.url, found.checksum_url, found.platform) == (url, None, None)
    assert found == artifact(Tool.GATEWAY_API, "1.3.0", MAC)


def test_a_mirror_has_the_same_paths() -> None:
    found = artifact(Tool.KUBECTL, "1.30.4", LINUX, mirror="https://mirror.example/k8s/")
    assert found.url == "https://mirror.example/k8s/release/v1.30.4/bin/linux/amd64/kubectl"


@pytest.mark.parametrize("tool", [Tool.KUBECTL, Tool.HELM])
def test_digests_of_the_default_set_are_known_for_every_platform(tool: Tool) -> None:
    digests = {artifact(tool, DEFAULT_VERSIONS[tool], platform).sha256 or "" for platform in PLATFORMS}
    assert len(digests) == 4
    assert all(SHA256.fullmatch(digest) for digest in digests)


def test_a_digest_from_mesh_yaml_wins_over_the_known_one() -> None:
    found = artifact(Tool.KUBECTL, "1.32.3", LINUX, sha256=A)
    assert (found.sha256, found.sha256_from) == (A, "set in mesh.yaml")
    assert artifact(Tool.KUBECTL, "1.32.3", LINUX).sha256_from == "known to istio-mc"
    assert artifact(Tool.KUBECTL, "1.32.2", LINUX).sha256 is None


@pytest.mark.parametrize(
    ("system", "machine", "platform"),
    [
        ("Linux", "x86_64", "linux/amd64"),
        ("Linux", "aarch64", "linux/arm64"),
        ("Darwin", "arm64", "darwin/arm64"),
        ("Darwin", "x86_64", "darwin/amd64"),
    ],
)
def test_the_platform_is_read_from_unames_words(system: str, machine: str, platform: str) -> None:
    assert str(platform_of(system, machine)) == platform


@pytest.mark.parametrize("text", ["windows/amd64", "linux/ppc64le", "linux", "", "linux-amd64"])
def test_other_platforms_are_refused_with_those_there_are(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_platform(text)
    assert caught.value.problems[0].expected == "linux/amd64, linux/arm64, darwin/amd64, darwin/arm64"


def test_versions_may_have_a_v() -> None:
    assert (parse_version(Tool.KUBECTL, "v1.32.3"), parse_version(Tool.HELM, "3.16.4")) == (
        "1.32.3",
        "3.16.4",
    )


@pytest.mark.parametrize("text", ["1.32", "latest", "", "1.32.3/../x", "../1.2.3", "1.2.3\n;"])
def test_other_texts_are_no_versions_of_tools(text: str) -> None:
    with pytest.raises(InputError, match="--kubectl"):
        parse_version(Tool.KUBECTL, text)


@pytest.mark.parametrize(
    ("text", "digest"),
    [
        (A, A),
        (f"{A}\n", A),
        (A.upper(), A),
        (f"{A}  helm.tar.gz\n", A),
        (f"{A} *helm.tar.gz\n", A),
        (f"{B}  other.tar.gz\n{A}  _dist/helm.tar.gz\n", A),
        (f"{B}  other.tar.gz\n", None),
        (A[:-1], None),
        (f"{A}\n{B}\n", None),
        ("", None),
        ("<html>", None),
    ],
)
def test_checksums_are_bare_or_stand_before_their_files_name(text: str, digest: str | None) -> None:
    assert parse_checksum(text, "helm.tar.gz") == digest


def mach_o(cpu: int) -> bytes:
    return b"\xcf\xfa\xed\xfe" + cpu.to_bytes(4, "little") + bytes(100)


def universal(*cpus: int) -> bytes:
    entries = b"".join(cpu.to_bytes(4, "big") + bytes(16) for cpu in cpus)
    return b"\xca\xfe\xba\xbe" + len(cpus).to_bytes(4, "big") + entries + bytes(100)


@pytest.mark.parametrize(
    ("head", "platforms"),
    [
        (elf(0x3E), ["linux/amd64"]),
        (elf(0xB7), ["linux/arm64"]),
        (elf(0x16), []),
        (mach_o(0x01000007), ["darwin/amd64"]),
        (mach_o(0x0100000C), ["darwin/arm64"]),
        (universal(0x01000007, 0x0100000C), ["darwin/amd64", "darwin/arm64"]),
        (b"#!/bin/sh\n", ["linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64"]),
    ],
)
def test_the_first_bytes_of_a_program_show_its_platform(head: bytes, platforms: list[str]) -> None:
    assert [str(platform) for platform in program_platforms(head) or ()] == platforms


@pytest.mark.parametrize("head", [b"", b"<html>", b"PK\x03\x04", b"MZ\x90"])
def test_what_is_no_program_is_none(head: bytes) -> None:
    assert program_platforms(head) is None


@pytest.mark.parametrize("head", [b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe"])
def test_a_program_that_ends_after_its_magic_is_for_no_platform(head: bytes) -> None:
    assert program_platforms(head) == ()


@pytest.mark.parametrize(
    ("tool", "output", "version"),
    [
        (Tool.KUBECTL, b'{"clientVersion": {"gitVersion": "v1.32.3"}, "kustomizeVersion": "v5"}', "1.32.3"),
        (Tool.ISTIOCTL, b'{"clientVersion": {"version": "1.26.0"}}', "1.26.0"),
        (Tool.HELM, b"v3.16.4\n", "3.16.4"),
        (Tool.KUBECTL, b"", None),
        (Tool.ISTIOCTL, b"[]", None),
        (Tool.HELM, b"\xff", None),
        (Tool.HELM, b"command not found", None),
    ],
)
def test_programs_report_their_versions(tool: Tool, output: bytes, version: str | None) -> None:
    assert version_in_output(tool, output) == version
