"""Errors of a change of the root: what does not take it up, and what has to wait for its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.domain.hint import Advice, istio_mc
from istio_mc.domain.istio.istiod import restart_istiod
from istio_mc.domain.problem import Code, Problem

if TYPE_CHECKING:
    from collections.abc import Collection

    from istio_mc.domain.hint import Hint
    from istio_mc.gateways.host.ca_store import CaStore


def setting_missing(name: str, seen: str) -> Problem:
    """The error of istiods or proxies that take up another root only when they are restarted."""
    return Problem(
        code=Code.ROOT_SETTINGS,
        cluster=name,
        message=f"istiod or proxies of {name} take up another root only when they are restarted",
        seen=seen,
        expected="ISTIO_MULTIROOT_MESH on istiod, PROXY_CONFIG_XDS_AGENT on proxies, as install sets them",
        hint=Advice("install again, then restart these workloads: ", istio_mc("install")),
    )


def istiod_does_not_follow(name: str, istiod: str, pods: Collection[str], root: str) -> Problem:
    """The error of istiods that still sign with the former CA."""
    return Problem(
        code=Code.ROOT_NOT_FOLLOWED,
        cluster=name,
        message=f"istiod of {name} does not sign under the {root} yet",
        seen=f"{', '.join(pods)} shows a certificate of the former CA",
        expected="a certificate of the CA in Secret cacerts",
        hint=restart_istiod(name, istiod),
    )


def proxies_do_not_follow(name: str, seen: str, restart: Hint) -> Problem:
    """The error of proxies that do not have what a phase requires."""
    return Problem(
        code=Code.ROOT_NOT_FOLLOWED,
        cluster=name,
        message=f"proxies of {name} do not follow yet",
        seen=seen,
        expected="every proxy of every cluster, before the next phase",
        hint=restart,
    )


def root_changes(
    base: CaStore,
    following: CaStore,
    code: Code,
    message: str,
    expected: str = "no change of the root that has begun",
) -> Problem:
    """The error of what cannot be done while the mesh of a folder changes its root."""
    return Problem(
        code=code,
        message=message,
        seen=f"{base.folder}/roots/next names {following.folder.name}",
        expected=expected,
        hint=istio_mc("ca", "rotate"),
    )
