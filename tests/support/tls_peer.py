"""What may stand at a gateway's address: real servers on 127.0.0.1, with real certificates."""

from __future__ import annotations

import contextlib
import itertools
import socket
import ssl
import struct
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from istio_mc.domain.pki.certificates import Authority, KeySpec, KeyType, new_intermediate, new_root
from istio_mc.domain.pki.pem import dump_certificates, dump_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

EC = KeySpec(KeyType.EC, 256)
PATIENCE_S = 10.0


@cache
def _root(name: str) -> Authority:
    assert name
    return new_root(datetime.now(UTC), key=EC)


@cache
def _ca(cluster_id: str, root_name: str) -> Authority:
    return new_intermediate(_root(root_name), cluster_id, datetime.now(UTC), key=EC)


def root(name: str = "mesh") -> Authority:
    """A root; another name is another root."""
    return _root(name)


def ca(cluster_id: str, root_name: str = "mesh") -> Authority:
    """A cluster's CA below it."""
    return _ca(cluster_id, root_name)


def workload(
    issuer: Authority, *, trust_domain: str = "cluster.local", begins: timedelta = timedelta(minutes=-5)
) -> bytes:
    """A workload's certificate as istiod gives it, with its key and chain, in one PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    uri = x509.UniformResourceIdentifier(f"spiffe://{trust_domain}/ns/sample/sa/reviews")
    usages = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + begins + timedelta(hours=24))
        .add_extension(usages, critical=False)
        .add_extension(x509.SubjectAlternativeName([uri]), critical=True)
        .sign(issuer.key, hashes.SHA256())
    )
    return dump_key(key) + dump_certificates([certificate, *issuer.path])


@dataclass
class Peer:
    """One listening server.

    Attributes:
        port: Where it listens.
        served: Connections that were taken.
        names: The names that TLS clients asked for.
        callers: The names in the certificates that they showed.
        heard: What they then said.
    """

    port: int
    served: int = 0
    names: list[str | None] = field(default_factory=list)
    callers: list[str] = field(default_factory=list)
    heard: list[bytes] = field(default_factory=list)


@contextmanager
def listening(handle: Callable[[Peer, socket.socket], None]) -> Iterator[Peer]:
    """A server that hands each connection to a function, in a thread of its own."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        peer = Peer(server.getsockname()[1])
        threads: list[threading.Thread] = []

        def take(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                connection.settimeout(PATIENCE_S)
                handle(peer, connection)

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                peer.served += 1
                threads.append(threading.Thread(target=take, args=(connection,)))
                threads[-1].start()

        accepting = threading.Thread(target=serve)
        accepting.start()
        try:
            yield peer
        finally:
            server.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for thread in threads:
                thread.join()


def sends(words: bytes) -> Callable[[Peer, socket.socket], None]:
    """Reads what comes, and says the same to everyone."""

    def handle(_: Peer, connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(words)

    return handle


def closes(_: Peer, connection: socket.socket) -> None:
    """Ends the connection once something came."""
    connection.recv(4096)


def resets(_: Peer, connection: socket.socket) -> None:
    """Ends it as an Envoy does that knows no such service: by a reset."""
    connection.recv(4096)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def keeps_silent(_: Peer, connection: socket.socket) -> None:
    """Says nothing until the other side gives up."""
    while connection.recv(4096):
        pass


@dataclass(frozen=True)
class Sidecar:
    """A workload's proxy behind a gateway: TLS 1.3, client certificates of one root, ALPN as Istio's.

    Attributes:
        folder: For its certificate.
        issuers: Whose certificates it shows, in turn, one a connection.
        trusts: Whose certificates it takes.
        also: Roots whose certificates it takes too.
        answer: What it says once a caller spoke; empty: nothing, and it waits.
        only: The one name it knows; others are closed. None: any.
        shown: PEM of key and chain to show, where it is no ordinary one.
    """

    folder: Path
    issuers: tuple[Authority, ...]
    trusts: Authority
    answer: bytes = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"
    only: str | None = None
    shown: bytes = b""
    also: tuple[x509.Certificate, ...] = ()
    turns: Iterator[Authority] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "turns", itertools.cycle(self.issuers))

    def __call__(self, peer: Peer, connection: socket.socket) -> None:
        if self.only and self.only.encode() not in connection.recv(4096, socket.MSG_PEEK):
            return
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.set_alpn_protocols(["istio"])
        with tempfile.NamedTemporaryFile(dir=self.folder) as file:
            file.write(self.shown or workload(next(self.turns)))
            file.flush()
            context.load_cert_chain(file.name)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=dump_certificates([self.trusts.root, *self.also]).decode())

        def named(_: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> None:
            peer.names.append(name)

        context.sni_callback = named
        with self._taken(context, connection) as tls:
            assert tls.selected_alpn_protocol() == "istio"
            shown: Mapping[str, Any] = tls.getpeercert() or {}
            peer.callers += [str(value) for kind, value in shown.get("subjectAltName", ()) if kind == "URI"]
            peer.heard.append(tls.recv(4096))
            if peer.heard[-1]:
                tls.sendall(self.answer)

    @staticmethod
    def _taken(context: ssl.SSLContext, connection: socket.socket) -> ssl.SSLSocket:
        tls = context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        try:
            tls.do_handshake()
        except OSError:
            # As long as something is unread, closing would be a reset, and the alert be lost on its way.
            with tls, contextlib.suppress(OSError):
                while socket.socket.recv(tls, 4096):
                    pass
            raise
        return tls
