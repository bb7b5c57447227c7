"""Whether the proxies of clusters follow a change of the root, and the phase that comes next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.domain.istio.proxies import restart_command
from istio_mc.domain.istio.root_rotation import Phase, is_at, lacking, phase_of
from istio_mc.domain.text import few
from istio_mc.ops.rotation import cacerts
from istio_mc.ops.rotation.root_errors import proxies_do_not_follow

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from istio_mc.domain.istio.root_rotation import Target
    from istio_mc.domain.pki.signing import Signing
    from istio_mc.domain.problem import Problem
    from istio_mc.gateways.kube.client import Kube
    from istio_mc.ops.session.session import Session

_MOST_NAMED = 5


def next_phase(session: Session, owns: Mapping[str, Signing], target: Target) -> Phase | None:
    """The first phase that a cluster lacks; None: all have the root alone.

    A cluster whose proxies have nothing to renew does not get the second form of the root: its Secret does
    not show that phase RENEW has passed, and its proxies do.

    Args:
        owns: The CA that each cluster has, by context.
    """
    phase = phase_of(owns.values(), target)
    if phase is not Phase.RENEW:
        return phase
    lack = [name for name, own in owns.items() if not is_at(phase, own, target)]
    return Phase.FINISH if have_renewed(session, lack, target) else phase


def have_renewed(session: Session, names: Collection[str], target: Target) -> bool:
    """Whether every proxy of clusters is known to have a certificate under a root."""
    missing, failures = session.clusters.each(
        lambda name: proxies_missing(session.clusters.kubes[name], Phase.RENEW, target), names
    )
    return not failures and not any(missing.values())


def proxies_missing(kube: Kube, phase: Phase, target: Target) -> list[Problem]:
    """The errors of a cluster's proxies that do not have what a phase requires, or do not say."""
    name = kube.context
    held = cacerts.every_proxy(kube)
    lacks = {proxy: why for proxy in held.proxies if (why := lacking(phase, proxy, target))}
    if lacks:
        seen = few((f"{proxy.name} {why}" for proxy, why in lacks.items()), _MOST_NAMED)
        return [proxies_do_not_follow(name, f"{seen} ({held.coverage})", restart_command(name, lacks))]
    return [problem.on(name) for problem in held.silent.values()]
