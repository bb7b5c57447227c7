"""What a user says on the command line, as every verb hands it on."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from istio_mc.domain.hint import Advice, istio_mc
from istio_mc.domain.problem import Code, InputError, Problem, ProblemError
from istio_mc.domain.settings.flags import (
    API_SERVER,
    API_SERVER_CA,
    API_SERVER_NAME,
    GATEWAY_ADDRESS,
    override,
    parse_assignments,
)
from istio_mc.domain.settings.model import ApiServerSettings
from istio_mc.domain.tools import Tool, parse_version
from istio_mc.gateways.host.files import Reader, read_authorities

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from istio_mc.domain.kube.kubeconfig import Context
    from istio_mc.domain.settings.model import ClusterSettings, Settings

ISTIO_VERSION = "--istio-version"


@dataclass(frozen=True, slots=True)
class Inputs:
    """What every verb gets from its user.

    Attributes:
        kubeconfig: `--kubeconfig`; None: $KUBECONFIG, else ~/.kube/config.
        contexts: `--contexts`, in their order; empty: the settings', else the mesh's members.
        config: `--config`; None: ./mesh.yaml where it is there.
        begun_s: `time.monotonic()` value at which the run began.
    """

    kubeconfig: str | None = None
    contexts: tuple[str, ...] = ()
    config: Path | None = None
    timeout_s: float = 600.0
    concurrency: int = 16
    begun_s: float = field(default_factory=time.monotonic, compare=False)
    files: Reader = field(default_factory=Reader, repr=False, compare=False)

    def read(self, path: Path) -> bytes:
        """The content of a file; each is read once for a run.

        Raises:
            OSError: It cannot be read.
        """
        return self.files(path, self.deadline)

    def again(self) -> Inputs:
        """The same for another run that begins now."""
        return replace(self, begun_s=time.monotonic(), files=self.files.again())

    @property
    def deadline(self) -> float:
        """`time.monotonic()` value by which the run ends."""
        return self.begun_s + self.timeout_s


@dataclass(frozen=True, slots=True)
class Overrides:
    """Flags that win over mesh.yaml."""

    certs_dir: Path | None = None
    gateway_addresses: tuple[str, ...] = ()
    api_servers: tuple[str, ...] = ()
    api_server_cas: tuple[str, ...] = ()
    api_server_names: tuple[str, ...] = ()
    istio_version: str | None = None

    @classmethod
    def of(
        cls,
        certs_dir: Path | None = None,
        gateway_addresses: Iterable[str] | None = None,
        api_servers: Iterable[str] | None = None,
        api_server_cas: Iterable[str] | None = None,
        api_server_names: Iterable[str] | None = None,
        istio_version: str | None = None,
    ) -> Overrides:
        """Of options as they are given: None where they are not."""
        flags = (gateway_addresses, api_servers, api_server_cas, api_server_names)
        addresses, servers, cas, names = (tuple(values or ()) for values in flags)
        return cls(certs_dir, addresses, servers, cas, names, istio_version)

    def over(self, settings: Settings, contexts: Iterable[Context]) -> Settings:
        """The settings with these laid over them, one entry for every context of the run.

        Raises:
            InputError: An option is malformed, or names a cluster that is not part of the run.
        """
        flags = self.flags()
        known = {context.name for context in contexts}
        refuse_unknown_clusters(flags.by_option, known)
        clusters = tuple(flags.over(settings.cluster(name)) for name in sorted(known))
        settings = self.over_mesh(settings)
        return replace(settings, clusters=clusters)

    def over_mesh(self, settings: Settings) -> Settings:
        """The settings with what these say of the mesh as a whole laid over them.

        Raises:
            InputError: The version is malformed.
        """
        settings = replace(settings, certs_dir=self.certs_dir or settings.certs_dir)
        if self.istio_version is None:
            return settings
        version = parse_version(Tool.ISTIOCTL, self.istio_version, ISTIO_VERSION)
        return replace(settings, istio=replace(settings.istio, version=version, version_by=ISTIO_VERSION))

    def flags(self) -> ClusterFlags:
        """What they say of clusters.

        Raises:
            InputError: One is not CONTEXT=VALUE, or names a context twice; a file cannot be read.
        """
        problems: list[Problem] = []
        rows: list[dict[str, str]] = []
        for values, option in (
            (self.gateway_addresses, GATEWAY_ADDRESS),
            (self.api_servers, API_SERVER),
            (self.api_server_cas, API_SERVER_CA),
            (self.api_server_names, API_SERVER_NAME),
        ):
            try:
                rows.append(parse_assignments(values, option))
            except InputError as error:
                problems.extend(error.problems)
        if problems:
            raise InputError(*problems)
        flags = ClusterFlags(*rows)
        for name, file in flags.cas.items():
            try:
                read_authorities(Path(file))
            except ProblemError as error:
                problems.extend(problem.on(name) for problem in error.problems)
        if problems:
            raise InputError(*problems)
        return flags


@dataclass(frozen=True, slots=True)
class ClusterFlags:
    """What flags say of clusters, each by context."""

    addresses: Mapping[str, str]
    servers: Mapping[str, str]
    cas: Mapping[str, str]
    names: Mapping[str, str]

    @property
    def by_option(self) -> Mapping[str, Mapping[str, str]]:
        """What each option sets, by context."""
        return {
            GATEWAY_ADDRESS.name: self.addresses,
            API_SERVER.name: self.servers,
            API_SERVER_CA.name: self.cas,
            API_SERVER_NAME.name: self.names,
        }

    def over(self, cluster: ClusterSettings) -> ClusterSettings:
        """A cluster's settings with what flags say of it in their place.

        Raises:
            InputError: An address, URL or name is not one.
        """
        name = cluster.context
        file = self.cas.get(name)
        api_server = ApiServerSettings(
            self.servers.get(name), Path(file).absolute() if file else None, self.names.get(name)
        )
        return override(
            cluster,
            gateway_address=self.addresses.get(name),
            api_server=None if api_server == ApiServerSettings() else api_server,
        )


def refuse_unknown_clusters(named: Mapping[str, Iterable[str]], known: Iterable[str]) -> None:
    """Refuses options that name a cluster outside the run.

    Args:
        named: The contexts that each option names, by option.

    Raises:
        InputError: With a Problem for each option and context that is not one of them.
    """
    known = sorted(known)
    problems = [
        Problem(
            code=Code.NOT_IN_THIS_RUN,
            message=f"{option}: {name} is not a cluster of this run",
            seen=name,
            expected=f"one of {', '.join(known)}" if known else "--contexts, or clusters in mesh.yaml",
            hint=Advice("see which contexts there are: ", istio_mc("contexts")),
        )
        for option, names in named.items()
        for name in names
        if name not in known
    ]
    if problems:
        raise InputError(*problems)
