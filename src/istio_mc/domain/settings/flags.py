"""Flags that are laid over mesh.yaml, cluster by cluster: CONTEXT=VALUE."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, NamedTuple

from istio_mc.domain.hint import Advice
from istio_mc.domain.hosts import address_fault, https_url_fault
from istio_mc.domain.problem import Code, InputError, Problem
from istio_mc.domain.settings.model import ApiServerSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from istio_mc.domain.settings.model import ClusterSettings


class AssignedOption(NamedTuple):
    """An option whose values have the form CONTEXT=VALUE."""

    name: str
    example: str


GATEWAY_ADDRESS = AssignedOption("--gateway-address", "203.0.113.7")
API_SERVER = AssignedOption("--api-server", "https://203.0.113.7:6443")
API_SERVER_CA = AssignedOption("--api-server-ca", "rancher-ca.pem")
API_SERVER_NAME = AssignedOption("--api-server-name", "kubernetes")
SET_ADDRESS = AssignedOption("--set", GATEWAY_ADDRESS.example)
POOL = AssignedOption("--pool", "10.0.0.10-10.0.0.20")
PEERS = AssignedOption("--peer", "10.0.0.1@64513")


def parse_assignments(values: Sequence[str], option: AssignedOption) -> dict[str, str]:
    """Reads repeated options of the form `context=value`.

    They are split at the *last* `=`: a context's name may hold one, addresses and API servers' URLs do not.

    Raises:
        InputError: With every one that has no name or no value, and every context named twice.
    """
    problems: list[Problem] = []
    assignments: dict[str, str] = {}
    for text in values:
        context, sign, value = (part.strip() for part in text.rpartition("="))
        if not sign or not context or not value:
            problems.append(
                Problem(
                    code=Code.OPTION_MALFORMED,
                    message=f"{option.name}: {text!r} is not CONTEXT=VALUE",
                    hint=Advice(f"For example {option.name} kt={option.example}"),
                )
            )
        elif context in assignments:
            problems.append(
                Problem(
                    code=Code.OPTION_REPEATED,
                    message=f"{option.name}: {context} has two values: {assignments[context]} and {value}",
                    hint=Advice("Set it once"),
                )
            )
        else:
            assignments[context] = value
    if problems:
        raise InputError(*problems)
    return assignments


def override(
    cluster: ClusterSettings,
    *,
    gateway_address: str | None = None,
    api_server: ApiServerSettings | None = None,
) -> ClusterSettings:
    """A cluster's settings with what flags say in the file's place.

    Args:
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
            *(Problem(code=Code.OPTION_MALFORMED, message=text, cluster=cluster.context) for text in problems)
        )
    return cluster
