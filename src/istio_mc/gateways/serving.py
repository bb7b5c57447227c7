"""The certificate that something really serves: a TLS handshake that looks, and trusts nothing."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from cryptography import x509

from istio_mc.domain.hint import Advice, kubectl
from istio_mc.domain.live_trust import Serving
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.problem import Problem, ProblemError

if TYPE_CHECKING:
    from istio_mc.domain.objects import Object
    from istio_mc.gateways.kube import Kube
    from istio_mc.gateways.kube_stream import Tunnel

_XDS_PORT = 15012
_CHUNK = 64 * 1024


def serving(kube: Kube, pod: Object) -> Serving:
    """What one istiod shows on its port for proxies, 15012, through a port-forward.

    The webhooks' port shows the same certificate (pilot/pkg/bootstrap/server.go, Istio 1.26.0).

    Raises:
        ProblemError: The forward failed, or what answers does not speak TLS.
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
        raise ProblemError(
            Problem(
                code="malformed-answer",
                cluster=kube.context,
                message=f"{name} serves port {_XDS_PORT} with something that is no certificate",
                seen=f"{len(shown)} bytes",
                expected="an X.509 certificate",
                hint=Advice(kubectl(kube.context, "-n", SYSTEM_NAMESPACE, "logs", name)),
            )
        ) from None


def leaf(tunnel: Tunnel, server_name: str, *, alpn: str) -> bytes:
    """The certificate that whoever is at the other end of a connection shows, in DER.

    A handshake in memory, as what a port-forward gives is not a socket that `ssl` could wrap. It is carried
    to its end, so that the server does not log a broken one.

    Raises:
        OSError: The handshake failed (ssl.SSLError is one), or the connection broke.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # who signed it is what is to be found out
    context.set_alpn_protocols([alpn])
    received, to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(received, to_send, server_hostname=server_name)
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
