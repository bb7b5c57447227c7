"""The programs and manifests a mesh is made with: versions, platforms, addresses, digests. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from istio_mc.domain import jsontext
from istio_mc.domain.hint import Advice
from istio_mc.domain.problem import Code, InputError

SHA256 = re.compile(r"[0-9a-f]{64}")
SET_IN_MESH_YAML = "set in mesh.yaml"
VERSION = re.compile(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?")
_OS = ("linux", "darwin")
_ARCH = ("amd64", "arm64")
_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


class Tool(StrEnum):
    """What can be installed, by its name on the command line."""

    KUBECTL = "kubectl"
    HELM = "helm"
    ISTIOCTL = "istioctl"
    GATEWAY_API = "gateway-api"

    @property
    def is_program(self) -> bool:
        """Whether it is run; the Gateway API's CRDs are a manifest."""
        return self is not Tool.GATEWAY_API

    @property
    def key(self) -> str:
        """Its key under `tools` in mesh.yaml."""
        return str(self) if self.is_program else "gatewayAPI"


DEFAULT_VERSIONS = {
    Tool.KUBECTL: "1.32.3",
    Tool.HELM: "3.16.4",
}
"""The K-PaaS guide's own; istioctl's and the Gateway API's follow the mesh's Istio."""

UPSTREAM = {
    Tool.KUBECTL: "https://dl.k8s.io",
    Tool.HELM: "https://get.helm.sh",
    Tool.ISTIOCTL: "https://github.com/istio/istio/releases/download",
    Tool.GATEWAY_API: "https://github.com/kubernetes-sigs/gateway-api/releases/download",
}
"""Where each is published; a mirror stands in its place, with the same paths below."""


@dataclass(frozen=True, slots=True)
class Platform:
    """What a program runs on, in Go's words: `linux` or `darwin`, `amd64` or `arm64`."""

    os: str
    arch: str

    def __str__(self) -> str:
        return f"{self.os}/{self.arch}"


PLATFORMS = tuple(Platform(os, arch) for os in _OS for arch in _ARCH)

# Published beside each file, and repeated in places of others' keeping: Helm's v3.16.4 release notes; for
# kubectl, two lists of pinned downloads. Istio's and the Gateway API's are not repeated so.
_KNOWN = {
    (Tool.KUBECTL, "1.32.3"): {
        "linux/amd64": "ab209d0c5134b61486a0486585604a616a5bb2fc07df46d304b3c95817b2d79f",
        "linux/arm64": "6c2c91e760efbf3fa111a5f0b99ba8975fb1c58bb3974eca88b6134bcf3717e2",
        "darwin/amd64": "b814c523071cd09e27c88d8c87c0e9b054ca0cf5c2b93baf3127750a4f194d5b",
        "darwin/arm64": "a110af64fc31e2360dd0f18e4110430e6eedda1a64f96e9d89059740a7685bbd",
    },
    (Tool.HELM, "3.16.4"): {
        "linux/amd64": "fc307327959aa38ed8f9f7e66d45492bb022a66c3e5da6063958254b9767d179",
        "linux/arm64": "d3f8f15b3d9ec8c8678fbf3280c3e5902efabe5912e2f9fcf29107efbc8ead69",
        "darwin/amd64": "8dc25671120a4af197afe7ad9041fb8e1dd71bc01e5ef73dba1139cbc9e9f44b",
        "darwin/arm64": "e2442d8f05d53d84c39b869bc5fe5affad247ee2f4c706a040919c146edb1f94",
    },
}


class Verification(StrEnum):
    """What the digest of a file is compared with."""

    PINNED = "pinned"
    """The digest in mesh.yaml, or one that istio-mc contains."""
    PUBLISHED = "published"
    """The digest that is published beside the file, by the same host."""
    NOT_VERIFIED = "not-verified"
    """None; where istio-mc fetched the file, later downloads are compared with the first one."""

    @property
    def words(self) -> str:
        """For a table."""
        return {"published": "published with it", "not-verified": "not verified"}.get(self, str(self))


@dataclass(frozen=True, slots=True)
class Artifact:
    """One published file.

    Attributes:
        platform: What it runs on; None for the Gateway API's CRDs, which run on anything.
        member: The program's name inside the archive; None where the file is the program itself.
        sha256: A digest set in mesh.yaml or known here, which overrides a published one; None: neither.
    """

    tool: Tool
    version: str
    platform: Platform | None
    url: str
    checksum_url: str | None
    member: str | None
    sha256: str | None = None
    sha256_from: str = ""

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.url.rsplit("/", 1)[1]

    @property
    def verification(self) -> Verification:
        """What its digest is compared with when it is fetched."""
        if self.sha256:
            return Verification.PINNED
        return Verification.PUBLISHED if self.checksum_url else Verification.NOT_VERIFIED

    @property
    def folder(self) -> str:
        """Its place in a folder of downloads: what tells it from the same tool for another platform."""
        place = f"{self.platform.os}-{self.platform.arch}" if self.platform else "any"
        return f"{self.tool}/{self.version}/{place}"

    def __str__(self) -> str:
        return f"{self.tool} {self.version}" + (f" for {self.platform}" if self.platform else "")


def artifact(
    tool: Tool,
    version: str,
    platform: Platform,
    *,
    mirror: str | None = None,
    sha256: str | None = None,
) -> Artifact:
    """Where a version of a tool is published for a platform.

    Args:
        mirror: What stands in the place of `UPSTREAM`, same paths below.
    """
    base = (mirror or UPSTREAM[tool]).rstrip("/")
    os, arch = platform.os, platform.arch
    member: str | None = None
    checksum = True
    if tool is Tool.KUBECTL:
        url = f"{base}/release/v{version}/bin/{os}/{arch}/kubectl"
    elif tool is Tool.HELM:
        url = f"{base}/helm-v{version}-{os}-{arch}.tar.gz"
        member = f"{os}-{arch}/helm"
    elif tool is Tool.ISTIOCTL:
        system = {"darwin": "osx"}.get(os, os)
        url = f"{base}/{version}/istioctl-{version}-{system}-{arch}.tar.gz"
        member = "istioctl"
    else:
        url = f"{base}/v{version}/standard-install.yaml"
        checksum = False
    known = _KNOWN.get((tool, version), {}).get(str(platform))
    return Artifact(
        tool=tool,
        version=version,
        platform=platform if tool.is_program else None,
        url=url,
        checksum_url=f"{url}.sha256" if checksum else None,
        member=member,
        sha256=sha256 or known,
        sha256_from=SET_IN_MESH_YAML if sha256 else "known to istio-mc" if known else "",
    )


def platform_of(system: str, machine: str) -> Platform:
    """The platform in `uname`'s words, such as `Linux` and `x86_64`.

    Raises:
        InputError: None of these tools is installed on it.
    """
    return parse_platform(f"{system.lower()}/{_MACHINES.get(machine.lower(), machine.lower())}")


def parse_platform(text: str) -> Platform:
    """Reads `os/arch`.

    Raises:
        InputError: It is not one of `PLATFORMS`.
    """
    platform = next((known for known in PLATFORMS if str(known) == text.strip().lower()), None)
    if platform is None:
        raise InputError.of(
            code=Code.PLATFORM_UNKNOWN,
            message=f"{text!r} is not a supported platform",
            expected=", ".join(map(str, PLATFORMS)),
            hint=Advice("use another --platform"),
        )
    return platform


def parse_version(tool: Tool, text: str, option: str | None = None) -> str:
    """Reads a version given with or without a leading v.

    Raises:
        InputError: It is not one such as `1.32.3`.
    """
    bare = text.strip().removeprefix("v")
    if not VERSION.fullmatch(bare):
        example = DEFAULT_VERSIONS.get(tool, "1.30.4")
        raise InputError.of(
            code=Code.OPTION_MALFORMED,
            message=f"{option or f'--{tool}'}: {text!r} is not a version such as {example}",
        )
    return bare


def parse_checksum(text: str, name: str) -> str | None:
    """The SHA-256 of a file in what is published with it: a bare hash, or lines of `hash  name`.

    None where there is none, or none for that name.
    """
    lines = [line.split() for line in text.splitlines() if line.strip()]
    if len(lines) == 1 and len(lines[0]) == 1:
        digest = lines[0][0].lower()
        return digest if SHA256.fullmatch(digest) else None
    for digest, *names in lines:
        # `*name` is sha256sum's mark of binary mode.
        if names and names[-1].lstrip("*").rsplit("/", 1)[-1] == name and SHA256.fullmatch(digest.lower()):
            return digest.lower()
    return None


def program_platforms(head: bytes) -> tuple[Platform, ...] | None:
    """Which platforms a program is for, by its first bytes (64 are enough for one, 256 for several).

    None: it is no program at all. A script is for every platform.

    ELF: System V ABI, e_machine at 18; Mach-O: <mach-o/loader.h>, cputype at 4; universal binaries:
    <mach-o/fat.h>.
    """
    if head.startswith(b"#!"):
        return PLATFORMS
    if head.startswith(b"\x7fELF"):
        arch = {0x3E: "amd64", 0xB7: "arm64"}.get(int.from_bytes(head[18:20], "little"))
        return (Platform("linux", arch),) if arch else ()
    cpus = {0x01000007: "amd64", 0x0100000C: "arm64"}
    if head.startswith(b"\xcf\xfa\xed\xfe"):
        arch = cpus.get(int.from_bytes(head[4:8], "little"))
        return (Platform("darwin", arch),) if arch else ()
    if head.startswith(b"\xca\xfe\xba\xbe"):
        count = min(int.from_bytes(head[4:8], "big"), (len(head) - 8) // 20)
        types = [int.from_bytes(head[8 + 20 * i : 12 + 20 * i], "big") for i in range(count)]
        return tuple(Platform("darwin", cpus[cpu]) for cpu in types if cpu in cpus)
    return None


VERSION_ARGUMENTS = {
    Tool.KUBECTL: ("version", "--client", "--output", "json"),
    Tool.HELM: ("version", "--template", "{{.Version}}"),
    Tool.ISTIOCTL: ("version", "--remote=false", "--output", "json"),
}
"""What makes each tell its version without asking a cluster."""


def version_in_output(tool: Tool, output: bytes) -> str | None:
    """The version in what a program answered to `VERSION_ARGUMENTS`, without a leading v; None: none."""
    try:
        if tool is Tool.HELM:
            text = output.decode().strip()
        else:
            key = "gitVersion" if tool is Tool.KUBECTL else "version"
            text = str(jsontext.load(output)["clientVersion"][key])
    except (ValueError, KeyError, TypeError):
        return None
    text = text.removeprefix("v")
    return text if VERSION.match(text) else None
