"""Another root CA for a mesh that serves: its phases, and what each requires of clusters and proxies. Pure.

1. TRUST: every cluster trusts the old root and the new one, and signs under the old one.
2. SIGN: every istiod signs under the new root.
3. RENEW: every proxy has a certificate under the new root. A proxy renews its certificate when the roots that
   istiod distributes change in their bytes (security/pkg/nodeagent/cache/secretcache.go,
   UpdateConfigTrustBundle, Istio 1.31.0), and SIGN does not change them. So they get the new root in a second
   form: the same name and key, another serial number. It adds no trust.
4. FINISH: every cluster trusts the new root alone.

Each change of the roots adds some, or removes some: istiod refuses others while it runs (pilot/pkg/bootstrap/
istio_ca.go, handleEvent).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from istio_mc.domain.kube.objects import environment
from istio_mc.domain.pki.pem import NamedPem, dump_certificates, fingerprint, load_certificates
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
class NewRoot:
    """The root that a mesh changes to.

    Attributes:
        twin: The same name and key with another serial number.
        cas: The CA of each cluster below it, by cluster ID.
    """

    certificate: x509.Certificate
    twin: x509.Certificate
    cas: Mapping[str, CaCerts] = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of its certificate."""
        return fingerprint(self.certificate)


def is_at(phase: Phase, own: Signing, new: str, twin: str) -> bool:
    """Whether a cluster has what a phase gives it, or what a later one does.

    Args:
        new: SHA-256 of the new root.
        twin: SHA-256 of its second form.
    """
    signs = own.root in (new, twin)
    match phase:
        case Phase.TRUST:
            return new in own.trusted
        case Phase.SIGN:
            return signs
        case Phase.RENEW:
            return signs and (twin in own.trusted or own.trusted == {new})
        case Phase.FINISH:
            return signs and own.trusted == {new}


def phase_of(clusters: Iterable[Signing], new: str, twin: str) -> Phase | None:
    """The first phase that a cluster lacks; None: all have the new root alone."""
    clusters = tuple(clusters)
    return next((one for one in Phase if not all(is_at(one, each, new, twin) for each in clusters)), None)


def desired(phase: Phase, live: CaCerts, new: CaCerts, root: NewRoot) -> CaCerts:
    """The CA of a cluster in a phase; roots are appended: up to 1.29 istiod compares their bytes."""
    match phase:
        case Phase.TRUST:
            return replace(live, root_cert=_with(live.root_cert, root.certificate))
        case Phase.SIGN:
            return replace(new, root_cert=live.root_cert)
        case Phase.RENEW:
            return replace(new, root_cert=_with(live.root_cert, root.twin))
        case Phase.FINISH:
            return replace(new, root_cert=dump_certificates([root.certificate]))


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
    return NewRoot(first, more[0] if more else first, {name: ca for name, (_, ca) in clusters.items()})


def _key(root: x509.Certificate) -> bytes:
    return root.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _forms(roots: Iterable[x509.Certificate], root: x509.Certificate) -> list[x509.Certificate]:
    """A root in all forms that are among some: those with its key."""
    return [one for one in roots if _key(one) == _key(root)]


def _with(roots: bytes, more: x509.Certificate) -> bytes:
    if more in load_certificates(NamedPem("root-cert.pem", roots)):
        return roots
    return roots.rstrip(b"\n") + b"\n" + dump_certificates([more])


def lacking(phase: Phase, proxy: ProxyTrust, root: NewRoot) -> str:
    """What a proxy lacks of a phase; empty: nothing, or it serves nothing yet."""
    trusted = {fingerprint(one) for one in proxy.roots}
    if not proxy.roots or not proxy.chain:
        return ""
    if root.fingerprint not in trusted:
        return "does not trust the new root"
    if phase in (Phase.RENEW, Phase.FINISH):
        anchors = (root.certificate, root.twin)
        if leads_to(proxy.chain[0], proxy.chain[1:], anchors) is None:
            return "has a certificate under the old root"
    if phase is Phase.FINISH and trusted != {root.fingerprint}:
        return "still trusts the old root"
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
