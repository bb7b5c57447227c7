"""The path from this machine to a gateway, in stages: DNS, TCP, readiness, TLS; and its certificate."""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from cryptography import x509

from istio_mc.domain.gateway.address import is_ip
from istio_mc.domain.hint import Advice, kubectl
from istio_mc.domain.istio.operator import CROSS_NETWORK_PORT, STATUS_PORT
from istio_mc.domain.istio.proxies import Serving
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.pki.workload import trust_domain_of
from istio_mc.domain.problem import Code, ProblemError
from istio_mc.domain.traffic.data_path import Answer, Handshake, Health, Outcome, Reach, Trace
from istio_mc.gateways.host import temporary
from istio_mc.gateways.host.dns import Resolved, resolve
from istio_mc.gateways.host.parallel import all_of
from istio_mc.gateways.kube.retries import once_more

if TYPE_CHECKING:
    from collections.abc import Callable

    from istio_mc.domain.istio.services import Meshed
    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.pki.workload import Identity
    from istio_mc.gateways.kube.client import Kube
    from istio_mc.gateways.kube.stream import Tunnel


_XDS_PORT = 15012
_CHUNK = 64 * 1024


def serving(kube: Kube, pod: Object) -> Serving:
    """Reads the certificate that one istiod serves on its port for proxies, 15012, through a port-forward.

    The webhook port serves the same certificate (pilot/pkg/bootstrap/server.go, Istio 1.26.0).

    Raises:
        ProblemError: The port-forward failed, or the response is not TLS.
    """
    name = pod["metadata"]["name"]
    shown = kube.forward(
        SYSTEM_NAMESPACE,
        name,
        _XDS_PORT,
        lambda tunnel: leaf(tunnel, f"istiod.{SYSTEM_NAMESPACE}.svc", alpn="h2"),
    )
    try:
        return Serving(name, x509.load_der_x509_certificate(shown))
    except ValueError:
        raise ProblemError.of(
            code=Code.MALFORMED_ANSWER,
            cluster=kube.context,
            message=f"{name} serves port {_XDS_PORT} without a valid certificate",
            seen=f"{len(shown)} bytes",
            expected="an X.509 certificate",
            hint=Advice(kubectl(kube.context, "-n", SYSTEM_NAMESPACE, "logs", name)),
        ) from None


def leaf(tunnel: Tunnel, server_name: str, *, alpn: str) -> bytes:
    """Returns the peer's certificate of a connection, in DER.

    The handshake is in memory: a port-forward is not a socket that `ssl` could wrap. It is completed, so that
    the server does not log a broken handshake.

    Raises:
        OSError: The handshake failed (ssl.SSLError is a subclass), or the connection broke.
    """
    received, to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = _unverifying(alpn).wrap_bio(received, to_send, server_hostname=server_name)
    while True:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            tunnel.sendall(to_send.read())
            if data := tunnel.recv(_CHUNK):
                received.write(data)
            else:
                received.write_eof()
        else:
            tunnel.sendall(to_send.read())
            return tls.getpeercert(binary_form=True) or b""


@cache
def _unverifying(alpn: str) -> ssl.SSLContext:
    """The context of connections whose certificate the caller judges; shared by all, and never changed."""
    return _context(alpn)


def _context(alpn: str) -> ssl.SSLContext:
    """A context that verifies nothing; server names are for the gateway, as workloads have SPIFFE URIs."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([alpn])
    return context


T = TypeVar("T")

STAGE_S = 3.0
"""Seconds for each stage; a TCP connection whose first packet is lost takes one second more."""

_ALPN = "istio"
_QUIET_S = 1.0
_SERVICES = 4
_AGAIN = 5
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})")
_MOST = 4096
_AT_ONCE = 32
_CLOSED = "the connection was closed without data"
_NO_ROUTE = frozenset({errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


class _ClosedError(ConnectionAbortedError):
    """The peer closed the connection before it responded."""


@dataclass(frozen=True, slots=True)
class Route:
    """The addresses of a cluster's gateway, and the services to request from it.

    Attributes:
        services: Services behind it that have a meshed pod, the best one to request first.
        shared: Those of them that other clusters also have: requested repeatedly, because the gateway
            forwards to the clusters in turn.
    """

    addresses: tuple[str, ...]
    services: tuple[Meshed, ...] = ()
    shared: frozenset[Meshed] = frozenset()
    roots: str = field(default="", repr=False)
    port: int = CROSS_NETWORK_PORT
    status_port: int = STATUS_PORT


@dataclass(frozen=True, slots=True)
class Caller:
    """How to obtain a client certificate for a call.

    Attributes:
        folder: A private folder: OpenSSL reads the certificate from a file, which is deleted immediately.
    """

    issuer: str
    mint: Callable[[str], Identity]
    folder: Path


def trace(route: Route, caller: Caller | None = None, *, stage_s: float = STAGE_S) -> tuple[Trace, ...]:
    """Tests every address of a gateway, and every IP address of a host name; never raises for a fault."""
    names = {address: partial(_resolve, address, stage_s) for address in route.addresses}
    results = all_of(names, concurrency=_AT_ONCE)
    traces = {
        f"{address} {ip}": partial(_trace, route, caller, address, ip, stage_s)
        for address, resolution in results.items()
        for ip in resolution.addresses
    }
    lost = tuple(
        Trace(address, unresolved=resolution.fault)
        for address, resolution in results.items()
        if not resolution.addresses
    )
    return (*lost, *all_of(traces, concurrency=_AT_ONCE).values())


def _resolve(address: str, stage_s: float) -> Resolved:
    return Resolved(address, (address,)) if is_ip(address) else resolve(address, stage_s)


def _trace(route: Route, caller: Caller | None, address: str, ip: str, stage_s: float) -> Trace:
    ports = all_of(
        {
            "mesh": partial(_reach, ip, route.port, stage_s),
            "status": partial(_reach, ip, route.status_port, stage_s),
        }
    )
    mesh, status = ports["mesh"], ports["status"]
    health = _health(ip, route.status_port, stage_s) if status.outcome is Outcome.OK else None
    handshakes = _handshakes(ip, route, stage_s) if mesh.outcome is Outcome.OK else ()
    good = next((one for one in handshakes if one.leaf), None)
    answer = _call(ip, route.port, good, caller, stage_s) if good and caller else None
    issuer = caller.issuer if caller else ""
    return Trace(address, ip, "", mesh, status, health, handshakes, answer, issuer)


def _reach(ip: str, port: int, stage_s: float) -> Reach:
    try:
        _in_stage(ip, port, stage_s, lambda left_s: socket.create_connection((ip, port), left_s).close())
    except OSError as error:
        outcome = _outcome(error)
        return Reach(port, outcome, _describe(error), no_route=error.errno in _NO_ROUTE)
    return Reach(port, Outcome.OK)


def _in_stage(ip: str, port: int, stage_s: float, read: Callable[[float], T]) -> T:
    """Result of a stage's `read`, which gets the seconds left; repeated once if the connection breaks."""
    until = time.monotonic() + stage_s

    def left() -> float:
        return until - time.monotonic()

    return once_more(f"{_bracketed(ip)}:{port}", lambda: read(max(0.01, left())), left=left)


def _twice_if_late(stage: Callable[[], T]) -> T:
    """Result of a stage, repeated once after a timeout: a peer that accepted the connection may be busy."""
    try:
        return stage()
    except TimeoutError:
        return stage()


def _health(ip: str, port: int, stage_s: float) -> Health:
    request = f"GET /healthz/ready HTTP/1.1\r\nHost: {_bracketed(ip)}:{port}\r\nConnection: close\r\n\r\n"

    def read(left_s: float) -> Health:
        until = time.monotonic() + left_s
        with socket.create_connection((ip, port), left_s) as connection:
            connection.sendall(request.encode())
            return Health(*_first_line(connection, until))

    try:
        return _twice_if_late(lambda: _in_stage(ip, port, stage_s, read))
    except _ClosedError:
        return Health(None, "")
    except OSError as error:
        return Health(None, _describe(error))


def _handshakes(ip: str, route: Route, stage_s: float) -> tuple[Handshake, ...]:
    """Tries one service after another until one shows its certificate; waits for only one that is silent."""
    done: list[Handshake] = []
    for service in route.services[:_SERVICES]:
        one = _handshake(ip, route, service, stage_s)
        done.append(one)
        if one.leaf or one.outcome is Outcome.TIMED_OUT:
            break
    if done and done[-1].leaf and done[-1].service in route.shared:
        done += (_handshake(ip, route, done[-1].service, stage_s) for _ in range(_AGAIN))
    return tuple(done)


def _handshake(ip: str, route: Route, service: Meshed, stage_s: float) -> Handshake:
    """Reads the certificate; if it does not chain to the roots, reads it again without verification."""
    unverified = "" if route.roots else "no root certificate known"
    context = _verifying(route.roots)
    try:
        try:
            leaf = _leaf(ip, route.port, service, context, stage_s)
        except ssl.SSLCertVerificationError as error:
            unverified = error.verify_message
            leaf = _leaf(ip, route.port, service, _verifying(""), stage_s)
    except OSError as error:
        outcome, detail = _ended(error)
        return Handshake(service, outcome, detail)
    return Handshake(service, Outcome.OK, "", leaf, unverified)


def _leaf(ip: str, port: int, service: Meshed, context: ssl.SSLContext, stage_s: float) -> bytes:
    def read(left_s: float) -> bytes:
        with (
            socket.create_connection((ip, port), left_s) as connection,
            context.wrap_socket(connection, server_hostname=service.sni) as tls,
        ):
            der = tls.getpeercert(binary_form=True)
            return der or b""  # a TLS server always shows one

    return _in_stage(ip, port, stage_s, read)


def _call(ip: str, port: int, good: Handshake, caller: Caller, stage_s: float) -> Answer:
    """Connects with a client certificate of the mesh; in TLS 1.3 a rejection arrives with the first response.

    An HTTP service gets a HEAD request. Any other service is sent nothing: if no rejection arrives, it
    accepted the certificate.
    """
    leaf = x509.load_der_x509_certificate(good.leaf or b"")
    context = _client("")
    _show(context, caller.mint(trust_domain_of(leaf)), caller.folder)
    service = good.service

    def read(left_s: float) -> Answer:
        with (
            socket.create_connection((ip, port), left_s) as connection,
            context.wrap_socket(connection, server_hostname=service.sni) as tls,
        ):
            return _request(tls, service, left_s) if service.http else _listened(tls, service, left_s)

    try:
        return _twice_if_late(lambda: _in_stage(ip, port, stage_s, read))
    except (ssl.SSLEOFError, _ClosedError):
        return Answer(Outcome.CLOSED, _CLOSED)
    except ssl.SSLError as error:
        return Answer(Outcome.REJECTED, f"the workload rejected it ({_reason(error)})")
    except OSError as error:
        return Answer(_outcome(error), _describe(error))


def _request(tls: ssl.SSLSocket, service: Meshed, stage_s: float) -> Answer:
    request = f"HEAD / HTTP/1.1\r\nHost: {service.host}:{service.port}\r\nConnection: close\r\n\r\n"
    tls.sendall(request.encode())
    status, detail = _first_line(tls, time.monotonic() + stage_s)
    if status:
        return Answer(Outcome.OK, f"HTTP status {status} from {service}")
    return Answer(Outcome.CLOSED, f"{service} responded with {detail}")


def _listened(tls: ssl.SSLSocket, service: Meshed, stage_s: float) -> Answer:
    tls.settimeout(min(_QUIET_S, stage_s))
    try:
        spoke = tls.recv(_MOST)
    except TimeoutError:
        return Answer(Outcome.OK, f"{service}, not HTTP, accepted the connection")
    if not spoke:
        raise _ClosedError
    return Answer(Outcome.OK, f"{service} responded")


@lru_cache(maxsize=64)  # the clusters of a mesh trust the same roots
def _verifying(roots: str) -> ssl.SSLContext:
    """The context that verifies with these roots, shared by all connections and never changed."""
    return _client(roots)


def _client(roots: str) -> ssl.SSLContext:
    context = _context(_ALPN)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if roots:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=roots)
    return context


def _show(context: ssl.SSLContext, identity: Identity, folder: Path) -> None:
    handle, name = tempfile.mkstemp(dir=folder, suffix=temporary.SUFFIX)  # 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(identity.key + identity.chain)
        context.load_cert_chain(name)
    finally:
        Path(name).unlink()


def _first_line(connection: socket.socket, until: float) -> tuple[int | None, str]:
    """The HTTP status of a response; if it is not HTTP, None and the received text.

    Raises:
        OSError: No line arrived in time, or the connection was closed without data.
    """
    data = b""
    while b"\n" not in data and len(data) < _MOST:
        connection.settimeout(max(0.01, until - time.monotonic()))
        more = connection.recv(_MOST)
        if not more:
            break
        data += more
    if not data:
        raise _ClosedError
    match = _STATUS_LINE.match(data)
    return (int(match[1]), "") if match else (None, repr(data[:40]))


def _ended(error: OSError) -> tuple[Outcome, str]:
    """Outcome and reason of a handshake that showed no certificate."""
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError | ConnectionResetError | BrokenPipeError):
        return Outcome.CLOSED, "accepted, then closed at the handshake"
    if isinstance(error, ssl.SSLError):
        return Outcome.NOT_TLS, f"not TLS 1.3 as Istio uses it ({_reason(error)})"
    outcome = _outcome(error)
    if outcome is Outcome.TIMED_OUT:
        return outcome, "accepted, then no response"
    return outcome, _describe(error)


def _outcome(error: OSError) -> Outcome:
    if isinstance(error, ConnectionRefusedError):
        return Outcome.REFUSED
    if isinstance(error, TimeoutError):
        return Outcome.TIMED_OUT
    if isinstance(error, ConnectionResetError | ConnectionAbortedError | BrokenPipeError):
        return Outcome.CLOSED
    return Outcome.UNREACHABLE


def _describe(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "no response in time"
    return (error.strerror or str(error)).lower()


def _reason(error: ssl.SSLError) -> str:
    with suppress(AttributeError):
        return str(error.reason).lower().replace("_", " ")
    return str(error)


def _bracketed(ip: str) -> str:
    return f"[{ip}]" if ":" in ip else ip
