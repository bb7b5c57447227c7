"""Trust domains: the workloads of each cluster accept the names of those of every other one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from istio_mc.checks.access import REACHABLE
from istio_mc.checks.model import Check, Facts, Finding, Scope, Severity
from istio_mc.domain.codes import Code
from istio_mc.domain.hint import Advice
from istio_mc.domain.istio.operator import istio_operator
from istio_mc.domain.istio.trust_domains import in_config_map, in_operator, strangers
from istio_mc.domain.kube import objects
from istio_mc.domain.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from istio_mc.domain.istio.trust_domains import TrustDomain

DOMAINS = "trust.domains"


def _desired(facts: Facts) -> dict[str, TrustDomain]:
    return {
        name: in_operator(istio_operator(facts.mesh, cluster))
        for name, cluster in facts.clusters.items()
        if name in facts.observed
    }


def _live(facts: Facts) -> dict[str, TrustDomain]:
    """What each istiod reads; what mesh.yaml has where there is none."""
    name_of = f"istio-{facts.mesh.revision}" if facts.mesh.revision else "istio"
    return {
        name: in_config_map(facts.observed[name].find(objects.CONFIG_MAP, name_of)) or desired
        for name, desired in _desired(facts).items()
    }


def _judge(domains: Mapping[str, TrustDomain]) -> Finding:
    told = "; ".join(f"{name}: {domain}" for name, domain in domains.items())
    unaccepted = strangers(domains)
    if not unaccepted:
        return Finding(", ".join(dict.fromkeys(map(str, domains.values()))))
    first, peers = next(iter(unaccepted.items()))
    problem = Problem(
        code=Code.TRUST_DOMAINS_DIFFER,
        message=f"workloads of {first} refuse those of {', '.join(peers)}: their trust domains differ",
        seen=told,
        expected="one trust domain, or each other one among the aliases (meshConfig.trustDomainAliases)",
        hint=Advice(
            "set the same values.meshConfig.trustDomain for all clusters in mesh.yaml, or list those of the "
            "others in values.meshConfig.trustDomainAliases"
        ),
    )
    return Finding(told, problem)


CHECKS = (
    Check(
        id=DOMAINS,
        topic="trust",
        title="workloads of each cluster accept the trust domains of the others",
        looks_at="`trustDomain` and `trustDomainAliases` of each cluster's MeshConfig",
        usual_cause="mesh.yaml gives clusters trust domains of their own",
        fix="set one `values.meshConfig.trustDomain`, or list the others' under `trustDomainAliases`",
        severity=Severity.ERROR,
        scope=Scope.MESH,
        ask=lambda facts, _target: _judge(_live(facts)),
        needs=(REACHABLE,),
        docs="troubleshooting.md#trust-domains-differ",
    ),
)
"""As verify judges the mesh that lives."""

BEFORE_AN_INSTALL = tuple(
    replace(check, ask=lambda facts, _target: _judge(_desired(facts))) for check in CHECKS
)
"""As it would be after the install."""
