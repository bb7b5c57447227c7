"""Address and credentials of an API server: read once from a kubeconfig, for requests and streams."""

from __future__ import annotations

import queue
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from ssl import MemoryBIO
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit
from urllib.request import getproxies

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection, ProxyConfig
from urllib3.util import Url, parse_url

from istio_mc import __version__
from istio_mc.domain.hint import Advice
from istio_mc.domain.hosts import is_bypassed
from istio_mc.domain.kube.request_headers import (
    Header,
    UnsendableError,
    is_sendable,
    request_headers,
    without_credentials,
)
from istio_mc.domain.problem import Code, Problem
from istio_mc.gateways.kube import http_proxy
from istio_mc.gateways.kube import tls as kube_tls
from istio_mc.gateways.kube.errors import KubeError

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Mapping

_CONNECTIONS = 16
"""Idle connections kept to one API server; urllib3 opens more if more are needed at once."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends requests to one API server, over connections that stay open.

    Attributes:
        url: The server's URL, without a slash at its end.
        server: Connection pool of this server; None: the pool is looked up by the URL of each request.
    """

    url: str = field(repr=False)
    base: str
    manager: urllib3.PoolManager
    server: urllib3.HTTPConnectionPool | None

    def send(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: object,
        timeouts: tuple[float, float],
        retries: urllib3.Retry,
    ) -> urllib3.BaseHTTPResponse:
        """Sends a request and returns the response, whose body is not read yet.

        Args:
            method: HTTP method.
            target: Path and query below the server's URL.
            headers: All headers of the request.
            body: Request body; None: no body.
            timeouts: Seconds to connect, and maximum silence of the server in seconds.
            retries: When to repeat the request.
        """
        connect, read = timeouts
        given: dict[str, Any] = {
            "body": body,
            "headers": headers,
            "timeout": urllib3.Timeout(connect=connect, read=read),
            "retries": retries,
            "preload_content": False,
        }
        if self.server:  # fast: no look-up of the pool for each request
            with suppress(urllib3.exceptions.HostChangedError):  # redirected: use the slow path
                return self.server.urlopen(method, self.base + target, **given)
        return self.manager.urlopen(method, self.url + target, **given)

    def close(self) -> None:
        """Closes the connections."""
        self.manager.clear()

    def close_all_but_one(self) -> None:
        """Closes all idle connections except the one used last."""
        if self.server is None or self.server.pool is None:
            return
        taken: list[Any] = []
        with suppress(queue.Empty):
            while True:
                taken.append(self.server.pool.get_nowait())
        for connection in [one for one in taken if one][1:]:
            connection.close()  # urllib3 opens it again if it is needed
        for connection in reversed(taken):
            self.server.pool.put_nowait(connection)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An API server and a user of it.

    Attributes:
        url: The server's URL, without a slash at its end.
        headers: Headers of every request: credentials, impersonation, and User-Agent.
        tls: TLS settings of connections; None for an http server.
        server_name: Name in the server's certificate, if it differs from the URL's host.
        proxy: The proxy in front of the server, if any.
    """

    url: str = field(repr=False)
    headers: tuple[Header, ...] = field(repr=False)
    tls: ssl.SSLContext | None
    server_name: str | None
    proxy: http_proxy.HttpProxy | None

    def sender(self) -> Sender:
        """Returns a sender of requests, over connections that stay open."""
        common: dict[str, Any] = {
            "maxsize": _CONNECTIONS,
            "ssl_context": self.tls,
            "server_hostname": self.server_name,
        }
        if self.proxy is None:
            manager = urllib3.PoolManager(**common)
        else:
            manager = urllib3.ProxyManager(
                self.proxy.url, proxy_headers=self.proxy.headers, proxy_ssl_context=self.tls, **common
            )
        # For an http server, a proxy needs the whole URL in the request, which only the manager sends.
        by_url = self.proxy is not None and self.tls is None
        server = None if by_url else manager.connection_from_url(self.url)
        return Sender(self.url, (parse_url(self.url).path or "").rstrip("/"), manager, server)

    def connect(self, timeout_s: float) -> socket.socket:
        """Opens one more connection, with the settings of the pool's connections.

        Raises:
            OSError: It was refused, or TLS failed (ssl.SSLError).
            urllib3.exceptions.HTTPError: Nothing responds there in time.
        """
        server = parse_url(self.url)
        host, port = _address(server)
        proxy = parse_url(self.proxy.url) if self.proxy else None
        at = _address(proxy or server)
        proxied = ProxyConfig(
            self.tls, use_forwarding_for_https=False, assert_hostname=None, assert_fingerprint=None
        )
        connection: HTTPConnection = (
            HTTPConnection(*at, timeout=timeout_s, proxy=proxy, proxy_config=proxied)
            if self.tls is None
            else HTTPSConnection(
                *at,
                timeout=timeout_s,
                ssl_context=self.tls,
                server_hostname=self.server_name,
                proxy=proxy,
                proxy_config=proxied,
            )
        )
        if self.proxy and proxy:
            connection.set_tunnel(
                host, port or connection.default_port, self.proxy.headers, proxy.scheme or "http"
            )
        try:
            connection.connect()
        except BaseException:
            connection.close()
            raise
        return cast("socket.socket", connection.sock)


class _UnusableError(ValueError):
    """A kubeconfig that is unusable for requests; the message contains no credential."""


def read_endpoint(context: str, kubeconfig: Mapping[str, Any]) -> Endpoint:
    """The endpoint of a kubeconfig of one context, whose credential plugin has run already.

    Raises:
        KubeError: The kubeconfig cannot be used.
    """
    cluster, user = _entry(kubeconfig, "cluster"), _entry(kubeconfig, "user")
    try:
        host, proxy_here, bypassing = _server(cluster)
        given = host if "://" in host else f"http://{host}"
        url = without_credentials(given)
        secure = parse_url(url).scheme == "https"
        headers = request_headers(user, _token(user) if secure else "", given)
        tls = kube_tls.context_of(kube_tls.read_settings(cluster, user)) if secure else None
        server_name = _server_name(cluster, url, tls)
    except (_UnusableError, UnsendableError, kube_tls.UnusableTlsError) as error:
        raise KubeError(_unusable(context, str(error)), 0) from None
    except ValueError:  # its text may contain the value
        raise KubeError(_unusable(context, "server: is not a URL"), 0) from None
    proxy = http_proxy.choose(
        context,
        url,
        cluster.get("proxy-url"),
        proxy_here,
        lambda: is_bypassed(url, bypassing),
    )
    agent = ("User-Agent", f"istio-mc/{__version__}")
    return Endpoint(url, (*headers, agent), tls, server_name, proxy)


def _address(url: Url) -> tuple[str, int | None]:
    return (url.host or "").strip("[]"), url.port


def _entry(kubeconfig: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """The only entry of a kind; empty if there is none."""
    entries = kubeconfig.get(f"{kind}s") or [{}]
    return entries[0].get(kind) or {}


def _server(cluster: Mapping[str, Any]) -> tuple[str, str | None, str]:
    """The server's URL, the environment's proxy for it, if any, and the hosts that bypass that proxy.

    The Python client knows which variables name a proxy. To load it takes a fifth of the CPU time of a short
    run, so it is loaded only if there is one.
    """
    for key in ("server", "tls-server-name"):
        if not is_sendable(str(cluster.get(key) or "")):
            raise _UnusableError(f"{key}: contains a control character, such as a line break")
    if not cluster.get("server"):
        raise _UnusableError("server: is missing")
    host = str(cluster["server"]).rstrip("/")
    if not getproxies().keys() - {"no"}:
        return host, None, ""
    from kubernetes.client import Configuration  # noqa: PLC0415 - slow to load; few have a proxy

    configuration = Configuration(host=host)
    return host, configuration.proxy, configuration.no_proxy or ""


def _token(user: Mapping[str, Any]) -> str:
    """The user's bearer token: from its tokenFile if readable, without surrounding whitespace."""
    given = str(user.get("token") or "")
    path = user.get("tokenFile")
    if not path:
        return given
    try:
        token = Path(str(path)).read_bytes().decode().strip()
    except (OSError, ValueError) as error:
        token, fault = "", getattr(error, "strerror", None) or "it is not UTF-8"
    else:
        fault = "it is empty"
    if not token and not given:
        raise _UnusableError(f"tokenFile: cannot read a token from {path}: {fault}")
    return token or given


def _server_name(cluster: Mapping[str, Any], url: str, tls: ssl.SSLContext | None) -> str | None:
    """The cluster's tls-server-name, if any; verifies that the name can be sent."""
    given = str(cluster.get("tls-server-name") or "")
    name = given or urlsplit(url).hostname or ""
    if tls is not None:
        try:
            tls.wrap_bio(MemoryBIO(), MemoryBIO(), server_hostname=name.rstrip("."))
        except ValueError:
            field = "tls-server-name" if given else "server"
            raise _UnusableError(f"{field}: is not a host name") from None
    return given or None


def _unusable(context: str, fault: str) -> Problem:
    return Problem(
        code=Code.KUBECONFIG_UNUSABLE,
        cluster=context,
        message=f"the kubeconfig entry of {context} cannot be used: {fault}",
        hint=Advice("correct the entry, or obtain it again from the provider"),
    )
