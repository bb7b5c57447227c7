"""Certificates that were read in a mesh, each once, with all places that contain it."""

from __future__ import annotations

import base64
import re
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509.oid import NameOID

from istio_mc.domain.istio.proxies import ProxyTrust, Serving, root_config_map
from istio_mc.domain.kube import objects
from istio_mc.domain.mesh import EAST_WEST_GATEWAY, SYSTEM_NAMESPACE
from istio_mc.domain.pki.cacerts import CA_CERT, CERT_CHAIN, ROOT_CERT
from istio_mc.domain.pki.pem import NamedPem, basic_constraints, common_name, facts, load_certificates
from istio_mc.domain.problem import ProblemError
from istio_mc.domain.traffic.data_path import Handshake
from istio_mc.present.html.markup import State
from istio_mc.present.output.language import words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from istio_mc.checks.model import Facts
    from istio_mc.domain.observed import Observed
    from istio_mc.domain.pki.pem import CertificateFacts

ROOT, CA, ISTIOD, GATEWAY, WORKLOAD = "root CA", "cluster's CA", "istiod", "gateway", "workload"
_ORDER = (ROOT, CA, ISTIOD, GATEWAY, WORKLOAD)

CA_WARNING = timedelta(days=90)
"""As `istio-mc ca verify` has it."""

_SPIFFE = re.compile(r"spiffe://[^/]+/ns/([^/]+)/sa/([^/]+)")

LEAF_WARNING = 0.25
"""Agents ask for a new certificate at half of its life: one with a quarter left is overdue."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One certificate."""

    name: str
    role: str
    facts: CertificateFacts
    holders: tuple[str, ...]
    state: State


def certificates(read: Facts, now: datetime) -> list[Shown]:
    """All that the facts hold, by role; of one role, those first that end first."""
    by_fingerprint: dict[str, Shown] = {}
    for role, holder, certificate in _presented(read):
        one = _shown(certificate, role, holder, now)
        known = by_fingerprint.get(one.facts.fingerprint)
        if known and holder not in known.holders:
            one = replace(known, holders=(*known.holders, holder))
        by_fingerprint[one.facts.fingerprint] = known if known and holder in known.holders else one
    return sorted(
        by_fingerprint.values(), key=lambda one: (_ORDER.index(one.role), one.facts.not_after, one.name)
    )


def _presented(read: Facts) -> Iterator[tuple[str, str, x509.Certificate]]:
    for context, observed in read.observed.items():
        yield from _of_objects(context, observed, observed.own(read.mesh).istiod)
    for field in fields(read):
        if field.name != "observed":
            yield from _within(getattr(read, field.name), "")


def _of_objects(context: str, observed: Observed, istiod: str) -> Iterator[tuple[str, str, x509.Certificate]]:
    secret = observed.find(objects.SECRET, "cacerts") or {}
    for key in (ROOT_CERT, CERT_CHAIN, CA_CERT, "ca.crt", "tls.crt"):
        if encoded := (secret.get("data") or {}).get(key):
            yield from _authorities(_decoded(encoded), f"{context}: cacerts")
    config_map = root_config_map(observed.find(objects.DEPLOYMENT, istiod))
    given = observed.find(objects.CONFIG_MAP, config_map) or {}
    for text in (given.get("data") or {}).values():
        yield from _authorities(str(text).encode(), f"{context}: {config_map}")


def _authorities(data: bytes, holder: str) -> Iterator[tuple[str, str, x509.Certificate]]:
    with suppress(ProblemError):  # a check tells of what cannot be read
        for certificate in load_certificates(NamedPem(holder, data)):
            yield _role(certificate, WORKLOAD), holder, certificate


def _within(value: object, context: str) -> Iterator[tuple[str, str, x509.Certificate]]:
    """Whatever in the facts holds certificates: so an observation that comes later is shown too."""
    if isinstance(value, Serving | ProxyTrust | Handshake):
        yield from _held(value, context)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _within(inner, context or str(key))
    elif isinstance(value, tuple | list):
        for inner in value:
            yield from _within(inner, context)
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from _within(getattr(value, field.name), context)


def _held(
    value: Serving | ProxyTrust | Handshake, context: str
) -> Iterator[tuple[str, str, x509.Certificate]]:
    if isinstance(value, Serving):
        yield ISTIOD, words("{context}: {pod} serves it", context=context, pod=value.pod), value.certificate
    elif isinstance(value, Handshake):
        with suppress(ValueError):
            certificate = x509.load_der_x509_certificate(value.leaf or b"")
            yield (
                _role(certificate, WORKLOAD),
                words("{context}: shown by {service}", context=context, service=value.service),
                certificate,
            )
    else:
        is_gateway = value.namespace == SYSTEM_NAMESPACE and value.pod.startswith(EAST_WEST_GATEWAY)
        leaf = GATEWAY if is_gateway else WORKLOAD
        for certificate in (*value.chain, *value.roots):
            yield _role(certificate, leaf), f"{context}: {value.name}", certificate


def _role(certificate: x509.Certificate, leaf: str) -> str:
    if not basic_constraints(certificate).ca:
        return leaf
    return ROOT if certificate.subject == certificate.issuer else CA


def _shown(certificate: x509.Certificate, role: str, holder: str, now: datetime) -> Shown:
    details = facts(certificate)
    return Shown(_named(certificate, details, holder), role, details, (holder,), _state(details, role, now))


def _named(certificate: x509.Certificate, details: CertificateFacts, holder: str) -> str:
    """The common name; of one without, its cluster, and whom it is for."""
    if certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME):
        return common_name(certificate)
    first = details.names[0] if details.names else details.serial
    identity = _SPIFFE.fullmatch(first)
    return f"{holder.partition(':')[0]}: {f'{identity[1]}/{identity[2]}' if identity else first}"


def _state(details: CertificateFacts, role: str, now: datetime) -> State:
    if not details.not_before <= now <= details.not_after:
        return State.FAILED
    rest = details.not_after - now
    if role in (ROOT, CA):
        return State.WARNING if rest <= CA_WARNING else State.OK
    return State.WARNING if rest < (details.not_after - details.not_before) * LEAF_WARNING else State.OK


def _decoded(encoded: str) -> bytes:
    with suppress(ValueError):
        return base64.b64decode(encoded)
    return b""


def soonest(shown: Iterable[Shown], most: int) -> list[Shown]:
    """The authorities, and of the others those that end first, at most so many in all."""
    shown = list(shown)
    if len(shown) <= most:
        return shown
    by_end = sorted(shown, key=lambda one: (one.state is not State.FAILED, one.facts.not_after))
    roots = [one for one in shown if one.role == ROOT]
    kept = {one.facts.fingerprint for one in [*roots, *by_end][:most]}
    return [one for one in shown if one.facts.fingerprint in kept]
