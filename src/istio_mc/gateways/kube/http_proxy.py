"""The proxy in front of an API server: `proxy-url` of its cluster, else the environment's, as in kubectl.

kubectl ignores NO_PROXY for a proxy in the kubeconfig (client-go 0.32.3, tools/clientcmd/client_config.go).
The environment's proxy is not used for this machine itself, may be written without a scheme, and is sent the
user and password of its URL (golang.org/x/net 0.38, http/httpproxy/proxy.go). The Python client does none of
the four.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from urllib3.util import parse_url

from istio_mc.domain.hint import Advice
from istio_mc.domain.hosts import is_for_us_only
from istio_mc.domain.kube.request_headers import is_sendable
from istio_mc.domain.problem import Code, Problem
from istio_mc.gateways.kube.errors import KubeError

if TYPE_CHECKING:
    from collections.abc import Callable

_PORTS = {"http": 80, "https": 443}
_NO_PORT = re.compile(r":(?!\d+$)[^:\]]+$")
_FROM_KUBECONFIG = "proxy-url in the kubeconfig"
_FROM_ENVIRONMENT = "HTTPS_PROXY in the environment"


@dataclass(frozen=True, slots=True)
class HttpProxy:
    """A proxy for every call.

    Attributes:
        headers: Headers for the proxy, including its user and password.
    """

    url: str
    source: str
    headers: dict[str, str] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        return f"the proxy {self.url} ({self.source})"


def choose(
    context: str,
    server: str,
    named: str | None,
    environment: str | None,
    bypassed: Callable[[], bool],
) -> HttpProxy | None:
    """Returns the proxy to use; None: connect to the API server directly.

    Args:
        environment: Proxy from the environment for such a URL, if any; `named` has precedence.

    Raises:
        KubeError: It is not an HTTP proxy.
    """
    if named:
        return _parsed(context, named, _FROM_KUBECONFIG)
    if not environment or is_for_us_only(server) or bypassed():
        return None
    return _parsed(
        context, environment if "://" in environment else f"http://{environment}", _FROM_ENVIRONMENT
    )


def _parsed(context: str, url: str, source: str) -> HttpProxy:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        at = f"{f'[{host}]' if host and ':' in host else host}:{port or _PORTS.get(parts.scheme)}"
        host = parse_url(f"{parts.scheme}://{at}").host if host else None  # urllib3 accepts fewer hosts
    except ValueError:
        parts, host, at = urlsplit(""), None, ""
    # urlsplit removes line breaks, which Go rejects.
    if parts.scheme not in _PORTS or not host or not is_sendable(url):
        raise KubeError(_unusable(context, url, source), 0)
    headers = {}
    if parts.username:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers = {"proxy-authorization": f"Basic {base64.b64encode(user.encode()).decode()}"}
    return HttpProxy(f"{parts.scheme}://{at}", source, headers)


def _unusable(context: str, url: str, source: str) -> Problem:
    head, mark, tail = url.rpartition("://")
    # Without a host, the text in place of the port may be a password.
    tail = _NO_PORT.sub(":…", tail.rpartition("@")[2])
    shown = "".join(c if c.isprintable() else "�" for c in head + mark + tail)
    if source == _FROM_KUBECONFIG:
        hint = Advice(f"set proxy-url of the cluster of {context} to http://HOST:PORT, or remove it")
    else:
        hint = Advice("set HTTPS_PROXY to http://HOST:PORT, or name the API server in NO_PROXY")
    return Problem(
        code=Code.PROXY_UNUSABLE,
        cluster=context,
        message=f"the proxy for {context} cannot be used",
        seen=f"{shown}, {source}",
        expected="an HTTP proxy, http://HOST:PORT (SOCKS is not supported)",
        hint=hint,
    )
