"""Certificates of proxies and the roots they trust, from Envoy's admin port."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

from istio_mc.domain.hint import Advice, istioctl, kubectl
from istio_mc.domain.istio.proxies import ProxiesHold, ProxyTrust, abridged, oldest, proxy_trust
from istio_mc.domain.istio.services import MTLS, TLS_MODE_LABEL
from istio_mc.domain.kube import objects
from istio_mc.domain.problem import Code, ProblemError
from istio_mc.domain.trace.proxies import read_endpoints
from istio_mc.gateways.host.parallel import results_in_time

if TYPE_CHECKING:
    from collections.abc import Collection

    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.trace.proxies import ProxyEndpoint
    from istio_mc.gateways.kube.client import Kube

MAX_PROXIES = 20
"""Maximum number of pods with a sidecar that are read in one cluster, oldest first; gateways always are."""

_ADMIN_PORT = 15000
_DUMP = "/config_dump?resource=dynamic_active_secrets"
_AT_ONCE = 8


def injected_pods(kube: Kube) -> list[Object]:
    """The running pods with a sidecar, of all namespaces: those that use mTLS.

    Raises:
        ProblemError: They cannot be listed.
    """
    pods = running_with_sidecar(kube)
    return [abridged(pod) for pod in pods if not pod["metadata"].get("deletionTimestamp")]


def running_with_sidecar(kube: Kube) -> list[Object]:
    """Like `injected_pods`, with the fields that `abridged` omits (environment), and with terminating pods.

    Raises:
        ProblemError: They cannot be listed.
    """
    return kube.list(objects.POD, labels=f"{TLS_MODE_LABEL}={MTLS}", fields="status.phase=Running")


def proxies_hold(
    kube: Kube, gateways: Collection[Object], injected: Collection[Object], *, most: int = MAX_PROXIES
) -> ProxiesHold:
    """Reads the proxies of the gateway's pods, and of the oldest pods with a sidecar, at most `most`.

    A pod that does not respond is not an error: it may have been deleted.

    Args:
        gateways: The gateway's pods: always read.
    """
    chosen = {_name(pod): pod for pod in (*gateways, *oldest(injected, most))}
    calls = {name: (math.inf, partial(proxy_holds, kube, pod)) for name, pod in chosen.items()}
    results, failed = results_in_time(calls, context=kube.context, concurrency=_AT_ONCE)
    return ProxiesHold(
        proxies=tuple(results.values()),
        silent={name: problems[0] for name, problems in failed.items()},
        running=len({_name(pod) for pod in (*gateways, *injected)}),
    )


def proxy_holds(kube: Kube, pod: Object) -> ProxyTrust:
    """Reads one proxy's certificates, through a port-forward to Envoy's admin port on localhost.

    Raises:
        ProblemError: The forward failed, or the response is not in Envoy's format.
    """
    namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
    raw = kube.http_get(namespace, name, _ADMIN_PORT, _DUMP)
    try:
        return proxy_trust(pod, raw)
    except (ValueError, AttributeError, ProblemError):
        # The response is not shown, because it is about secrets.
        raise ProblemError.of(
            code=Code.MALFORMED_ANSWER,
            cluster=kube.context,
            message=f"the proxy of {namespace}/{name} responded to {_DUMP} with an unexpected document",
            seen=f"{len(raw)} bytes",
            expected="Envoy's JSON of dynamic_active_secrets, certificates in PEM",
            hint=Advice(kubectl(kube.context, "-n", namespace, "logs", name, "-c", "istio-proxy")),
        ) from None


MOST_BYTES = 64 * 2**20
"""Size limit in bytes of a proxy's list of clusters."""


def read_cluster(kube: Kube, pod: Object, cluster: str) -> tuple[ProxyEndpoint, ...]:
    """The endpoints that a pod's proxy has for one of its clusters, from the admin page `/clusters`.

    Raises:
        ProblemError: The forward failed, or the response is not Envoy's, or the page is too long.
    """
    namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
    raw = kube.http_get(namespace, name, _ADMIN_PORT, "/clusters", most=MOST_BYTES + 1)
    endpoints = read_endpoints(raw, cluster)
    if not endpoints and len(raw) > MOST_BYTES:
        shown = istioctl(
            kube.context, "proxy-config", "endpoints", f"{name}.{namespace}", "--cluster", cluster
        )
        raise ProblemError.of(
            code=Code.MALFORMED_ANSWER,
            cluster=kube.context,
            message=f"{kube.context}: the clusters of proxy {namespace}/{name} are too long to read",
            seen=f"more than {MOST_BYTES // 2**20} MiB, and {cluster} not among them",
            expected="less",
            hint=Advice("see what it has of this service: ", shown),
        )
    return endpoints


def _name(pod: Object) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
