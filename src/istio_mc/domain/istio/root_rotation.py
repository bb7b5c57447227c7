"""Another root CA for a mesh that serves: its phases, and what each requires of clusters and proxies. Pure.

1. TRUST: every cluster trusts the old root and the new one, and signs under the old one.
2. SIGN: every istiod signs under the new root.
3. RENEW: every proxy has a certificate under the new root. A proxy renews its certificate when the roots that
   istiod distributes change in their bytes (security/pkg/nodeagent/cache/secretcache.go,
   UpdateConfigTrustBundle, Istio 1.31.0), and SIGN does not change them. So they get the new root in a second
   form: the same name and key, another serial number. It adds no trust.
   Where the key of that root is not at hand, another certificate does the same: one whose key no one has.
4. FINISH: every cluster trusts the new root alone.

Clusters under several roots go to one of these by the same phases: TRUST adds the roots of all, and clusters
that are under that root already keep their CA.

Each change of the roots adds some, or removes some: istiod refuses others while it runs (pilot/pkg/bootstrap/
istio_ca.go, handleEvent). Up to 1.29 it compares bytes, so that what stays has to keep its form.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from istio_mc.domain.kube.objects import environment
from istio_mc.domain.pki.chain import as_go
from istio_mc.domain.pki.pem import (
    NamedPem,
    attempt,
    dump_certificates,
    fingerprint,
    load_first_certificate,
    load_roots,
)
from istio_mc.domain.pki.signing import leads_to

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cryptography import x509

    from istio_mc.domain.istio.proxies import ProxyTrust
    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.pki.cacerts import CaCerts
    from istio_mc.domain.pki.signing import Signing


class Phase(StrEnum):
    """A phase of the change, by what it brings about."""

    TRUST = "trust both roots"
    SIGN = "sign under the new root"
    RENEW = "renew certificates"
    FINISH = "trust the new root alone"


@dataclass(frozen=True, slots=True)
class Target:
    """The root that a mesh changes to, by its certificates.

    Attributes:
        twin: The same name and key with another serial number, or a certificate whose key no one has.
        others: Roots that clusters sign under, and all have to trust until no cluster does.
        name: What messages call it.
    """

    certificate: x509.Certificate
    twin: x509.Certificate
    others: tuple[x509.Certificate, ...] = ()
    name: str = "new root"

    @property
    def fingerprint(self) -> str:
        """SHA-256 of its certificate."""
        return fingerprint(self.certificate)

    @property
    def at_first(self) -> tuple[x509.Certificate, ...]:
        """The roots that every cluster has to trust before one of them gets another CA."""
        return (self.certificate, *self.others)


@dataclass(frozen=True, slots=True)
class NewRoot:
    """The root that a mesh changes to.

    Attributes:
        cas: The CA of each cluster below it, by cluster ID.
    """

    target: Target
    cas: Mapping[str, CaCerts] = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of its certificate."""
        return self.target.fingerprint


def is_at(phase: Phase, own: Signing, target: Target) -> bool:
    """Whether a cluster has what a phase gives it, or what a later one does."""
    new, twin = target.fingerprint, fingerprint(target.twin)
    signs = own.root in (new, twin)
    match phase:
        case Phase.TRUST:
            return own.trusted.issuperset(map(fingerprint, target.at_first))
        case Phase.SIGN:
            return signs
        case Phase.RENEW:
            return signs and (twin in own.trusted or own.trusted == {new})
        case Phase.FINISH:
            return signs and own.trusted == {new}


def phase_of(clusters: Iterable[Signing], target: Target) -> Phase | None:
    """The first phase that a cluster lacks; None: all have the new root alone."""
    clusters = tuple(clusters)
    return next((one for one in Phase if not all(is_at(one, each, target) for each in clusters)), None)


def desired(phase: Phase, live: CaCerts, new: CaCerts, target: Target) -> CaCerts:
    """The CA of a cluster in a phase; roots are appended, and those that stay keep their bytes."""
    match phase:
        case Phase.TRUST:
            return replace(live, root_cert=_with(live.root_cert, *target.at_first))
        case Phase.SIGN:
            return replace(new, root_cert=live.root_cert)
        case Phase.RENEW:
            return replace(new, root_cert=_with(live.root_cert, target.twin))
        case Phase.FINISH:
            return replace(new, root_cert=_alone(live.root_cert, target.certificate))


def several_roots(clusters: Iterable[Signing]) -> bool:
    """Whether a cluster trusts more than one root: a change of the root has begun, and has not ended."""
    return any(len({_key(root) for root in own.roots}) > 1 for own in clusters)


def next_root(clusters: Iterable[Signing]) -> str:
    """SHA-256 of the root that was added last, of clusters whose root changes; empty: there is none."""
    longest = max((own.roots for own in clusters), key=len, default=())
    return fingerprint(_forms(longest, longest[-1])[0]) if longest else ""


def root_as_signed(clusters: Mapping[str, tuple[Signing, CaCerts]]) -> NewRoot | None:
    """The root that all clusters sign under, with the CAs that they have; None: they sign under several.

    It is what they can be brought to with nothing but their own Secrets: where no cluster signs under the new
    root yet, that reverts the change; where all do, it finishes it. Where no cluster has its second form, the
    root itself takes its place: nothing is added then, and proxies are waited for until they have renewed.

    Args:
        clusters: What each cluster has, by its ID.
    """
    paths = [own.path for own, _ in clusters.values()]
    if not all(paths) or len({_key(path[-1]) for path in paths}) != 1:
        return None
    roots = [root for own, _ in clusters.values() for root in own.roots]
    first, *more = dict.fromkeys(_forms(roots, paths[0][-1]))
    if not all(first in own.roots for own, _ in clusters.values()):
        return None
    target = Target(first, more[0] if more else first, name="root")
    return NewRoot(target, {name: ca for name, (_, ca) in clusters.items()})


def _key(root: x509.Certificate) -> bytes:
    return root.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _forms(roots: Iterable[x509.Certificate], root: x509.Certificate) -> list[x509.Certificate]:
    """A root in all forms that are among some: those with its key."""
    return [one for one in roots if _key(one) == _key(root)]


def _with(roots: bytes, *more: x509.Certificate) -> bytes:
    there = load_roots(NamedPem("root-cert.pem", roots))
    added = [one for one in more if one not in there]
    if not added:
        return roots
    return roots + (b"" if roots.endswith(b"\n") else b"\n") + dump_certificates(added)


_BLOCK = re.compile(
    rb"-----BEGIN [^\n]*?CERTIFICATE-----.*?-----END [^\n]*?CERTIFICATE-----[ \t]*\r?\n?", re.DOTALL
)


def _alone(roots: bytes, certificate: x509.Certificate) -> bytes:
    """One of several roots, in the form that it has among them."""
    usual = dump_certificates([certificate])
    if usual in roots:
        return usual
    for block in _BLOCK.findall(roots):
        if attempt(load_first_certificate, NamedPem("root-cert.pem", block), []) == certificate:
            return bytes(block)
    return usual


def mistaken_for(own: Signing, other: x509.Certificate) -> bool:
    """Whether a proxy that trusts both may take another root for the one that a cluster's CA is under.

    Envoy looks for an issuer by name and key identifier, takes the first that fits, and tries no second one
    (BoringSSL, crypto/x509/x509_lu.cc, X509_STORE_CTX_get1_issuer).
    """
    issuer = own.path[-1]
    if other.subject != issuer.subject or other.public_key() == issuer.public_key():
        return False
    named = as_go(own.path[-2]).issuer_key_id if own.path[1:] else as_go(issuer).key_id
    theirs = as_go(other).key_id
    return not named or not theirs or named == theirs


def lacking(phase: Phase, proxy: ProxyTrust, target: Target) -> str:
    """What a proxy lacks of a phase; empty: nothing, or it serves nothing yet."""
    trusted = set(map(fingerprint, proxy.roots))
    if not proxy.roots or not proxy.chain:
        return ""
    if target.fingerprint not in trusted:
        return f"does not trust the {target.name}"
    if phase is Phase.TRUST and not trusted.issuperset(map(fingerprint, target.others)):
        return "does not trust the roots of all clusters"
    if phase in (Phase.RENEW, Phase.FINISH):
        anchors = (target.certificate, target.twin)
        if leads_to(proxy.chain[0], proxy.chain[1:], anchors) is None:
            return "has a certificate under another root"
    if phase is Phase.FINISH and trusted != {target.fingerprint}:
        return "still trusts another root"
    return ""


XDS_AGENT, MULTI_ROOT = "PROXY_CONFIG_XDS_AGENT", "ISTIO_MULTIROOT_MESH"
"""Variables of proxies and of istiod without which they do not take up another root."""


def does_not_follow(pod: Object) -> bool:
    """Whether the proxy of a pod takes up another root only when it is restarted."""
    containers = [
        container
        for kind in ("initContainers", "containers")
        for container in (pod.get("spec") or {}).get(kind) or []
        if container.get("name") == "istio-proxy"
    ]
    values = {one["name"]: one.get("value") for container in containers for one in container.get("env") or []}
    return bool(containers) and values.get(XDS_AGENT) != "true"


def may_have_several_roots(istiod: Object) -> bool:
    """Whether an istiod, by its Deployment, takes up another root while it runs."""
    return environment(istiod).get(MULTI_ROOT) == "true"
