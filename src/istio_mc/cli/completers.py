"""Shell completion of option values; it reads no cluster, and ignores errors.

Shell completion does not see the value of `--kubeconfig`, so it reads $KUBECONFIG.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def _contexts() -> list[str]:
    from istio_mc.domain.problem import ProblemError
    from istio_mc.gateways.host.files import home_folder
    from istio_mc.gateways.kube.kubeconfig import kubeconfig_paths, read_kubeconfig

    try:
        kubeconfig = read_kubeconfig(kubeconfig_paths(None, os.environ, home_folder()))
    except ProblemError:
        return []
    return [context.name for context in kubeconfig.contexts]


def _next_of(words: Iterable[str], incomplete: str) -> list[str]:
    """Completions of the last item of `a,b,inc`."""
    before, comma, begun = incomplete.rpartition(",")
    taken = {part.strip() for part in before.split(",")}
    return [f"{before}{comma}{word}" for word in words if word.startswith(begun) and word not in taken]


def _matching(words: Iterable[str], incomplete: str) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]


def contexts(incomplete: str) -> list[str]:
    """Contexts of the kubeconfig, as a list with commas."""
    return _next_of(_contexts(), incomplete)


def context_is(incomplete: str) -> list[str]:
    """Contexts, as the beginning of CONTEXT=VALUE."""
    return _matching([f"{name}=" for name in _contexts()], incomplete)


def formats(incomplete: str) -> list[str]:
    """The formats of every command, and those of verify."""
    return _matching(("table", "json", "yaml", "wide", "short", "junit", "github"), incomplete)


def address_types(incomplete: str) -> list[str]:
    """The types of gateway addresses."""
    from istio_mc.domain.gateway.changes import Via

    return _matching(Via, incomplete)


def announcements(incomplete: str) -> list[str]:
    """The announcement modes of MetalLB."""
    from istio_mc.domain.gateway.metallb import Announce

    return _matching(Announce, incomplete)


def tools(incomplete: str) -> list[str]:
    """The tools that can be installed."""
    from istio_mc.domain.tools import Tool

    return _matching(Tool, incomplete)


def istio_versions(incomplete: str) -> list[str]:
    """Istio patch releases in the release table: the tested and the newest ones."""
    from istio_mc.gateways.istio.releases import release_table

    versions = (patch for one in release_table().istio for patch in (*one.lab, one.newest) if patch)
    return _matching(dict.fromkeys(versions), incomplete)


def platforms(incomplete: str) -> list[str]:
    """The platforms that tools are published for."""
    from istio_mc.domain.tools import PLATFORMS

    return _matching(map(str, PLATFORMS), incomplete)


def checks(incomplete: str) -> list[str]:
    """Topics and IDs of checks, as a list with commas."""
    from istio_mc.checks.catalogue import EVERY

    return _next_of(
        dict.fromkeys([*(check.topic for check in EVERY), *(check.id for check in EVERY)]), incomplete
    )


def explained(incomplete: str) -> list[str]:
    """Error codes and IDs of checks."""
    from istio_mc.ops.explain import topics

    names = topics()
    return _matching([*names.checks, *names.codes], incomplete)
