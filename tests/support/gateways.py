"""The gateway of a stand-in cluster: two ports at an address of its own on this machine.

What answers depends on what the cluster remembers: the gateway's pods, the Gateway that opens port 15443, the
service that is asked for by name, and the CA that istiod signs with.
"""

from __future__ import annotations

import os
import re
import socket
import threading
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

from tests.support import controllers, selectors
from tests.support.folders import shared_folder
from tests.support.tls_peer import Peer, Sidecar, workload

if TYPE_CHECKING:
    from istio_mc.domain.pki.certificates import Authority
    from tests.support.cluster import Cluster

SYSTEM = "istio-system"
STATUS_PORT, MESH_PORT = 15021, 15443
_SNI = re.compile(rb"outbound_\.(\d+)_\._\.([-a-z0-9]+)\.([-a-z0-9]+)\.svc\.cluster\.local")
_PATIENCE_S = 10.0
# In two parts, which a resolver reads and `ipaddress` does not: so they are host names. verify rejects an IP
# address that other clusters cannot reach. Each has the same length, so that lines fold alike in every run.
_addresses = iter(
    f"127.{(64 + high << 16) + ((os.getpid() % 150 + 100) << 8) + low}"
    for high in range(64)
    for low in range(101, 255)
)
_lock = threading.Lock()


class Gateway:
    """Listens for one cluster.

    Attributes:
        address: Where.
        served: Connections that were taken, by port.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.address, self._listeners = _opened()
        self.served = {STATUS_PORT: 0, MESH_PORT: 0}

    def start(self) -> None:
        """Begins to answer."""
        for port, listener in self._listeners.items():
            threading.Thread(target=self._accept, args=(port, listener), daemon=True).start()

    def start_again(self) -> None:
        """Begins once more, at the same address, after `stop`."""
        self._listeners = {port: socket.create_server((self.address, port)) for port in self._listeners}
        self.start()

    def stop(self) -> None:
        """Ends it."""
        for listener in self._listeners.values():
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def _accept(self, port: int, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self.served[port] += 1
            threading.Thread(target=self._take, args=(port, connection), daemon=True).start()

    def _take(self, port: int, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(_PATIENCE_S)
            if not self._runs():
                return
            if port == STATUS_PORT:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            elif self._leads_on(connection):
                one = self._cluster.istiods.running()[0]
                sidecar = Sidecar(
                    shared_folder(), (one.issuer,), one.issuer, shown=_shown(one.issuer), also=one.roots
                )
                sidecar(Peer(port), connection)

    def _runs(self) -> bool:
        pods = self._cluster.store.of("Pod", SYSTEM)
        return any(
            controllers.is_ready(pod)
            and (pod["metadata"].get("labels") or {}).get("istio") == "ingressgateway"
            for pod in pods
        )

    def _leads_on(self, connection: socket.socket) -> bool:
        """Whether it knows the service that is asked for, and may be asked."""
        match = _SNI.search(connection.recv(4096, socket.MSG_PEEK))
        return match is not None and self.leads_to(match[2].decode(), match[3].decode())

    def leads_to(self, name: str, namespace: str) -> bool:
        """Whether it passes calls of a service through to pods that speak mTLS."""
        store = self._cluster.store
        opened = store.find("Gateway", "cross-network-gateway", SYSTEM, "networking.istio.io")
        if opened is None or not self._cluster.istiods.running() or not self._runs():
            return False
        selector = ((store.find("Service", name, namespace) or {}).get("spec") or {}).get("selector")
        return bool(selector) and any(
            controllers.is_ready(pod)
            and selectors.by_object({"matchLabels": selector}, pod["metadata"].get("labels") or {})
            and (pod["metadata"].get("labels") or {}).get("security.istio.io/tlsMode") == "istio"
            for pod in store.of("Pod", namespace)
        )


@cache
def _shown(issuer: Authority) -> bytes:
    return workload(issuer)


def _opened() -> tuple[str, dict[int, socket.socket]]:
    """An address that nobody else uses, with both ports open."""
    for address in _addresses:
        listeners: dict[int, socket.socket] = {}
        try:
            with _lock:
                for port in (STATUS_PORT, MESH_PORT):
                    listeners[port] = socket.create_server((address, port))
        except OSError:
            for listener in listeners.values():
                listener.close()
        else:
            return address, listeners
    raise OSError("no address of this machine is free for a gateway")
