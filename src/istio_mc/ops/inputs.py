"""What a user says on the command line, as every verb hands it on."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from istio_mc.domain.problem import InputError, Problem
from istio_mc.domain.settings import API_SERVER, GATEWAY_ADDRESS, Settings, override, parse_assignments

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from istio_mc.domain.kubeconfig import Context


@dataclass(frozen=True, slots=True)
class Inputs:
    """What every verb is told by its user.

    Attributes:
        kubeconfig: `--kubeconfig`; None: $KUBECONFIG, else ~/.kube/config.
        contexts: `--contexts`, in their order; empty: the settings', else the mesh's members.
        config: `--config`; None: ./mesh.yaml where it is there.
        timeout_s: Deadline of the whole run in seconds.
        concurrency: How many clusters are worked on at once.
        begun_s: `time.monotonic()` value at which the run began.
    """

    kubeconfig: str | None = None
    contexts: tuple[str, ...] = ()
    config: Path | None = None
    timeout_s: float = 600.0
    concurrency: int = 16
    begun_s: float = field(default_factory=time.monotonic, compare=False)

    @property
    def deadline(self) -> float:
        """`time.monotonic()` value by which the run ends."""
        return self.begun_s + self.timeout_s


@dataclass(frozen=True, slots=True)
class Overrides:
    """Flags that win over mesh.yaml.

    Attributes:
        certs_dir: `--certs-dir`.
        gateway_addresses: `--gateway-address`, each CONTEXT=ADDRESS.
        api_servers: `--api-server`, each CONTEXT=URL.
    """

    certs_dir: Path | None = None
    gateway_addresses: tuple[str, ...] = ()
    api_servers: tuple[str, ...] = ()

    def over(self, settings: Settings, contexts: Iterable[Context]) -> Settings:
        """The settings with these laid over them, one entry for every context of the run.

        Raises:
            InputError: A flag is malformed, or speaks of a cluster that is not part of the run.
        """
        addresses = parse_assignments(self.gateway_addresses, GATEWAY_ADDRESS)
        servers = parse_assignments(self.api_servers, API_SERVER)
        known = {context.name for context in contexts}
        refuse_strangers((*addresses, *servers), known)
        clusters = []
        for name in sorted(known):
            cluster = override(
                settings.cluster(name), gateway_address=addresses.get(name), api_server=servers.get(name)
            )
            clusters.append(cluster)
        return replace(settings, clusters=tuple(clusters), certs_dir=self.certs_dir or settings.certs_dir)


def refuse_strangers(named: Iterable[str], known: Collection[str]) -> None:
    """Nothing, where a flag names clusters of the run only.

    Raises:
        InputError: It names another.
    """
    if strangers := [name for name in named if name not in known]:
        raise InputError(
            Problem(
                code="not-in-this-run",
                message="a flag speaks of a cluster that is not part of this run",
                seen=", ".join(strangers),
                expected=f"one of {', '.join(sorted(known))}",
            )
        )
