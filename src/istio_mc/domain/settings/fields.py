"""The keys of mesh.yaml, decided once: the validation, the JSON Schema and `config` are made from this table.

A key that is added here is known to all three; one that is missing is refused by the first two.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum, auto

from istio_mc.domain.naming import LABEL_LENGTH
from istio_mc.domain.tools import DEFAULT_VERSIONS, PLATFORMS, Tool

API_VERSION = "istio-mc/v1alpha1"
KIND = "Mesh"

VERSION = r"[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?"
_SHA256 = "[0-9a-fA-F]{64}"
TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"  # OCI distribution-spec v1.1.0, "Pulling manifests"
CA_KEY = "rsa-(2048|3072|4096)|ec-(256|384)"
VALIDITY = "[1-9][0-9]{0,6}[hd]"
HUB = r"(?!.*://)[A-Za-z0-9][A-Za-z0-9._:/-]*[A-Za-z0-9]"
_LABEL = rf"(?=.{{1,{LABEL_LENGTH}}}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?"  # names.is_label
_LABEL_VALUE = rf"(?=.{{1,{LABEL_LENGTH}}}$)[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"  # names.is_label_value
_HTTPS = "[Hh][Tt][Tt][Pp][Ss]://.+"
_HTTP = "[Hh][Tt][Tt][Pp][Ss]?://.+"
_ADDRESS = r"\S+"
_SOMETHING = r"[\s\S]*\S[\s\S]*"


class Kind(StrEnum):
    """What a key holds.

    `ENTRIES` is a list of mappings, `TEXTS` a string or a list of strings, `TEXT_OR_MAPPING` a string that
    stands for the mapping's first key, `FREE` a mapping of anything.
    """

    TEXT = auto()
    TEXTS = auto()
    FLAG = auto()
    MAPPING = auto()
    TEXT_OR_MAPPING = auto()
    ENTRIES = auto()
    FREE = auto()


@dataclass(frozen=True, slots=True)
class Field:
    """One key.

    Attributes:
        key: Its name in the file.
        about: What it says, in sentences.
        kind: What it holds.
        attribute: Where `Settings` (or `ClusterSettings`) has it, such as "istio.version".
        otherwise: What holds where it is not set and there is no fixed default.
        pattern: Regular expression of the whole string, in what ECMA-262 and Python share.
        constant: The only value there is.
        example: What somebody might write, in YAML; "" for none.
        written: Whether `config init` writes it out, instead of showing it commented out.
        required: Whether it must be there.
        fields: The keys of the mapping it holds.
    """

    key: str
    about: str
    kind: Kind = Kind.TEXT
    attribute: str = ""
    otherwise: str = ""
    pattern: str = ""
    constant: str = ""
    example: str = ""
    written: bool = False
    required: bool = False
    fields: tuple[Field, ...] = ()


CA = (
    Field(
        "key",
        "Kind and bits of the keys of new CAs: rsa-2048, rsa-3072, rsa-4096, ec-256 or ec-384.",
        attribute="ca.key",
        otherwise="rsa-3072 for a root, and the root's own kind for the clusters' CAs",
        pattern=CA_KEY,
        example="ec-256",
    ),
    Field(
        "validity",
        "How long new CAs are valid, in hours or days; a cluster's CA ends with its issuer at the latest.",
        attribute="ca.validity",
        pattern=VALIDITY,
    ),
)

ISTIO = (
    Field(
        "version",
        "Istio's version; the istioctl in use must be of the same one.",
        attribute="istio.version",
        otherwise="the one that the mesh runs, else the newest tested one that supports every cluster",
        pattern=VERSION,
        example="1.31.0",
    ),
    Field(
        "revision",
        "Revision of the control plane, a DNS-1123 label; empty is the default revision.",
        attribute="istio.revision",
        pattern=f"({_LABEL})?",
        example="canary",
    ),
    Field(
        "hub",
        "Registry of Istio's images, where they are mirrored.",
        attribute="istio.hub",
        pattern=HUB,
        example="registry.example.com/istio",
    ),
    Field(
        "tag",
        "Tag of Istio's images.",
        attribute="istio.tag",
        otherwise="the version",
        pattern=TAG,
        example="1.26.0-distroless",
    ),
)

GATEWAY_API = (
    Field(
        "install",
        "Whether the Gateway API's CRDs are installed where a cluster has none.",
        kind=Kind.FLAG,
        attribute="gateway_api.install",
        written=True,
    ),
    Field(
        "version",
        "Which version of them.",
        attribute="gateway_api.version",
        otherwise="the one that Istio's version is built with",
        pattern=VERSION,
        example="1.5.1",
    ),
    Field(
        "manifest",
        "Where from, a file or an https:// URL, where the clusters' release page is out of reach.",
        attribute="gateway_api.manifest",
        otherwise="the official release",
        pattern=_SOMETHING,
        example="standard-install.yaml",
    ),
    Field(
        "sha256",
        "SHA-256 of that manifest.",
        attribute="gateway_api.sha256",
        otherwise="as tools.gatewayAPI.sha256",
        pattern=_SHA256,
    ),
)

API_SERVER = (
    Field(
        "server",
        "https:// URL.",
        attribute="api_server.server",
        otherwise="the kubeconfig's",
        pattern=_HTTPS,
    ),
    Field(
        "caFile",
        "File of the CA that signs its certificate.",
        attribute="api_server.ca_file",
        otherwise="the cluster's own",
        pattern=_SOMETHING,
    ),
    Field(
        "tlsServerName",
        "Name its certificate is for, where it is not the URL's host.",
        attribute="api_server.tls_server_name",
        otherwise="the kubeconfig's",
        pattern=_ADDRESS,
    ),
)

CLUSTER = (
    Field(
        "context",
        "Name of its context in the kubeconfig.",
        attribute="context",
        pattern=_SOMETHING,
        required=True,
        written=True,
    ),
    Field(
        "id",
        "Its cluster ID, a DNS-1123 label. It cannot change while the cluster is in a mesh.",
        attribute="id",
        otherwise="the one it has, or one made from the kubeconfig's cluster name",
        pattern=_LABEL,
    ),
    Field(
        "network",
        "Its network. It cannot change while the cluster is in a mesh.",
        attribute="network",
        otherwise="the one it has, or the first of network1, network2, … that is free",
        pattern=_LABEL_VALUE,
    ),
    Field(
        "gatewayAddress",
        "IP address or host name in front of its gateway, or several, where its LoadBalancer gives none.",
        kind=Kind.TEXTS,
        attribute="gateway_addresses",
        otherwise="its LoadBalancer's",
        pattern=_ADDRESS,
        example="203.0.113.7",
    ),
    Field(
        "apiServer",
        "Its API server as the other clusters reach it, where the kubeconfig's address is not for them, or a "
        "proxy before it has a certificate of its own.",
        kind=Kind.TEXT_OR_MAPPING,
        pattern=_HTTPS,
        fields=API_SERVER,
        example="https://203.0.113.7:6443",
    ),
    Field(
        "values",
        "IstioOperator values of this cluster, laid over the mesh's.",
        kind=Kind.FREE,
        attribute="values",
        otherwise="none",
        example="{pilot: {autoscaleMin: 2}}",
    ),
)


_PUBLISHED = "the one published beside it"
_CONTAINED = "for the default version the one that istio-mc contains, else the published one"


def _digests(tool: str, otherwise: str) -> tuple[Field, ...]:
    return tuple(
        Field(
            str(platform),
            "SHA-256 of the file published for it.",
            attribute=f"tools.{tool}.sha256.{platform.os}_{platform.arch}",
            otherwise=otherwise,
            pattern=_SHA256,
        )
        for platform in PLATFORMS
    )


def _tool(tool: str) -> tuple[Field, ...]:
    """The keys of a tool that has a version of its own."""
    default = DEFAULT_VERSIONS[Tool(tool)]
    version = Field(
        "version",
        "Its version.",
        attribute=f"tools.{tool}.version",
        otherwise=f"the default one, {default}",
        pattern=VERSION,
        example=default,
    )
    return (version, *_origin(tool, _CONTAINED))


def _origin(tool: str, otherwise: str) -> tuple[Field, ...]:
    digests = Field(
        "sha256", "Digests, which win over published ones.", Kind.MAPPING, fields=_digests(tool, otherwise)
    )
    return (_mirror(f"tools.{tool}.mirror"), digests)


def _mirror(attribute: str) -> Field:
    about = "Base URL of a mirror, with the paths of the official place below it."
    example = "https://mirror.example.com/tools"
    return Field(
        "mirror", about, attribute=attribute, otherwise="the official place", pattern=_HTTP, example=example
    )


TOOL = _tool("kubectl")
TOOL_OF_THE_MESH = _origin("istioctl", _PUBLISHED)
TOOL_SHA256 = _digests("kubectl", _CONTAINED)
TOOL_MANIFEST = (
    _mirror("tools.gateway_api.mirror"),
    Field(
        "sha256",
        "SHA-256 of standard-install.yaml.",
        attribute="tools.gateway_api.sha256.any",
        otherwise="the one it had when it was first fetched",
        pattern=_SHA256,
    ),
)
TOOLS = (
    Field(
        "binDir",
        "Folder of the programs, taken from this file's folder.",
        attribute="tools.bin_dir",
        otherwise="a private cache",
        pattern=_SOMETHING,
        example="bin",
    ),
    Field("kubectl", "kubectl.", kind=Kind.MAPPING, fields=TOOL),
    Field("helm", "Helm.", kind=Kind.MAPPING, fields=_tool("helm")),
    Field("istioctl", "istioctl; its version is istio.version.", Kind.MAPPING, fields=TOOL_OF_THE_MESH),
    Field("gatewayAPI", "The Gateway API's CRDs; see gatewayAPI.", Kind.MAPPING, fields=TOOL_MANIFEST),
)

MESH = (
    Field("apiVersion", "Version of this format.", constant=API_VERSION, required=True, written=True),
    Field("kind", "Kind of this document.", constant=KIND, required=True, written=True),
    Field(
        "meshID",
        "Istio's mesh ID, the same in every cluster.",
        attribute="mesh_id",
        pattern=_LABEL_VALUE,
        written=True,
    ),
    Field(
        "certsDir",
        "Folder of the mesh's CA, taken from this file's folder. It holds the root's key: back it up, keep "
        "it private.",
        attribute="certs_dir",
        pattern=_SOMETHING,
        written=True,
    ),
    Field("ca", "How CAs are made; those that are there stay as they are.", kind=Kind.MAPPING, fields=CA),
    Field(
        "strict",
        "Whether versions of Istio and Kubernetes that do not go together stop an install.",
        kind=Kind.FLAG,
        attribute="strict",
    ),
    Field("istio", "Which Istio.", kind=Kind.MAPPING, fields=ISTIO),
    Field("gatewayAPI", "The Kubernetes Gateway API.", kind=Kind.MAPPING, fields=GATEWAY_API),
    Field(
        "tools",
        "Programs that istio-mc tools installs; of each also its sha256, which wins over a published one.",
        kind=Kind.MAPPING,
        fields=TOOLS,
    ),
    Field(
        "values",
        "IstioOperator values of every cluster: whatever spec.values takes.",
        kind=Kind.FREE,
        attribute="values",
        otherwise="none",
        example="{global: {proxy: {logLevel: info}}}",
    ),
    Field("clusters", "The clusters of the mesh.", kind=Kind.ENTRIES, fields=CLUSTER, written=True),
)


def keys_of(fields: tuple[Field, ...]) -> tuple[str, ...]:
    """The names of some keys."""
    return tuple(field.key for field in fields)
