"""Trust, as it lives: what istiods sign with, the roots they gave out, what proxies hold, trust domains."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from istio_mc.checks.access import REACHABLE
from istio_mc.checks.model import Check, Facts, Finding, Scope, Severity
from istio_mc.domain.codes import Code
from istio_mc.domain.hint import Advice
from istio_mc.domain.istio.mesh_config import in_config_map, in_operator, strangers
from istio_mc.domain.istio.operator import istio_operator
from istio_mc.domain.kube import objects
from istio_mc.domain.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from istio_mc.domain.istio.mesh_config import TrustDomain

from typing import TYPE_CHECKING

from istio_mc.checks import hints
from istio_mc.checks.access import CLOCK, moment
from istio_mc.checks.cacerts import CACERTS, ONE_ROOT, ROOT_VALID, VALID, cas
from istio_mc.checks.control_plane import ISTIOD
from istio_mc.checks.model import Observation, Target, once_told
from istio_mc.domain.istio.proxies import restart_command
from istio_mc.domain.pki.cacerts import ROOT_CERT
from istio_mc.domain.pki.chain import SOON, path_to_root
from istio_mc.domain.pki.pem import (
    NamedPem,
    common_name,
    fingerprint,
    issued_by,
    issuer_key_id,
    key_id,
    load_certificates,
)
from istio_mc.domain.pki.signing import leads_to
from istio_mc.domain.pki.workload import SETTING
from istio_mc.domain.problem import ProblemError
from istio_mc.domain.text import few

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from cryptography import x509

    from istio_mc.domain.hint import Hint
    from istio_mc.domain.istio.proxies import ProxiesHold, ProxyTrust, Serving
    from istio_mc.domain.pki.signing import Signing

SIGNS = "trust.istiod"
NAMESPACES = "trust.namespaces"
PROXIES = "trust.proxies"

_MOST_NAMED = 10


def _signs(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    ca = cas(facts)[name]
    serving = facts.serving[name]
    if not serving:
        return Finding("no istiod is ready", unknown=True)
    wrong = [shown for shown in serving if not issued_by(shown.certificate, ca.certificate)]
    if wrong:
        told = "; ".join(f"{shown.pod}: {_signer(facts, name, shown)}" for shown in wrong)
        problem = Problem(
            code=Code.ISTIOD_SIGNS_WITH_ANOTHER_CA,
            message=f"istiod of {name} does not sign with the CA in its Secret cacerts",
            seen=told,
            expected=f"{common_name(ca.certificate)}, key {key_id(ca.certificate)}, under root {ca.root}",
            hint=hints.restart_istiod(facts, name),
        )
        return Finding("another CA than in cacerts", problem)
    now = moment(facts, name)
    if now and any(shown.certificate.not_valid_after_utc < now for shown in serving):
        ended = min(serving, key=lambda shown: shown.certificate.not_valid_after_utc)
        problem = Problem(
            code=Code.ISTIOD_CERTIFICATE_EXPIRED,
            message=f"istiod of {name} serves with a certificate that has expired",
            seen=f"{ended.pod}: valid until {ended.certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC",
            expected="one that it renews in time",
            hint=hints.restart_istiod(facts, name),
        )
        return Finding("expired", problem)
    return Finding("it does")


def _signer(facts: Facts, name: str, shown: Serving) -> str:
    """Who signed a serving certificate, as far as the certificates at hand tell."""
    issuer = shown.certificate.issuer.rfc4514_string() or "a CA without a name"
    told = f"signed by {issuer}, key {issuer_key_id(shown.certificate)}"
    at_hand = above(facts, name)
    roots = tuple(certificate for certificate in at_hand if certificate.subject == certificate.issuer)
    root = leads_to(shown.certificate, at_hand, roots)
    return f"{told}, under root {fingerprint(root)}" if root else told


def above(facts: Facts, name: str) -> tuple[x509.Certificate, ...]:
    """Every CA certificate seen that may stand above something of a cluster."""
    found = dict(_of_cas(facts))
    if held := facts.proxies.get(name):
        for proxy in held.proxies:
            found |= dict.fromkeys((*proxy.chain[1:], *proxy.roots))
    if given := facts.given_roots.get(name):
        for bundle in given.by_bundle():
            found |= dict.fromkeys(_certificates(bundle))
    return tuple(found)


@once_told
def _of_cas(facts: Facts) -> Mapping[x509.Certificate, None]:
    found: dict[x509.Certificate, None] = {}
    for ca in cas(facts).values():
        found |= dict.fromkeys((ca.certificate, *ca.between, *ca.roots))
    return found


def _namespaces(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    given, wanted = facts.given_roots[name], cas(facts)[name].trusted
    if not given.bundles:
        return Finding("none", _no_config_map(facts, name, given.config_map))
    others: dict[str, list[str]] = {}
    for bundle, namespaces in given.by_bundle().items():
        found = frozenset(map(fingerprint, _certificates(bundle)))
        if found != wanted:
            others.setdefault(", ".join(sorted(found)) or "no certificate", []).extend(namespaces)
    if not others:
        return Finding(f"{len(given.bundles)} namespaces have it")
    problem = Problem(
        code=Code.NAMESPACE_ROOTS_DIFFER,
        message=f"namespaces of {name} were not given the roots that its Secret cacerts holds",
        seen=f"ConfigMap {given.config_map}: "
        + "; ".join(f"{few(sorted(where), _MOST_NAMED)}: {roots}" for roots, where in others.items()),
        expected=", ".join(sorted(wanted)),
        hint=hints.restart_istiod(facts, name),
    )
    return Finding(few(sorted(where for found in others.values() for where in found), _MOST_NAMED), problem)


def _no_config_map(facts: Facts, name: str, config_map: str) -> Problem:
    return Problem(
        code=Code.NAMESPACE_ROOTS_MISSING,
        message=f"no namespace of {name} has the root certificates: pods with a proxy do not start",
        seen=f"no ConfigMap {config_map} in any namespace",
        expected=f"a ConfigMap {config_map} in each, written by istiod",
        hint=hints.restart_istiod(facts, name),
    )


def _certificates(bundle: str) -> tuple[x509.Certificate, ...]:
    """The certificates of a namespace's bundle; none where it cannot be read."""
    try:
        return load_certificates(NamedPem(ROOT_CERT, bundle.encode()))
    except ProblemError:
        return ()


def _proxies(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    held = facts.proxies[name]
    if silent := _all_silent(held):
        return silent
    bad = {proxy: told for proxy in held.proxies if (told := _faulty(facts, name, proxy))}
    if not bad:
        return Finding(held.told)
    problem = Problem(
        code=Code.PROXY_TRUSTS_OLD_ROOT,
        message=f"proxies of {name} do not hold what the mesh trusts now",
        seen=f"{few((f'{proxy.name}: {told}' for proxy, told in bad.items()), _MOST_NAMED)} ({held.told})",
        expected=f"a certificate of its own that is valid, under root {cas(facts)[name].root}, and the root "
        "of every cluster",
        hint=restart_command(name, bad),
    )
    return Finding(few((proxy.name for proxy in bad), _MOST_NAMED), problem)


def _all_silent(held: ProxiesHold) -> Finding | None:
    """That nothing can be told, where no proxy answered."""
    if held.proxies or not held.silent:
        return None
    return Finding(f"{held.told}: {next(iter(held.silent.values())).seen}", unknown=True)


def _faulty(facts: Facts, name: str, proxy: ProxyTrust) -> str:
    """What is wrong with what a proxy holds; empty where nothing is, or it holds nothing yet."""
    members = cas(facts)
    own = members[name]
    if proxy.roots:
        trusted = frozenset(map(fingerprint, proxy.roots))
        # A root that the cluster's own CA does not know either is no fault of its proxies.
        lacking = {ca.root for ca in members.values()} & own.trusted - trusted
        if lacking:
            return f"takes {', '.join(sorted(trusted))}, and not {', '.join(sorted(lacking))}"
    if proxy.chain:
        leaf, now = proxy.chain[0], moment(facts, name)
        if now and leaf.not_valid_after_utc < now:
            return f"its certificate ended {leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
        if leads_to(leaf, (*proxy.chain[1:], *own.path), own.roots) is None:
            return f"its certificate is of {proxy.chain[-1].issuer.rfc4514_string()}, under another root"
    return ""


def _workloads(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    ca, held = cas(facts)[name], facts.proxies[name]
    if silent := _all_silent(held):
        return silent
    old = [proxy for proxy in held.proxies if _older(facts, name, ca, proxy)]
    if not old:
        return Finding(held.told)
    problem = Problem(
        code=Code.WORKLOAD_CERTIFICATE_OLDER,
        message=f"workloads of {name} hold certificates of a CA that the cluster had before",
        seen=f"{few((proxy.name for proxy in old), _MOST_NAMED)} ({held.told})",
        expected=f"signed by {common_name(ca.certificate)}, key {key_id(ca.certificate)}; they renew them by "
        "themselves within a day",
        hint=restart_command(name, old),
    )
    return Finding(few((proxy.name for proxy in old), _MOST_NAMED), problem)


def _older(facts: Facts, name: str, ca: Signing, proxy: ProxyTrust) -> bool:
    if not proxy.chain or _faulty(facts, name, proxy):
        return False  # told as an error
    return not issued_by(proxy.chain[0], ca.certificate)


def _outlive(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    ca, held = cas(facts)[name], facts.proxies[name]
    if silent := _all_silent(held):
        return silent
    ends = {proxy: end for proxy in held.proxies if (end := _end_of_signer(proxy, ca.roots))}
    late = {proxy: end for proxy, end in ends.items() if end < proxy.chain[0].not_valid_after_utc}
    if not late:
        return Finding(held.told)
    told = (
        f"{proxy.name}: {proxy.chain[0].not_valid_after_utc:{_MINUTE}} UTC, its CA: {end:{_MINUTE}} UTC"
        for proxy, end in late.items()
    )
    problem = Problem(
        code=Code.WORKLOAD_OUTLIVES_CA,
        message=f"certificates of workloads of {name} outlive the CA that signed them",
        seen=f"{few(told, _MOST_NAMED)} ({held.told})",
        expected="a CA that is valid longer than what it signs: workloads are refused when it ends",
        hint=_longer_ca(facts, name, late),
    )
    return Finding(few((proxy.name for proxy in late), _MOST_NAMED), problem)


_MINUTE = "%Y-%m-%d %H:%M"


def _end_of_signer(proxy: ProxyTrust, roots: Sequence[x509.Certificate]) -> datetime | None:
    """When the first of the CAs above a proxy's certificate ends, as far as its own chain leads to a root."""
    try:
        above_it = path_to_root(proxy.chain[0], proxy.chain[1:], roots)[1:] if proxy.chain else ()
    except ProblemError:
        return None  # told as an error
    return min((certificate.not_valid_after_utc for certificate in above_it), default=None)


def _longer_ca(facts: Facts, name: str, late: Mapping[ProxyTrust, datetime]) -> Hint:
    path, now = cas(facts)[name].path, moment(facts, name)
    needed = max(proxy.chain[0].not_valid_after_utc for proxy in late)
    if path and min(certificate.not_valid_after_utc for certificate in path) >= needed:
        return restart_command(name, late)  # the cluster has another CA by now
    own, above_it = path[:1], path[1:]
    if own and now and own[0].not_valid_after_utc - now <= SOON and _all_last(above_it, needed):
        return hints.install(facts)
    return Advice(f"replace the CA before it ends, or have shorter certificates made: {SETTING}")


def _all_last(path: Sequence[x509.Certificate], until: datetime) -> bool:
    return all(certificate.not_valid_after_utc >= until for certificate in path)


CHECKS = (
    Check(
        id=SIGNS,
        topic="trust",
        title="istiod signs with the CA in its Secret cacerts: the certificate it serves shows that",
        looks_at="the certificate that each istiod serves, through a port-forward",
        usual_cause="`cacerts` was replaced by another root, and istiod still runs with the old one",
        fix=hints.RESTART_ISTIOD,
        severity=Severity.ERROR,
        scope=Scope.CLUSTER,
        ask=_signs,
        needs=(CACERTS, ISTIOD),
        because=(CLOCK, ROOT_VALID, VALID, ONE_ROOT),
        reads=(Observation.SERVING,),
        docs="troubleshooting.md#istiod-signs-with-another-ca",
    ),
    Check(
        id=NAMESPACES,
        topic="trust",
        title="every namespace was given the roots that the Secret cacerts holds",
        looks_at=(
            "the ConfigMap `istio-ca-root-cert` (or what `global.trustBundleName` names) of every namespace"
        ),
        usual_cause="istiod was down, or may not write ConfigMaps, when the root changed",
        fix=hints.RESTART_ISTIOD,
        severity=Severity.ERROR,
        scope=Scope.CLUSTER,
        ask=_namespaces,
        needs=(CACERTS, ISTIOD),
        because=(CLOCK, ROOT_VALID, VALID, ONE_ROOT, SIGNS),
        reads=(Observation.GIVEN_ROOTS,),
        docs="troubleshooting.md#namespace-roots-differ",
    ),
    Check(
        id=PROXIES,
        topic="trust",
        title="proxies trust the mesh's root, and hold valid certificates under it",
        looks_at="the certificates and roots that gateways and the oldest sidecars hold, from their Envoys",
        usual_cause="pods have run since before the root changed",
        fix="restart the workloads that are named",
        severity=Severity.ERROR,
        scope=Scope.CLUSTER,
        ask=_proxies,
        needs=(CACERTS, ISTIOD),
        because=(CLOCK, ROOT_VALID, VALID, ONE_ROOT, SIGNS, NAMESPACES),
        reads=(Observation.PROXIES,),
        docs="troubleshooting.md#proxy-trusts-old-root",
    ),
    Check(
        id="trust.workloads",
        topic="trust",
        title="workloads hold certificates of the CA that the cluster has now",
        looks_at="who issued the certificates of the same proxies",
        usual_cause="`cacerts` changed, and their certificates have not been renewed yet",
        fix="they are renewed within a day by themselves, or with a restart",
        severity=Severity.WARNING,
        scope=Scope.CLUSTER,
        ask=_workloads,
        needs=(SIGNS, PROXIES),
        reads=(Observation.PROXIES,),
        docs="troubleshooting.md#proxy-trusts-old-root",
    ),
    Check(
        id="trust.workloads-end",
        topic="trust",
        title="no certificate of a workload outlives the CA that signed it",
        looks_at="when the certificates of the same proxies end, and when the CAs in their chains do",
        usual_cause="the CA ends soon, or `SECRET_TTL` is longer than what is left of it",
        fix="renew the CA in time, or shorten `SECRET_TTL`",
        severity=Severity.WARNING,
        scope=Scope.CLUSTER,
        ask=_outlive,
        needs=(SIGNS, PROXIES),
        reads=(Observation.PROXIES,),
        docs="troubleshooting.md#workload-outlives-ca",
    ),
)


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


TRUST_DOMAINS = (
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
    replace(check, ask=lambda facts, _target: _judge(_desired(facts))) for check in TRUST_DOMAINS
)
"""As it would be after the install."""
