"""Certificates as istiod signs them, and servers that show them."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from istio_mc.domain.pki.pem import dump_certificates

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from istio_mc.domain.pki.certificates import Authority
    from istio_mc.domain.pki.pem import PrivateKey


class Leaf(NamedTuple):
    """A certificate that is no CA's, and its key."""

    certificate: x509.Certificate
    key: PrivateKey


def leaf(issuer: Authority, *names: x509.GeneralName, hours: float = 24) -> Leaf:
    """A certificate for names, without a subject as istiod's are."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=2))
        .not_valid_after(now + timedelta(hours=hours))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
                issuer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
            ),
            critical=False,
        )
        .add_extension(x509.SubjectAlternativeName(names), critical=True)
        .sign(issuer.key, hashes.SHA256())
    )
    return Leaf(made, key)


def istiod_leaf(issuer: Authority, hours: float = 24) -> Leaf:
    return leaf(issuer, x509.DNSName("istiod.istio-system.svc"), hours=hours)


def workload_leaf(issuer: Authority, account: str = "sleep") -> Leaf:
    return leaf(issuer, x509.UniformResourceIdentifier(f"spiffe://cluster.local/ns/sample/sa/{account}"))


def secrets_dump(chain: list[x509.Certificate], roots: list[x509.Certificate]) -> dict[str, object]:
    """What Envoy answers to `/config_dump?resource=dynamic_active_secrets`, shortened."""

    def inline(certificates: list[x509.Certificate]) -> dict[str, str]:
        return {"inline_bytes": base64.b64encode(dump_certificates(certificates)).decode()}

    kind = "type.googleapis.com/envoy.admin.v3.SecretsConfigDump.DynamicSecret"
    redacted = {"inline_bytes": base64.b64encode(b"[redacted]").decode()}
    return {
        "configs": [
            {
                "@type": kind,
                "name": "default",
                "secret": {
                    "name": "default",
                    "tls_certificate": {"certificate_chain": inline(chain), "private_key": redacted},
                },
            },
            {
                "@type": kind,
                "name": "ROOTCA",
                "secret": {"name": "ROOTCA", "validation_context": {"trusted_ca": inline(roots)}},
            },
        ]
    }


@contextmanager
def tls_server(shown: Leaf, issuer: Authority, folder: Path) -> Iterator[tuple[str, int]]:
    """A TLS 1.3 server on 127.0.0.1 that shows a certificate and its issuer, as istiod does; its address."""
    path = folder / f"{shown.certificate.serial_number}.pem"
    path.write_bytes(
        shown.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + dump_certificates([shown.certificate, issuer.certificate])
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    context.set_alpn_protocols(["h2"])
    with _listener(lambda peer: _talk(context, peer)) as address:
        yield address


@contextmanager
def talker(data: bytes) -> Iterator[tuple[str, int]]:
    """A server that says something to whoever connects, and closes; its address."""

    def talk(peer: socket.socket) -> None:
        peer.recv(4096)
        peer.sendall(data)

    with _listener(talk) as address:
        yield address


def _talk(context: ssl.SSLContext, peer: socket.socket) -> None:
    with context.wrap_socket(peer, server_side=True) as tls:
        while tls.recv(4096):
            pass


@contextmanager
def _listener(talk: object) -> Iterator[tuple[str, int]]:
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                peer, _ = server.accept()
            except OSError:
                return
            with peer:
                peer.settimeout(5)
                try:
                    talk(peer)  # type: ignore[operator]
                except OSError:
                    continue

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield server.getsockname()
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(5)


def dump_bytes(chain: list[x509.Certificate], roots: list[x509.Certificate]) -> bytes:
    return json.dumps(secrets_dump(chain, roots)).encode()
