"""The settings of a mesh, as mesh.yaml and flags give them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from istio_mc.domain.hint import Advice
from istio_mc.domain.hosts import address_fault, https_url_fault
from istio_mc.domain.problem import InputError, Problem
from istio_mc.domain.settings.tools import ToolsSettings
from istio_mc.domain.tools import DEFAULT_VERSIONS, Tool

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from istio_mc.domain.tools import Platform


@dataclass(frozen=True, slots=True)
class IstioSettings:
    """Which Istio.

    Attributes:
        version: Such as "1.26.0"; None: it is chosen for the clusters.
        revision: Revision of the control plane; "" is the default one.
        hub: Registry of the images.
        tag: Tag of the images; None: the version.
        version_by: Where the version was named.
    """

    version: str | None = None
    revision: str = ""
    hub: str = "docker.io/istio"
    tag: str | None = None
    version_by: str = field(default="istio.version in mesh.yaml", compare=False)


@dataclass(frozen=True, slots=True)
class GatewayApiSettings:
    """Whether the Gateway API's CRDs are installed where absent, which version, and from where.

    `version` None: the one for Istio's version. `manifest` is an absolute path or an https:// URL; None: the
    official release. `sha256` is its digest.
    """

    install: bool = True
    version: str | None = None
    manifest: str | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class CaSettings:
    """How new CAs are made.

    Attributes:
        key: Kind and bits of their keys, such as `ec-256`; None: a root gets RSA 3072, what is below a root
            gets its kind.
        validity: How long they are valid, such as `3650d`.
    """

    key: str | None = None
    validity: str = "87600h"


@dataclass(frozen=True, slots=True)
class ApiServerSettings:
    """How other clusters' istiods reach an API server, where the kubeconfig's address is not for them.

    `server` is an https:// URL, `ca_file` an absolute path. None: the kubeconfig's address and name, and the
    CA that the cluster gives to its service accounts.
    """

    server: str | None = None
    ca_file: Path | None = None
    tls_server_name: str | None = None


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """What is said of one cluster.

    Attributes:
        context: Its context's name in the kubeconfig.
        id: Its cluster id, where it is not to be derived.
        network: Its network, where it is not to be assigned.
        gateway_addresses: Addresses of its gateway, where its LoadBalancer gives none.
        api_server: Its API server's address for the other clusters.
        values: IstioOperator values that differ from the mesh's.
    """

    context: str
    id: str | None = None
    network: str | None = None
    gateway_addresses: tuple[str, ...] = ()
    api_server: ApiServerSettings | None = None
    values: Mapping[str, object] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Settings:
    """mesh.yaml with its defaults.

    Attributes:
        certs_dir: Absolute folder of the certificates.
        ca: How new CAs are made.
        strict: Whether versions that do not go together stop an install.
        mesh_id: Istio's mesh id.
        istio: Which Istio.
        gateway_api: The Gateway API's CRDs.
        tools: Programs to install, and from where.
        values: IstioOperator values for every cluster.
        clusters: What is said of single clusters, in the file's order.
        file: The file this was read from; None: there is none, and all is default.
    """

    certs_dir: Path
    ca: CaSettings = field(default=CaSettings(), kw_only=True)
    strict: bool = field(default=False, kw_only=True)
    mesh_id: str = "mesh1"
    istio: IstioSettings = IstioSettings()
    gateway_api: GatewayApiSettings = GatewayApiSettings()
    tools: ToolsSettings = field(default_factory=ToolsSettings)
    values: Mapping[str, object] = field(default_factory=dict, hash=False)
    clusters: tuple[ClusterSettings, ...] = ()
    file: Path | None = None

    def tool_version(self, tool: Tool) -> str | None:
        """The version of a tool; None: that of istioctl and the Gateway API is chosen for the clusters."""
        if tool is Tool.ISTIOCTL:
            return self.istio.version
        if tool is Tool.GATEWAY_API:
            return self.gateway_api.version
        return self.tools.of(tool).version or DEFAULT_VERSIONS[tool]

    def with_versions(self, istio: str, gateway_api: str) -> Settings:
        """These settings, with versions in place of those that they leave open."""
        return replace(
            self,
            istio=replace(self.istio, version=self.istio.version or istio),
            gateway_api=replace(self.gateway_api, version=self.gateway_api.version or gateway_api),
        )

    def digest(self, tool: Tool, platform: Platform) -> str | None:
        """The digest pinned for the published file of a tool; None: mesh.yaml pins none."""
        found = self.tools.digest(tool, platform)
        if tool is Tool.GATEWAY_API and found is None and self.gateway_api.manifest is None:
            return self.gateway_api.sha256
        return found

    def cluster(self, context: str) -> ClusterSettings:
        """What is said of a context's cluster: nothing but its name, where it is not in the file."""
        return next((found for found in self.clusters if found.context == context), ClusterSettings(context))


class AssignedOption(NamedTuple):
    """An option whose values have the form CONTEXT=VALUE.

    Attributes:
        name: Such as `--api-server`.
        example: A value, for messages.
    """

    name: str
    example: str


GATEWAY_ADDRESS = AssignedOption("--gateway-address", "203.0.113.7")
API_SERVER = AssignedOption("--api-server", "https://203.0.113.7:6443")
API_SERVER_CA = AssignedOption("--api-server-ca", "rancher-ca.pem")
API_SERVER_NAME = AssignedOption("--api-server-name", "kubernetes")
SET_ADDRESS = AssignedOption("--set", GATEWAY_ADDRESS.example)


def parse_assignments(values: Sequence[str], option: AssignedOption) -> dict[str, str]:
    """Reads repeated options of the form `context=value`.

    They are split at the *last* `=`: a context's name may hold one, addresses and API servers' URLs do not.

    Args:
        values: Each as given, such as "kt=198.18.0.21".
        option: Which option gave them.

    Raises:
        InputError: With every one that has no name or no value, and every context named twice.
    """
    problems: list[Problem] = []
    found: dict[str, str] = {}
    for text in values:
        context, sign, value = (part.strip() for part in text.rpartition("="))
        if not sign or not context or not value:
            problems.append(
                Problem(
                    code="option-malformed",
                    message=f"{option.name}: {text!r} is not CONTEXT=VALUE",
                    hint=Advice(f"For example {option.name} kt={option.example}"),
                )
            )
        elif context in found:
            problems.append(
                Problem(
                    code="option-repeated",
                    message=f"{option.name}: {context} is given twice: {found[context]} and {value}",
                    hint=Advice("Give it once"),
                )
            )
        else:
            found[context] = value
    if problems:
        raise InputError(*problems)
    return found


def override(
    cluster: ClusterSettings,
    *,
    gateway_address: str | None = None,
    api_server: ApiServerSettings | None = None,
) -> ClusterSettings:
    """A cluster's settings with what flags say in the file's place.

    Args:
        cluster: What the file says.
        gateway_address: One address or several, separated by commas.
        api_server: What flags say; what they do not say stays.

    Raises:
        InputError: An address, the URL or the name is not one.
    """
    problems = []
    if gateway_address is not None:
        addresses = tuple(part.strip() for part in gateway_address.split(","))
        cluster = replace(cluster, gateway_addresses=addresses)
        problems += [
            (f"--gateway-address: {text!r} {fault}") for text in addresses if (fault := address_fault(text))
        ]
    if api_server is not None:
        base = cluster.api_server or ApiServerSettings()
        given = {key: value for key, value in asdict(api_server).items() if value is not None}
        cluster = replace(cluster, api_server=replace(base, **given))
        if api_server.server is not None and (fault := https_url_fault(api_server.server)):
            problems.append(f"--api-server: {api_server.server!r} {fault}")
        name = api_server.tls_server_name
        if name is not None and (fault := address_fault(name)):
            problems.append(f"--api-server-name: {name!r} {fault}")
    if problems:
        raise InputError(
            *(Problem(code="option-malformed", message=text, cluster=cluster.context) for text in problems)
        )
    return cluster
