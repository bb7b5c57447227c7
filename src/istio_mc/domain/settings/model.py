"""mesh.yaml, defined once: its sections with their keys, and the frozen settings that are made of it.

Parsing, error texts, the JSON Schema, the template and `config show` all come from these classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, ClassVar

from istio_mc.domain.hosts import address_fault, host_fault, https_url_fault, mirror_fault
from istio_mc.domain.naming import LABEL_LENGTH, validate_cluster_id, validate_network
from istio_mc.domain.problem import Problem
from istio_mc.domain.settings.keys import Key, NotInFile, key_of
from istio_mc.domain.tools import DEFAULT_VERSIONS, Platform, Tool

_LENGTH = rf"(?=.{{1,{LABEL_LENGTH}}}$)"
_LABEL = rf"{_LENGTH}[a-z0-9]([-a-z0-9]*[a-z0-9])?"  # names.is_label
_LABEL_VALUE = rf"{_LENGTH}[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"  # names.is_label_value
_HTTPS = "[Hh][Tt][Tt][Pp][Ss]://.+"
_HTTP = "[Hh][Tt][Tt][Pp][Ss]?://.+"
_WORD = r"\S+"


def _in_folder(text: str, folder: Path) -> Path:
    return folder / text


def _lower(text: str, _folder: Path) -> str:
    return text.lower()


def _manifest(text: str, folder: Path) -> str:
    return text if "://" in text else str(folder / text)


def _manifest_fault(text: str) -> str | None:
    if "://" in text:
        return https_url_fault(text)
    return None if text.strip() else "is empty"


def _id_fault(text: str) -> str | None:
    return _expected(validate_cluster_id(text))


def _network_fault(text: str) -> str | None:
    return _expected(validate_network(text))


def _expected(problem: Problem | None) -> str | None:
    return None if problem is None else f"is not valid: expected {problem.expected}"


def _version(about: str, otherwise: str, example: str) -> Key:
    pattern, fault = r"[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?", f"is not a version such as {example}"
    return Key(about, otherwise, pattern, fault, example=example)


def _tool_version(tool: Tool) -> Key:
    return _version("Its version.", f"the default one, {DEFAULT_VERSIONS[tool]}", DEFAULT_VERSIONS[tool])


def _digest(about: str, otherwise: str) -> Key:
    return Key(about, otherwise, "[0-9a-fA-F]{64}", "is not a SHA-256: 64 hexadecimal digits", _lower)


# fmt: off
@dataclass(frozen=True, slots=True)
class CaSettings:
    """How new CAs are made."""

    key: Annotated[str | None, Key(
        "Kind and bits of the keys of new CAs: rsa-2048, rsa-3072, rsa-4096, ec-256 or ec-384.",
        otherwise="rsa-3072 for a root, and the root's own kind for the clusters' CAs",
        pattern="rsa-(2048|3072|4096)|ec-(256|384)",
        fault="is not one of rsa-2048, rsa-3072, rsa-4096, ec-256, ec-384", example="ec-256",
    )] = None
    validity: Annotated[str, Key(
        "How long new CAs are valid, in hours or days; a cluster's CA expires no later than its issuer.",
        pattern="[1-9][0-9]{0,6}[hd]", fault="is not a number of hours or days, such as 3650d",
    )] = "87600h"


@dataclass(frozen=True, slots=True)
class IstioSettings:
    """Which Istio; `version_by` is where the version was named."""

    version: Annotated[str | None, _version(
        "Istio's version; istioctl must have the same version.",
        "the version of the mesh, else the newest tested one that supports every cluster",
        "1.31.0",
    )] = None
    revision: Annotated[str, Key(
        "Revision of the control plane, a DNS-1123 label; empty is the default revision.",
        pattern=f"({_LABEL})?", fault="is not a DNS-1123 label", example="canary",
    )] = ""
    hub: Annotated[str, Key(
        "Registry of Istio's images, if you use a mirror.",
        pattern="(?!.*://)[A-Za-z0-9][A-Za-z0-9._:/-]*[A-Za-z0-9]",
        fault="is not an image registry such as docker.io/istio", example="registry.example.com/istio",
    )] = "docker.io/istio"
    tag: Annotated[str | None, Key(
        "Tag of Istio's images.", otherwise="the version",
        pattern="[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}",  # OCI distribution-spec v1.1.0, "Pulling manifests"
        fault="is not an image tag", example="1.26.0-distroless",
    )] = None
    version_by: Annotated[str, NotInFile()] = field(default="istio.version in mesh.yaml", compare=False)


@dataclass(frozen=True, slots=True)
class GatewayApiSettings:
    """The Gateway API's CRDs; `manifest` is an absolute path or a URL."""

    install: Annotated[bool, Key(
        "Whether to install the Gateway API CRDs in clusters without them.", written=True,
    )] = True
    version: Annotated[str | None, _version(
        "Version of the Gateway API CRDs.",
        "the one that the Istio version uses",
        "1.5.1",
    )] = None
    manifest: Annotated[str | None, Key(
        "Source, a file or an https:// URL, if the release page is not reachable.",
        otherwise="the official release", fault=_manifest_fault, read=_manifest,
        example="standard-install.yaml",
    )] = None
    sha256: Annotated[str | None, _digest("SHA-256 of that manifest.", "as tools.gatewayAPI.sha256")] = None


_Digest = Annotated[str | None, _digest(
    "SHA-256 of the file published for it.",
    "the one built into istio-mc, else the one published with the file",
)]
_Mirror = Annotated[str | None, Key(
    "Base URL of a mirror, with the same paths as the official site.",
    otherwise="the official site", pattern=_HTTP, fault=mirror_fault,
    example="https://mirror.example.com/tools",
)]


@dataclass(frozen=True, slots=True)
class Digests:
    """SHA-256 of a program's published files, in hex."""

    linux_amd64: _Digest = None
    linux_arm64: _Digest = None
    darwin_amd64: _Digest = None
    darwin_arm64: _Digest = None


_Digests = Annotated[Digests, Key("Digests, which override published ones.")]


@dataclass(frozen=True, slots=True)
class KubectlSettings:
    """Which kubectl, and where from."""

    version: Annotated[str | None, _tool_version(Tool.KUBECTL)] = None
    mirror: _Mirror = None
    sha256: _Digests = Digests()


@dataclass(frozen=True, slots=True)
class HelmSettings:
    """Which Helm, and where from."""

    version: Annotated[str | None, _tool_version(Tool.HELM)] = None
    mirror: _Mirror = None
    sha256: _Digests = Digests()


@dataclass(frozen=True, slots=True)
class IstioctlSettings:
    """Where istioctl is from."""

    mirror: _Mirror = None
    sha256: _Digests = Digests()


@dataclass(frozen=True, slots=True)
class ManifestSettings:
    """Where the Gateway API's CRDs are from."""

    mirror: _Mirror = None
    sha256: Annotated[str | None, _digest(
        "SHA-256 of standard-install.yaml.",
        "the one from the first download",
    )] = None


@dataclass(frozen=True, slots=True)
class ToolsSettings:
    """The programs; `bin_dir` None: a private cache."""

    bin_dir: Annotated[Path | None, Key(
        "Folder of the programs, relative to this file's folder.", otherwise="a private cache",
        read=_in_folder, example="bin",
    )] = None
    kubectl: Annotated[KubectlSettings, Key("kubectl.")] = KubectlSettings()
    helm: Annotated[HelmSettings, Key("Helm.")] = HelmSettings()
    istioctl: Annotated[
        IstioctlSettings, Key("istioctl; its version is istio.version."),
    ] = IstioctlSettings()
    gateway_api: Annotated[
        ManifestSettings, Key("The Gateway API's CRDs; see gatewayAPI."),
    ] = ManifestSettings()


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """How clusters read each other."""

    token_age: Annotated[str, Key(
        "Age of a reader token from which verify warns, in hours or days; link --rotate replaces it.",
        pattern="[1-9][0-9]{0,6}[hd]", fault="is not a number of hours or days, such as 365d",
    )] = "365d"  # noqa: S105 - an age


@dataclass(frozen=True, slots=True)
class ApiServerSettings:
    """How other clusters' istiods reach an API server, where the kubeconfig's address is not for them."""

    server: Annotated[str | None, Key(
        "https:// URL.", otherwise="the kubeconfig's", pattern=_HTTPS, fault=https_url_fault,
    )] = None
    ca_file: Annotated[Path | None, Key(
        "File of the CA that signs its certificate.", otherwise="the cluster's own", read=_in_folder,
    )] = None
    tls_server_name: Annotated[str | None, Key(
        "Name in its certificate, if it differs from the URL's host.", otherwise="the kubeconfig's",
        pattern=_WORD, fault=host_fault,
    )] = None


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """One cluster."""

    context: Annotated[str, Key("Name of its context in the kubeconfig.", required=True, written=True)]
    id: Annotated[str | None, Key(
        "Its cluster ID, a DNS-1123 label. It cannot change while the cluster is in a mesh.",
        otherwise="the one it has, or one derived from the kubeconfig's cluster name", pattern=_LABEL,
        fault=_id_fault,
    )] = None
    network: Annotated[str | None, Key(
        "Its network. It cannot change while the cluster is in a mesh.",
        otherwise="the one it has, or the first of network1, network2, … that is free",
        pattern=_LABEL_VALUE, fault=_network_fault,
    )] = None
    gateway_addresses: Annotated[tuple[str, ...], Key(
        "One or more IP addresses or host names of its gateway, if its LoadBalancer assigns none.",
        otherwise="its LoadBalancer's", pattern=_WORD, fault=address_fault, example="203.0.113.7",
    )] = ()
    api_server: Annotated[ApiServerSettings | None, Key(
        "Its API server as the other clusters reach it, if it differs from the kubeconfig, or a "
        "proxy in front of it has its own certificate.", pattern=_HTTPS, fault=https_url_fault, short=True,
        example="https://203.0.113.7:6443",
    )] = None
    values: Annotated[Mapping[str, object], Key(
        "IstioOperator values of this cluster, merged over the mesh's.", otherwise="none",
        example="{pilot: {autoscaleMin: 2}}",
    )] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """mesh.yaml with its defaults, paths made absolute; `file` is where it was read from, None: nowhere."""

    __pydantic_config__: ClassVar = {"alias_generator": key_of, "extra": "forbid"}

    api_version: Annotated[str, Key(
        "Version of this format.", constant="istio-mc/v1alpha1", required=True, written=True,
    )] = "istio-mc/v1alpha1"
    kind: Annotated[str, Key(
        "Kind of this document.", constant="Mesh", required=True, written=True,
    )] = "Mesh"
    mesh_id: Annotated[str, Key(
        "Istio's mesh ID, the same in every cluster.", pattern=_LABEL_VALUE, written=True,
        fault="is not a label value: at most 63 letters, digits, '-', '_' and '.'",
    )] = "mesh1"
    certs_dir: Annotated[Path, Key(
        "Folder of the mesh's CA, relative to this file's folder. It contains the root's key: back it up, "
        "keep "
        "it private.", read=_in_folder, written=True,
    )] = field(default=Path("certs"), kw_only=False)
    ca: Annotated[CaSettings, Key("How new CAs are created; existing CAs do not change.")] = CaSettings()
    strict: Annotated[bool, Key(
        "Whether incompatible versions of Istio and Kubernetes stop an install.",
    )] = False
    lang: Annotated[str, Key(
        "Language of the page of istio-mc report: en or ko.", pattern="en|ko", fault="is not en or ko",
    )] = "en"
    istio: Annotated[IstioSettings, Key("Which Istio.")] = IstioSettings()
    gateway_api: Annotated[GatewayApiSettings, Key("The Kubernetes Gateway API.")] = GatewayApiSettings()
    tools: Annotated[ToolsSettings, Key(
        "Programs that istio-mc tools installs; of each also its sha256, which overrides a published one.",
    )] = ToolsSettings()
    links: Annotated[LinkSettings, Key("The tokens that clusters read each other with.")] = LinkSettings()
    values: Annotated[Mapping[str, object], Key(
        "IstioOperator values of every cluster: anything that spec.values accepts.", otherwise="none",
        example="{global: {proxy: {logLevel: info}}}",
    )] = field(default_factory=dict, hash=False)
    clusters: Annotated[tuple[ClusterSettings, ...], Key("The clusters of the mesh.", written=True)] = ()
    file: Annotated[Path | None, NotInFile()] = None
    # fmt: on

    def tool_version(self, tool: Tool) -> str | None:
        """The version of a tool; None: that of istioctl and the Gateway API is chosen for the clusters."""
        section = self._published[tool]
        if isinstance(section, KubectlSettings | HelmSettings):
            return section.version or DEFAULT_VERSIONS[tool]
        return self.istio.version if tool is Tool.ISTIOCTL else self.gateway_api.version

    def with_versions(self, istio: str, gateway_api: str) -> "Settings":
        """These settings, with versions in place of those that they leave open."""
        return replace(
            self,
            istio=replace(self.istio, version=self.istio.version or istio),
            gateway_api=replace(self.gateway_api, version=self.gateway_api.version or gateway_api),
        )

    def mirror(self, tool: Tool) -> str | None:
        """Base URL that replaces the official site of a tool, with the same paths below; None: none does."""
        return self._published[tool].mirror

    def digest(self, tool: Tool, platform: Platform) -> str | None:
        """The digest pinned for the published file of a tool; None: mesh.yaml pins none."""
        digest = self._published[tool].sha256
        if isinstance(digest, Digests):
            of_platform: str | None = getattr(digest, f"{platform.os}_{platform.arch}")
            return of_platform
        if digest is None and self.gateway_api.manifest is None:
            return self.gateway_api.sha256
        return digest

    def cluster(self, context: str) -> ClusterSettings:
        """The settings of a context's cluster: all default, where it is not in the file."""
        return next((one for one in self.clusters if one.context == context), ClusterSettings(context))

    @property
    def _published(self) -> dict[Tool, KubectlSettings | HelmSettings | IstioctlSettings | ManifestSettings]:
        tools = self.tools
        return {
            Tool.KUBECTL: tools.kubectl,
            Tool.HELM: tools.helm,
            Tool.ISTIOCTL: tools.istioctl,
            Tool.GATEWAY_API: tools.gateway_api,
        }
