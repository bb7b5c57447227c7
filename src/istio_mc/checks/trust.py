"""Trust checks at runtime: istiod's CA, root certificates in namespaces and proxies, trust domains."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from istio_mc.checks.model import Check, Facts, Finding, Scope, Severity
from istio_mc.domain.hint import Advice
from istio_mc.domain.istio.mesh_config import config_map_name, in_config_map, in_operator, not_accepted
from istio_mc.domain.istio.operator import istio_operator
from istio_mc.domain.kube import objects
from istio_mc.domain.problem import Code, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from istio_mc.domain.istio.mesh_config import TrustDomain

from typing import TYPE_CHECKING

from istio_mc.checks import hints
from istio_mc.checks.access import CLOCK, moment
from istio_mc.checks.cacerts import CACERTS, ONE_ROOT, ROOT_VALID, VALID, cas
from istio_mc.checks.control_plane import ISTIOD
from istio_mc.checks.model import Observation, Target, cached
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
        seen = "; ".join(f"{shown.pod}: {_signer(facts, name, shown)}" for shown in wrong)
        problem = Problem(
            code=Code.ISTIOD_SIGNS_WITH_ANOTHER_CA,
            message="istiod does not use the CA from Secret cacerts",
            seen=seen,
            expected=f"{common_name(ca.certificate)}, key {key_id(ca.certificate)}, under root {ca.root}",
            hint=hints.restart_istiod(facts, name),
        )
        return Finding("another CA", problem)
    now = moment(facts, name)
    if now and any(shown.certificate.not_valid_after_utc < now for shown in serving):
        ended = min(serving, key=lambda shown: shown.certificate.not_valid_after_utc)
        problem = Problem(
            code=Code.ISTIOD_CERTIFICATE_EXPIRED,
            message="serving certificate of istiod has expired",
            seen=f"{ended.pod}: valid until {ended.certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC",
            expected="a valid certificate, which istiod renews",
            hint=hints.restart_istiod(facts, name),
        )
        return Finding("expired", problem)
    return Finding("")


def _signer(facts: Facts, name: str, shown: Serving) -> str:
    """Issuer, key and, if known, root of a serving certificate."""
    issuer = shown.certificate.issuer.rfc4514_string() or "a CA without a name"
    signer = f"signed by {issuer}, key {issuer_key_id(shown.certificate)}"
    at_hand = above(facts, name)
    roots = tuple(certificate for certificate in at_hand if certificate.subject == certificate.issuer)
    root = leads_to(shown.certificate, at_hand, roots)
    return f"{signer}, under root {fingerprint(root)}" if root else signer


def above(facts: Facts, name: str) -> tuple[x509.Certificate, ...]:
    """All CA certificates read that may be an issuer in a chain of a cluster."""
    certificates = dict(_of_cas(facts))
    if held := facts.proxies.get(name):
        for proxy in held.proxies:
            certificates |= dict.fromkeys((*proxy.chain[1:], *proxy.roots))
    if given := facts.distributed_roots.get(name):
        for bundle in given.by_bundle():
            certificates |= dict.fromkeys(_certificates(bundle))
    return tuple(certificates)


@cached
def _of_cas(facts: Facts) -> Mapping[x509.Certificate, None]:
    certificates: dict[x509.Certificate, None] = {}
    for ca in cas(facts).values():
        certificates |= dict.fromkeys((ca.certificate, *ca.between, *ca.roots))
    return certificates


def _namespaces(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    given, desired = facts.distributed_roots[name], cas(facts)[name].trusted
    if not given.bundles:
        return Finding("none", _no_config_map(facts, name, given.config_map))
    others: dict[str, list[str]] = {}
    for bundle, namespaces in given.by_bundle().items():
        fingerprints = frozenset(map(fingerprint, _certificates(bundle)))
        if fingerprints != desired:
            others.setdefault(", ".join(sorted(fingerprints)) or "no certificate", []).extend(namespaces)
    if not others:
        return Finding(f"{len(given.bundles)} namespaces")
    problem = Problem(
        code=Code.NAMESPACE_ROOTS_DIFFER,
        message="some namespaces have other root certificates than Secret cacerts",
        seen=f"ConfigMap {given.config_map}: "
        + "; ".join(f"{few(sorted(where), _MOST_NAMED)}: {roots}" for roots, where in others.items()),
        expected=", ".join(sorted(desired)),
        hint=hints.restart_istiod(facts, name),
    )
    return Finding(
        few(sorted(where for fingerprints in others.values() for where in fingerprints), _MOST_NAMED), problem
    )


def _no_config_map(facts: Facts, name: str, config_map: str) -> Problem:
    return Problem(
        code=Code.NAMESPACE_ROOTS_MISSING,
        message="no namespace has the root certificates: pods with a proxy do not start",
        seen=f"no ConfigMap {config_map} in any namespace",
        expected=f"a ConfigMap {config_map} in each namespace, written by istiod",
        hint=hints.restart_istiod(facts, name),
    )


def _certificates(bundle: str) -> tuple[x509.Certificate, ...]:
    """The certificates of a namespace's bundle; empty if it cannot be read."""
    try:
        return load_certificates(NamedPem(ROOT_CERT, bundle.encode()))
    except ProblemError:
        return ()


def _proxies(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    held = facts.proxies[name]
    if silent := _all_silent(held):
        return silent
    bad = {proxy: fault for proxy in held.proxies if (fault := _faulty(facts, name, proxy))}
    if not bad:
        return Finding(held.coverage)
    problem = Problem(
        code=Code.PROXY_TRUSTS_OLD_ROOT,
        message="some proxies have outdated certificates or root certificates",
        seen=f"{few((f'{proxy.name}: {fault}' for proxy, fault in bad.items()), _MOST_NAMED)} "
        f"({held.coverage})",
        expected=f"a valid certificate under root {cas(facts)[name].root}, and the root certificate of every "
        "cluster",
        hint=restart_command(name, bad),
    )
    return Finding(few((proxy.name for proxy in bad), _MOST_NAMED), problem)


def _all_silent(held: ProxiesHold) -> Finding | None:
    """An unknown Finding if no proxy responded; else None."""
    if held.proxies or not held.silent:
        return None
    return Finding(f"{held.coverage}: {next(iter(held.silent.values())).seen}", unknown=True)


def _faulty(facts: Facts, name: str, proxy: ProxyTrust) -> str:
    """The fault of a proxy's certificates; empty if there is none, or it has no certificates yet."""
    members = cas(facts)
    own = members[name]
    if proxy.roots:
        trusted = frozenset(map(fingerprint, proxy.roots))
        # ONE_ROOT reports a root that the cluster's own CA does not trust.
        lacking = {ca.root for ca in members.values()} & own.trusted - trusted
        if lacking:
            return f"trusts {', '.join(sorted(trusted))}, but not {', '.join(sorted(lacking))}"
    if proxy.chain:
        leaf, now = proxy.chain[0], moment(facts, name)
        if now and leaf.not_valid_after_utc < now:
            return f"its certificate expired {leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
        if leads_to(leaf, (*proxy.chain[1:], *own.path), own.roots) is None:
            return (
                f"its certificate was issued by {proxy.chain[-1].issuer.rfc4514_string()}, under another root"
            )
    return ""


def _workloads(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    ca, held = cas(facts)[name], facts.proxies[name]
    if silent := _all_silent(held):
        return silent
    old = [proxy for proxy in held.proxies if _older(facts, name, ca, proxy)]
    if not old:
        return Finding(held.coverage)
    problem = Problem(
        code=Code.WORKLOAD_CERTIFICATE_OLDER,
        message="some workload certificates were issued by a former CA of the cluster",
        seen=f"{few((proxy.name for proxy in old), _MOST_NAMED)} ({held.coverage})",
        expected=f"signed by {common_name(ca.certificate)}, key {key_id(ca.certificate)}; proxies renew "
        "their certificates within a day",
        hint=restart_command(name, old),
    )
    return Finding(few((proxy.name for proxy in old), _MOST_NAMED), problem)


def _older(facts: Facts, name: str, ca: Signing, proxy: ProxyTrust) -> bool:
    if not proxy.chain or _faulty(facts, name, proxy):
        return False  # PROXIES reports it
    return not issued_by(proxy.chain[0], ca.certificate)


def _outlive(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    ca, held = cas(facts)[name], facts.proxies[name]
    if silent := _all_silent(held):
        return silent
    ends = {proxy: end for proxy in held.proxies if (end := _end_of_signer(proxy, ca.roots))}
    late = {proxy: end for proxy, end in ends.items() if end < proxy.chain[0].not_valid_after_utc}
    if not late:
        return Finding(held.coverage)
    shown = (
        f"{proxy.name}: {proxy.chain[0].not_valid_after_utc:{_MINUTE}} UTC, its CA: {end:{_MINUTE}} UTC"
        for proxy, end in late.items()
    )
    problem = Problem(
        code=Code.WORKLOAD_OUTLIVES_CA,
        message="some workload certificates expire after their CA",
        seen=f"{few(shown, _MOST_NAMED)} ({held.coverage})",
        expected="a CA that is valid longer than the certificates it issues: peers reject them when it "
        "expires",
        hint=_longer_ca(facts, name, late),
    )
    return Finding(few((proxy.name for proxy in late), _MOST_NAMED), problem)


_MINUTE = "%Y-%m-%d %H:%M"


def _end_of_signer(proxy: ProxyTrust, roots: Sequence[x509.Certificate]) -> datetime | None:
    """When the first CA in a proxy's chain expires; None if the chain is incomplete."""
    try:
        above_it = path_to_root(proxy.chain[0], proxy.chain[1:], roots)[1:] if proxy.chain else ()
    except ProblemError:
        return None  # PROXIES reports it
    return min((certificate.not_valid_after_utc for certificate in above_it), default=None)


def _longer_ca(facts: Facts, name: str, late: Mapping[ProxyTrust, datetime]) -> Hint:
    path, now = cas(facts)[name].path, moment(facts, name)
    needed = max(proxy.chain[0].not_valid_after_utc for proxy in late)
    if path and min(certificate.not_valid_after_utc for certificate in path) >= needed:
        return restart_command(name, late)  # the cluster has another CA now
    own, above_it = path[:1], path[1:]
    if own and now and own[0].not_valid_after_utc - now <= SOON and _all_last(above_it, needed):
        return hints.install(facts)
    return Advice(f"replace the CA before it expires, or shorten workload certificates: {SETTING}")


def _all_last(path: Sequence[x509.Certificate], until: datetime) -> bool:
    return all(certificate.not_valid_after_utc >= until for certificate in path)


CHECKS = (
    Check(
        id=SIGNS,
        title="CA used by istiod",
        passes="istiod uses the CA from Secret cacerts",
        looks_at="the serving certificate of each istiod, through a port-forward",
        usual_cause="`cacerts` was replaced, and istiod still uses the old CA",
        fix=hints.RESTART_ISTIOD,
        evaluate=_signs,
        needs=(CACERTS, ISTIOD),
        because=(CLOCK, ROOT_VALID, VALID, ONE_ROOT),
        reads=(Observation.SERVING,),
        docs="troubleshooting.md#istiod-signs-with-another-ca",
    ),
    Check(
        id=NAMESPACES,
        title="root certificates in namespaces",
        passes="all namespaces have the root certificates from Secret cacerts",
        looks_at=(
            "the ConfigMap `istio-ca-root-cert` (or what `global.trustBundleName` names) of every namespace"
        ),
        usual_cause="istiod was down, or had no permission to write ConfigMaps, when the root changed",
        fix=hints.RESTART_ISTIOD,
        evaluate=_namespaces,
        needs=(CACERTS, ISTIOD),
        because=(CLOCK, ROOT_VALID, VALID, ONE_ROOT, SIGNS),
        reads=(Observation.DISTRIBUTED_ROOTS,),
        docs="troubleshooting.md#namespace-roots-differ",
    ),
    Check(
        id=PROXIES,
        title="certificates of proxies",
        passes="proxies trust the mesh's root CA and have valid certificates",
        looks_at="the certificates and roots in the Envoys of gateways and of the oldest sidecars",
        usual_cause="the pods started before the root changed",
        fix="restart the listed workloads",
        evaluate=_proxies,
        needs=(CACERTS, ISTIOD),
        because=(CLOCK, ROOT_VALID, VALID, ONE_ROOT, SIGNS, NAMESPACES),
        reads=(Observation.PROXIES,),
        docs="troubleshooting.md#proxy-trusts-old-root",
    ),
    Check(
        id="trust.workloads",
        title="issuer of workload certificates",
        passes="workload certificates are issued by the current CA",
        looks_at="the issuers of the same proxies' certificates",
        usual_cause="`cacerts` changed, and their certificates have not been renewed yet",
        fix="they are renewed within a day, or by a restart",
        severity=Severity.WARNING,
        evaluate=_workloads,
        needs=(SIGNS, PROXIES),
        reads=(Observation.PROXIES,),
        docs="troubleshooting.md#proxy-trusts-old-root",
    ),
    Check(
        id="trust.workloads-end",
        title="expiry of workload certificates",
        passes="workload certificates expire before their CA",
        looks_at="the expiry dates of the same proxies' certificates and of the CAs in their chains",
        usual_cause="the CA expires soon, or `SECRET_TTL` is longer than its remaining validity",
        fix="renew the CA in time, or shorten `SECRET_TTL`",
        severity=Severity.WARNING,
        evaluate=_outlive,
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
    """The trust domain of each istiod; that of mesh.yaml where there is no istiod."""
    found = {}
    for name, desired in _desired(facts).items():
        config_map = config_map_name(facts.mesh_of(name).revision)
        found[name] = in_config_map(facts.observed[name].find(objects.CONFIG_MAP, config_map)) or desired
    return found


def _judge(domains: Mapping[str, TrustDomain]) -> Finding:
    seen = "; ".join(f"{name}: {domain}" for name, domain in domains.items())
    unaccepted = not_accepted(domains)
    if not unaccepted:
        return Finding(", ".join(dict.fromkeys(map(str, domains.values()))))
    first, peers = next(iter(unaccepted.items()))
    problem = Problem(
        code=Code.TRUST_DOMAINS_DIFFER,
        message=f"workloads of {first} reject those of {', '.join(peers)}: trust domains differ",
        seen=seen,
        expected="one trust domain, or the others in meshConfig.trustDomainAliases",
        hint=Advice(
            "set the same values.meshConfig.trustDomain for all clusters in mesh.yaml, or list the other "
            "trust domains in values.meshConfig.trustDomainAliases"
        ),
    )
    return Finding(seen, problem)


TRUST_DOMAINS = (
    Check(
        id=DOMAINS,
        title="trust domains",
        passes="trust domains are equal or aliases of each other",
        looks_at="`trustDomain` and `trustDomainAliases` of each cluster's MeshConfig",
        usual_cause="mesh.yaml sets different trust domains for the clusters",
        fix="set one `values.meshConfig.trustDomain`, or list the others in `trustDomainAliases`",
        scope=Scope.MESH,
        evaluate=lambda facts, _target: _judge(_live(facts)),
        docs="troubleshooting.md#trust-domains-differ",
    ),
)
"""For `verify`: trust domains of the running istiods."""

BEFORE_AN_INSTALL = tuple(
    replace(check, evaluate=lambda facts, _target: _judge(_desired(facts))) for check in TRUST_DOMAINS
)
"""For `install`: trust domains after the install."""
