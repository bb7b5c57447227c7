"""The way to a gateway as it was tried from here, and what each stage of it tells. Pure.

The stages: the address resolves; TCP gets to the ports; the gateway says that it is ready; a TLS handshake
through 15443 ends at a workload of the cluster, which shows its certificate; the workload accepts a
certificate of the mesh's. In TLS 1.3 the server shows its certificate before it requests the client's, so
that it is known who responds, without any key.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509.oid import NameOID

from istio_mc.domain.pki.pem import fingerprint, issued_by
from istio_mc.domain.pki.signing import untrusted_members

if TYPE_CHECKING:
    from collections.abc import Mapping

    from istio_mc.domain.istio.services import Meshed
    from istio_mc.domain.pki.signing import Signing

_OK = 200
_CLOUDS_OWN = tuple(
    ipaddress.ip_network(text)
    for text in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "169.254.0.0/16",
        "fc00::/7",
        "fe80::/10",
    )
)
"""Ranges that mean another network in each place: RFC 1918, 6598, 3927, 4193, 4291. Not the rest of what
Python calls private: the ranges for documents and tests are routed where somebody routes them."""


class Outcome(StrEnum):
    """What came of a stage."""

    OK = "ok"
    UNRESOLVED = "unresolved"
    REFUSED = "refused"
    TIMED_OUT = "timed-out"
    UNREACHABLE = "unreachable"
    UNKNOWN = "unknown"
    NOT_READY = "not-ready"
    NOTHING_MESHED = "nothing-meshed"
    CLOSED = "closed"
    NOT_TLS = "not-tls"
    OTHER_CLUSTER = "other-cluster"
    OTHER_ROOT = "other-root"
    FORMER_CA = "former-ca"
    NOT_VALID = "not-valid"
    REJECTED = "rejected"
    NO_KEY = "no-key"


@dataclass(frozen=True, slots=True)
class Reach:
    """One TCP connection that was tried.

    Attributes:
        no_way: Whether it was this machine itself that knows no way to the address.
    """

    port: int
    outcome: Outcome
    detail: str = ""
    no_route: bool = False


@dataclass(frozen=True, slots=True)
class Health:
    """What the gateway's status port answered."""

    status: int | None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Handshake:
    """One TLS handshake that was begun for a service.

    Attributes:
        outcome: OK: a certificate was shown; else UNREACHABLE, REFUSED, TIMED_OUT, CLOSED or NOT_TLS.
        unverified: Why it does not lead to one of the mesh's roots, in OpenSSL's words; empty where it does.
    """

    service: Meshed
    outcome: Outcome
    detail: str = ""
    leaf: bytes | None = field(default=None, repr=False)
    unverified: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a call with a certificate of the mesh's.

    Attributes:
        outcome: OK: the workload took it; else REJECTED, CLOSED, TIMED_OUT, REFUSED or UNREACHABLE.
    """

    outcome: Outcome
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Trace:
    """All that was tried with one address of a gateway.

    Attributes:
        address: As the other clusters' istiods take it: an IP address or a host name.
        handshakes: With which services, in the order they were tried.
        issuer: The cluster whose CA made the certificate for the call; empty: no CA's key was at hand.
    """

    address: str
    ip: str = ""
    unresolved: str = ""
    mesh: Reach | None = None
    status: Reach | None = None
    health: Health | None = None
    handshakes: tuple[Handshake, ...] = ()
    answer: Answer | None = None
    issuer: str = ""

    @property
    def name(self) -> str:
        """How the address is called: with the IP address behind a host name."""
        return self.address if self.ip in ("", self.address) else f"{self.address} ({self.ip})"


@dataclass(frozen=True, slots=True)
class Judged:
    """What a stage tells of an address.

    Attributes:
        seen: In a few words, the address not named; empty where that says all.
        who: The cluster that answered in the place of the right one.
    """

    outcome: Outcome
    seen: str
    issuer: str = ""


@dataclass(frozen=True, slots=True)
class DataPath:
    """The ways to a cluster's gateway."""

    traces: tuple[Trace, ...] = ()
    shown: tuple[Judged, ...] = ()


def is_clouds_own(ip: str) -> bool:
    """Whether an address may be one of a cloud's own network, which this machine has no part in."""
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return False
    return any(address in network for network in _CLOUDS_OWN if network.version == address.version)


def resolved(trace: Trace) -> Judged:
    """Whether the address stands for an IP address."""
    if trace.ip:
        return Judged(Outcome.OK, "")
    return Judged(Outcome.UNRESOLVED, trace.unresolved)


def reached(trace: Trace) -> Judged:
    """Whether TCP gets to the port for the other clusters."""
    mesh, status = trace.mesh, trace.status
    if mesh is None or status is None:
        return resolved(trace)
    if mesh.outcome is Outcome.OK:
        return Judged(Outcome.OK, f"TCP to {mesh.port}")
    if status.outcome is not Outcome.OK and (doubt := _why_undecided(trace.ip, mesh)):
        return Judged(Outcome.UNKNOWN, f"unknown from here: {doubt}")
    return Judged(mesh.outcome, f"{_port(mesh)}; {_port(status)}: {_why(mesh, status)}")


def ready(trace: Trace) -> Judged:
    """Whether the gateway says that it is ready."""
    if trace.status is None:
        return resolved(trace)
    if trace.health is None:
        return Judged(Outcome.UNKNOWN, f"unknown: {_port(trace.status)}")
    if trace.health.status == _OK:
        return Judged(Outcome.OK, "ready")
    health = f"HTTP status {trace.health.status}" if trace.health.status else trace.health.detail
    return Judged(Outcome.NOT_READY, f"{health} for GET /healthz/ready on {trace.status.port}")


def shown(trace: Trace, context: str, members: Mapping[str, Signing]) -> Judged:
    """Whether it was the cluster's own workload that answered, under the mesh's root."""
    if trace.mesh is None or trace.mesh.outcome is not Outcome.OK:
        return Judged(Outcome.UNKNOWN, "unknown: not reached")
    if not trace.handshakes:
        return Judged(Outcome.NOTHING_MESHED, "no service of this cluster has a ready pod with a sidecar")
    answered = [handshake for handshake in trace.handshakes if handshake.leaf]
    if not answered:
        last = trace.handshakes[-1]
        names = ", ".join(dict.fromkeys(str(handshake.service) for handshake in trace.handshakes))
        return Judged(last.outcome, f"{last.detail}, requested {names}")
    if context not in members:
        return Judged(Outcome.UNKNOWN, "unknown: its Secret cacerts cannot be read")
    judged = [_judge(handshake, context, members) for handshake in answered]
    # Where a gateway forwards to others too, some connections end where they should.
    return next((one for one in judged if one.outcome is not Outcome.OK), judged[0])


def accepted(trace: Trace) -> Judged:
    """Whether the workload takes a certificate of the mesh's."""
    if trace.answer is None:
        if trace.issuer:
            return Judged(Outcome.UNKNOWN, "unknown: no workload responded")
        return Judged(Outcome.NO_KEY, "unknown: no CA key is available")
    by = f"a certificate of {trace.issuer}'s CA"
    if trace.answer.outcome is Outcome.OK:
        return Judged(Outcome.OK, f"{by} accepted: {trace.answer.detail}")
    if trace.answer.outcome is Outcome.TIMED_OUT:  # a refusal of the certificate comes at once
        return Judged(Outcome.UNKNOWN, f"unknown: {by} was not refused, and there was {trace.answer.detail}")
    return Judged(trace.answer.outcome, f"{by}: {trace.answer.detail}")


def _judge(handshake: Handshake, context: str, members: Mapping[str, Signing]) -> Judged:
    leaf = x509.load_der_x509_certificate(handshake.leaf or b"")
    issuers = sorted(members, key=lambda name: name != context)  # where two have one CA, it is its own
    issuer = next((name for name in issuers if issued_by(leaf, members[name].certificate)), None)
    leaf_text = f"{handshake.service}, certificate issued by {_issuer(leaf)}"
    if issuer is None:
        if handshake.unverified:
            return Judged(
                Outcome.OTHER_ROOT, f"{leaf_text}, not under the mesh's root: {handshake.unverified}"
            )
        return Judged(
            Outcome.FORMER_CA, f"{leaf_text}, under the mesh's root, but not by a current CA of a cluster"
        )
    if issuer != context:
        return Judged(Outcome.OTHER_CLUSTER, f"{leaf_text}: that is {issuer}", issuer)
    distrusting = [name for name, other in members.items() if not _leads(members[context], other)]
    # One that stands outside the mesh's trust is at fault itself, and not those that it does not trust.
    outside = untrusted_members(members) if distrusting else {}
    if context not in outside:
        distrusting = [name for name in distrusting if name not in outside]
    if distrusting:
        root = members[context].path[-1:] or members[context].roots[:1]
        prints = ", ".join(map(fingerprint, root))
        return Judged(
            Outcome.OTHER_ROOT, f"{leaf_text}, root {prints}, which {', '.join(distrusting)} does not trust"
        )
    if handshake.unverified:
        return Judged(Outcome.NOT_VALID, f"{leaf_text}: {handshake.unverified}")
    return Judged(Outcome.OK, leaf_text)


def _leads(one: Signing, other: Signing) -> bool:
    return bool(one.path) and one.path[-1] in other.roots


def _issuer(leaf: x509.Certificate) -> str:
    # Istio's own CA, where it signs with one that it made itself, names an organisation and no common name.
    organisation = leaf.issuer.rfc4514_string()
    names = leaf.issuer.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else organisation


def _why_undecided(ip: str, mesh: Reach) -> str:
    """Why this machine is no judge of an address that it does not get to; empty where it is."""
    if is_clouds_own(ip):
        return f"{ip} is an address of a private network, and {_port(mesh)}"
    if mesh.no_route and ":" in ip:
        return f"this machine has no route to IPv6 addresses ({mesh.detail})"
    return ""


def _port(reach: Reach) -> str:
    what = {
        Outcome.OK: "responds",
        Outcome.REFUSED: "is refused",
        Outcome.TIMED_OUT: "times out",
        Outcome.UNREACHABLE: f"is not reachable ({reach.detail})",
    }
    return f"{reach.port} {what[reach.outcome]}"


def _why(mesh: Reach, status: Reach) -> str:
    if mesh.outcome is Outcome.UNREACHABLE:
        return "no route to this address"
    if mesh.outcome is Outcome.REFUSED:
        if status.outcome is Outcome.OK:
            return f"the gateway is there, but nothing listens on {mesh.port}"
        return "the address exists, but no gateway listens on it"
    if status.outcome is Outcome.OK:
        return f"a firewall drops {mesh.port}"
    if status.outcome is Outcome.REFUSED:
        return f"a firewall drops {mesh.port}, and no gateway listens"
    return "a firewall drops both, or the address does not exist"
