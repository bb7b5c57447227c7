"""Faults of a service's path that are made together, of paths that have nothing in common."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.e2e.harness import get, kubectl, rolled_out
from tests.faults.harness import patch
from tests.faults.paths import (
    HOST,
    Kept,
    PathFault,
    between,
    mesh_again,
    mesh_with,
    of_cluster,
    sample,
    written,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_INJECT = "sidecar.istio.io/inject"
_TRAFFIC = "traffic.sidecar.istio.io/"
_VERSIONS = {"kt": "v1", "ncloud": "v2", "nhn": "v3"}
_ALL = {"ports": [{"port": 9080, "name": "http", "targetPort": 9080}], "selector": {"app": "reviews"}}


def _reviews(context: str) -> str:
    return f"reviews-{_VERSIONS[context]}"


def _template(context: str, workload: str, **metadata: dict[str, str | None]) -> Callable[[], None]:
    """The pods of a workload get labels or annotations."""

    def change() -> None:
        body = {"spec": {"template": {"metadata": metadata}}}
        patch(context, "deployment", workload, body, namespace="sample")
        rolled_out(context, f"deployment/{workload}", namespace="sample")

    return change


def _started_before(context: str) -> Callable[[], None]:
    """The client starts in a namespace without the label, which comes after."""

    def make() -> None:
        kubectl(context, "label", "namespace", "sample", "istio-injection-")
        kubectl(context, "rollout", "restart", "deployment/sleep", "-n", "sample")
        rolled_out(context, "deployment/sleep", namespace="sample")
        kubectl(context, "label", "namespace", "sample", "istio-injection=enabled")

    return make


def _service(context: str, **spec: object) -> dict[str, Callable[[], object]]:
    """The Service with something else in its spec, and as it was."""
    return {
        "make": sample(context, "service", "reviews", {"spec": spec}),
        "undo": sample(context, "service", "reviews", {"spec": _ALL}),
    }


def _port(target: object) -> list[dict[str, object]]:
    return [{"port": 9080, "name": "http", "targetPort": target}]


_deleted: dict[str, Any] = {}


def _delete_service() -> None:
    found = get("nhn", "service", "reviews", namespace="sample")
    metadata = {key: found["metadata"][key] for key in ("name", "namespace", "labels")}
    spec = {key: found["spec"][key] for key in ("ports", "selector")}
    _deleted.update(apiVersion="v1", kind="Service", metadata=metadata, spec=spec)
    kubectl("nhn", "delete", "service", "reviews", "-n", "sample")


def _create_service() -> None:
    if _deleted:
        kubectl("nhn", "apply", "-f", "-", stdin=json.dumps(_deleted))


def _route(context: str, *routes: object, **spec: object) -> dict[str, Callable[[], object]]:
    return written(
        context, "networking", "VirtualService", {"hosts": ["reviews"], "http": list(routes), **spec}
    )


def _rule(context: str, policy: Mapping[str, object], *to: str) -> dict[str, Callable[[], object]]:
    """A DestinationRule that is exported to some namespaces only."""
    spec = {"host": "reviews", "exportTo": list(to), "trafficPolicy": policy}
    return written(context, "networking", "DestinationRule", spec)


def _policy(context: str, namespace: str = "sample", **spec: object) -> dict[str, Callable[[], object]]:
    return written(context, "security", "AuthorizationPolicy", spec, namespace)


def _from(**source: list[str]) -> list[dict[str, object]]:
    return [{"from": [{"source": source}]}]


def _repaired(of: dict[str, Callable[[], object]]) -> dict[str, Callable[[], object]]:
    """A fault that its hint repairs: what is left of it is removed all the same."""
    return {"make": of["make"], "tidy": of["undo"]}


_STRICT = written("nhn", "security", "PeerAuthentication", {"mtls": {"mode": "STRICT"}})
_PLAIN = {"tls": {"mode": "DISABLE"}}
_CLIENTS = (
    PathFault(
        "the client started before its namespace was labelled",
        "injection",
        between(client="kt", own=True),
        "kt: no pod that could call sample/reviews has a sidecar",
        make=_started_before("kt"),
    ),
    PathFault(
        "the client excludes the port from its sidecar",
        "injection",
        between(client="ncloud", own=True),
        "ncloud: calls of sample/reviews by pod sample/sleep-",
        make=_template("ncloud", "sleep", annotations={f"{_TRAFFIC}excludeOutboundPorts": "80,9080"}),
        tidy=_template("ncloud", "sleep", annotations={f"{_TRAFFIC}excludeOutboundPorts": None}),
    ),
    PathFault(
        "the client refuses a sidecar",
        "injection",
        between(client="nhn", own=True),
        "nhn: no pod that could call sample/reviews has a sidecar",
        make=_template("nhn", "sleep", labels={_INJECT: "false"}),
        tidy=_template("nhn", "sleep", labels={_INJECT: None}),
    ),
)
_SIDECARS = (
    PathFault(
        "a Sidecar without any host",
        "sidecar",
        between(client="kt", own=True),
        "kt: Sidecar sample/fault leaves out sample/reviews",
        **_repaired(written("kt", "networking", "Sidecar", {"egress": [{"hosts": ["~/*"]}]})),
    ),
    PathFault(
        "a Sidecar of the root namespace",
        "sidecar",
        between(client="ncloud", own=True),
        "ncloud: Sidecar istio-system/fault leaves out sample/reviews",
        **_repaired(
            written(
                "ncloud", "networking", "Sidecar", {"egress": [{"hosts": ["istio-system/*"]}]}, "istio-system"
            )
        ),
    ),
    PathFault(
        "a Sidecar for another port",
        "sidecar",
        between(client="nhn", own=True),
        "nhn: Sidecar sample/fault leaves out sample/reviews",
        **written(
            "nhn",
            "networking",
            "Sidecar",
            {"egress": [{"port": {"number": 80, "protocol": "HTTP", "name": "http"}, "hosts": ["./*"]}]},
        ),
    ),
)
_ROUTES = (
    PathFault(
        "a route to a port that the Service does not have",
        "virtual-service",
        between(client="kt", own=True),
        "kt: VirtualService sample/fault routes sample/reviews elsewhere",
        **_route("kt", {"route": [{"destination": {"host": "reviews", "port": {"number": 8080}}}]}),
    ),
    PathFault(
        "a route that aborts every request",
        "virtual-service",
        between(client="ncloud", own=True),
        "ncloud: VirtualService sample/fault routes sample/reviews elsewhere",
        **_route(
            "ncloud",
            {
                "fault": {"abort": {"percentage": {"value": 100}, "httpStatus": 503}},
                "route": [{"destination": {"host": "reviews"}}],
            },
        ),
    ),
    PathFault(
        "a route that redirects",
        "virtual-service",
        between(client="nhn", own=True),
        "nhn: VirtualService sample/fault routes sample/reviews elsewhere",
        **_route("nhn", {"redirect": {"authority": "old.example"}}),
    ),
)
_MORE_ROUTES = (
    PathFault(
        "a route to a subset that is not defined",
        "virtual-service",
        between(client="kt", own=True),
        "kt: VirtualService sample/fault routes sample/reviews to subset v9, which is not defined",
        **_route("kt", {"route": [{"destination": {"host": "reviews", "subset": "v9"}}]}),
    ),
    PathFault(
        "a route of another namespace",
        "virtual-service",
        between(client="ncloud", own=True),
        "ncloud: VirtualService default/fault routes sample/reviews elsewhere",
        **written(
            "ncloud",
            "networking",
            "VirtualService",
            {"hosts": [HOST], "http": [{"route": [{"destination": {"host": "reviews"}}]}]},
            "default",
        ),
    ),
    PathFault(
        "a route that responds itself",
        "virtual-service",
        between(client="nhn", own=True),
        "nhn: VirtualService sample/fault routes sample/reviews elsewhere",
        **_route("nhn", {"directResponse": {"status": 200, "body": {"string": "closed"}}}),
    ),
)
_RULES = (
    PathFault(
        "a DestinationRule without mTLS",
        "destination-rule",
        between(client="kt"),
        "kt: DestinationRule sample/fault turns mTLS off for sample/reviews",
        **_repaired(_rule("kt", _PLAIN, ".")),
    ),
    PathFault(
        "a DestinationRule with TLS of its own for the port",
        "destination-rule",
        between(client="ncloud"),
        "ncloud: DestinationRule sample/fault turns mTLS off for sample/reviews",
        **_repaired(
            _rule(
                "ncloud",
                {"portLevelSettings": [{"port": {"number": 9080}, "tls": {"mode": "SIMPLE"}}]},
                ".",
            )
        ),
    ),
    PathFault(
        "plain text where the server requires mTLS",
        "destination-rule",
        between(client="nhn", own=True),
        "nhn: DestinationRule sample/fault turns mTLS off for sample/reviews",
        make=lambda: (_STRICT["make"](), _rule("nhn", _PLAIN, ".")["make"]()),
        tidy=lambda: (_rule("nhn", _PLAIN, ".")["undo"](), _STRICT["undo"]()),
    ),
)
_PORTS = (
    PathFault(
        "a selector that selects no pod",
        "endpoints",
        between(target="kt", own=True),
        "kt: Service sample/reviews has no ready endpoint",
        **_service("kt", selector={"app": "review"}),
    ),
    PathFault(
        "a target port by a name that no container has",
        "endpoints",
        between(target="ncloud", own=True),
        "ncloud: no pod of Service sample/reviews has target port web",
        **_repaired(_service("ncloud", ports=_port("web"))),
    ),
    PathFault(
        "a target port that nothing listens on",
        "endpoints",
        between(target="nhn", own=True),
        "nhn: nothing listens on target port 9081 of sample/reviews",
        **_repaired(_service("nhn", ports=_port(9081))),
    ),
)
_PODS = (
    PathFault(
        "a Service that is exported to another namespace",
        "export",
        between(client="kt", own=True) | between(target="kt"),
        "kt: Service sample/reviews is not exported to namespace",
        make=lambda: kubectl(
            "kt", "annotate", "service", "reviews", "-n", "sample", "networking.istio.io/exportTo=shop"
        ),
        tidy=lambda: kubectl(
            "kt", "annotate", "service", "reviews", "-n", "sample", "networking.istio.io/exportTo-"
        ),
    ),
    PathFault(
        "pods with the label of another network",
        "endpoints",
        frozenset({"nhn → ncloud"}),
        "ncloud: pods of Service sample/reviews have the label of another network",
        make=_template("ncloud", _reviews("ncloud"), labels={"topology.istio.io/network": "network9"}),
        tidy=_template("ncloud", _reviews("ncloud"), labels={"topology.istio.io/network": None}),
    ),
    PathFault(
        "pods that exclude the port from their sidecar",
        "endpoints",
        frozenset({"ncloud → nhn", "nhn → nhn"}),
        "nhn: calls of sample/reviews go past the sidecar of pod reviews-v3-",
        make=_template("nhn", _reviews("nhn"), annotations={f"{_TRAFFIC}excludeInboundPorts": "9080"}),
        tidy=_template("nhn", _reviews("nhn"), annotations={f"{_TRAFFIC}excludeInboundPorts": None}),
    ),
)
_POLICIES = (
    PathFault(
        "a policy that denies the client's service account",
        "authorization",
        between(target="kt", own=True),
        "kt: AuthorizationPolicy sample/fault refuses cluster.local/ns/sample/sa/sleep",
        **_policy("kt", action="DENY", rules=_from(principals=["cluster.local/ns/sample/sa/sleep"])),
    ),
    PathFault(
        "a policy that allows another trust domain",
        "authorization",
        between(target="ncloud", own=True),
        "ncloud: AuthorizationPolicy sample/fault refuses cluster.local/ns/sample/sa/sleep",
        **_policy("ncloud", rules=_from(principals=["old.example/ns/sample/sa/sleep"])),
    ),
    PathFault(
        "a policy that allows another namespace",
        "authorization",
        between(target="nhn", own=True),
        "nhn: AuthorizationPolicy sample/fault refuses cluster.local/ns/sample/sa/sleep",
        **_policy("nhn", selector={"matchLabels": {"app": "reviews"}}, rules=_from(namespaces=["shop"])),
    ),
)
_MORE_POLICIES = (
    PathFault(
        "a policy without rules",
        "authorization",
        between(target="kt", own=True),
        "kt: AuthorizationPolicy sample/fault refuses cluster.local/ns/sample/sa/sleep",
        **_policy("kt"),
    ),
    PathFault(
        "a policy that allows addresses of another cluster",
        "authorization",
        between(target="ncloud", own=True),
        "ncloud: AuthorizationPolicy sample/fault refuses cluster.local/ns/sample/sa/sleep",
        **_policy("ncloud", rules=_from(ipBlocks=["10.201.0.0/24"])),
    ),
    PathFault(
        "a policy with an authorizer that is not there",
        "authorization",
        between(target="nhn", own=True),
        "nhn: AuthorizationPolicy sample/fault refuses cluster.local/ns/sample/sa/sleep",
        **_policy("nhn", action="CUSTOM", provider={"name": "opa"}, rules=[{}]),
    ),
)
_SERVERS = (
    PathFault(
        "a policy of the root namespace that denies the port",
        "authorization",
        between(target="kt", own=True),
        # Whom it refuses differs: without a Service in nhn any pod there may be taken for the client.
        "kt: AuthorizationPolicy istio-system/fault refuses ",
        **_policy("kt", "istio-system", action="DENY", rules=[{"to": [{"operation": {"ports": ["9080"]}}]}]),
    ),
    PathFault(
        "a DestinationRule of the gateway without mTLS",
        "destination-rule",
        between(target="ncloud"),
        "ncloud: DestinationRule sample/fault turns mTLS off for sample/reviews",
        **_repaired(_rule("ncloud", _PLAIN, "istio-system")),
    ),
    PathFault(
        "a Service that was deleted",
        "service",
        between(target="nhn", own=True),
        "nhn has no Service sample/reviews: its endpoints belong to no Service",
        make=_delete_service,
        undo=_create_service,
    ),
)
_MTLS = (
    PathFault(
        "a PeerAuthentication without mTLS for the port",
        "peer-authentication",
        of_cluster("kt"),
        "kt: PeerAuthentication sample/fault turns mTLS off for sample/reviews",
        **_repaired(
            written(
                "kt",
                "security",
                "PeerAuthentication",
                {
                    "selector": {"matchLabels": {"app": "reviews"}},
                    "portLevelMtls": {"9080": {"mode": "DISABLE"}},
                },
            )
        ),
    ),
)
_AUTOMATIC = (
    PathFault(
        "automatic mTLS is off",
        "destination-rule",
        of_cluster("nhn"),
        "nhn: automatic mTLS is off, no DestinationRule turns it on for sample/reviews",
        make=mesh_with("nhn", "enableAutoMtls: false"),
        undo=mesh_again("nhn"),
    ),
)

_CLUSTER_LOCAL = f"""
serviceSettings:
- settings: {{clusterLocal: true}}
  hosts: [{HOST}]
"""
_OWN_FIRST = {"localityLbSetting": {"enabled": True, "failoverPriority": ["topology.istio.io/cluster"]}}
_LOCAL = (
    Kept(
        "the Service is cluster-local",
        "sharing",
        between(client="kt"),
        "cluster-local by meshConfig.serviceSettings of kt",
        make=mesh_with("kt", _CLUSTER_LOCAL),
        undo=mesh_again("kt"),
    ),
    Kept(
        "trafficDistribution is PreferClose",
        "sharing",
        between(client="ncloud"),
        "trafficDistribution: PreferClose",
        make=sample("ncloud", "service", "reviews", {"spec": {"trafficDistribution": "PreferClose"}}),
        undo=sample("ncloud", "service", "reviews", {"spec": {"trafficDistribution": None}}),
    ),
    Kept(
        "a DestinationRule that calls its own cluster first",
        "destination-rule",
        between(client="nhn"),
        "failoverPriority keeps calls in the cluster",
        **_rule("nhn", {"loadBalancer": _OWN_FIRST, "outlierDetection": {"consecutive5xxErrors": 5}}, "."),
    ),
)
_GATEWAY = "gateways.networking.istio.io"
_EAST_WEST = "cross-network-gateway"


def _hosts_of_gateway() -> None:
    (server,) = get("ncloud", _GATEWAY, _EAST_WEST)["spec"]["servers"]
    hosts = {"spec": {"servers": [{**server, "hosts": ["*.shop.svc.cluster.local"]}]}}
    patch("ncloud", _GATEWAY, _EAST_WEST, hosts)


_TLS_MODE = "security.istio.io/tlsMode"


def _applied(context: str, document: Mapping[str, object], kind: str) -> dict[str, Callable[[], object]]:
    """An object named `fault` in the sample's namespace: what creates it, and what deletes it."""
    whole = {**document, "metadata": {"name": "fault", "namespace": "sample"}}

    def delete() -> None:
        kubectl(context, "delete", kind, "fault", "-n", "sample", "--ignore-not-found")

    return {"make": lambda: kubectl(context, "apply", "-f", "-", stdin=json.dumps(whole)), "undo": delete}


def _http_route(context: str) -> dict[str, Callable[[], object]]:
    """An HTTPRoute of the Service that leads to another one."""
    parent = {"group": "", "kind": "Service", "name": "reviews", "port": 9080}
    spec = {"parentRefs": [parent], "rules": [{"backendRefs": [{"name": "sleep", "port": 80}]}]}
    head = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute"}
    return _applied(context, {**head, "spec": spec}, "httproute")


def _envoy_filter(context: str) -> dict[str, Callable[[], object]]:
    """An EnvoyFilter that takes the cluster of the service from the client's proxy."""
    match = {"context": "SIDECAR_OUTBOUND", "cluster": {"service": HOST}}
    change = {"applyTo": "CLUSTER", "match": match, "patch": {"operation": "REMOVE"}}
    spec = {"workloadSelector": {"labels": {"app": "sleep"}}, "configPatches": [change]}
    head = {"apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter"}
    return _applied(context, {**head, "spec": spec}, "envoyfilter")


def _subset(context: str, **policy: object) -> dict[str, Callable[[], object]]:
    """A DestinationRule with one subset of all pods."""
    subset = {"name": "all", "labels": {"app": "reviews"}, **policy}
    return written(context, "networking", "DestinationRule", {"host": "reviews", "subsets": [subset]})


_TO_SUBSET = _route("kt", {"route": [{"destination": {"host": "reviews", "subset": "all"}}]})
_OF_SUBSETS = (
    _subset("kt", trafficPolicy=_PLAIN),
    _subset("ncloud"),
    _subset("nhn"),
)
_WRITTEN_BY_USERS = (
    PathFault(
        "a subset without mTLS",
        "destination-rule",
        between(client="kt"),
        "kt: DestinationRule sample/fault turns mTLS off for subset all of sample/reviews",
        make=lambda: [one["make"]() for one in (*_OF_SUBSETS, _TO_SUBSET)],
        tidy=lambda: [one["undo"]() for one in (_TO_SUBSET, *_OF_SUBSETS)],
    ),
    PathFault(
        "an HTTPRoute that leads to another service",
        "virtual-service",
        between(client="ncloud", own=True),
        "ncloud: HTTPRoute sample/fault routes sample/reviews elsewhere",
        **_http_route("ncloud"),
    ),
    PathFault(
        "a Sidecar that sends calls to a port that refuses",
        "endpoints",
        between(target="nhn", own=True),
        "nhn: Sidecar sample/fault sends calls of sample/reviews to port 8081",
        **written(
            "nhn",
            "networking",
            "Sidecar",
            {
                "workloadSelector": {"labels": {"app": "reviews"}},
                "ingress": [
                    {
                        "port": {"number": 9080, "protocol": "HTTP", "name": "http"},
                        "defaultEndpoint": "127.0.0.1:8081",
                    }
                ],
                "egress": [{"hosts": ["*/*"]}],
            },
        ),
    ),
)
_UNSEEN = (
    PathFault(
        "an EnvoyFilter that removes the service",
        "proxy",
        between(client="kt", own=True),
        "kt: a client has no healthy endpoint of",
        **_envoy_filter("kt"),
    ),
    PathFault(
        "pods whose label turns mTLS off",
        "endpoints",
        frozenset({"kt → ncloud", "nhn → ncloud"}),
        "ncloud: no pod of Service sample/reviews has a sidecar",
        make=_template("ncloud", _reviews("ncloud"), labels={_TLS_MODE: "disabled"}),
        tidy=_template("ncloud", _reviews("ncloud"), labels={_TLS_MODE: None}),
    ),
)
_OTHER_SERVER = {
    "tls": {"mode": "ISTIO_MUTUAL", "subjectAltNames": ["spiffe://old.example/ns/sample/sa/old"]}
}
_CONNECTIONS = (
    PathFault(
        "a DestinationRule with a PROXY header",
        "destination-rule",
        between(client="kt", own=True),
        "kt: calls of sample/reviews fail by DestinationRule sample/fault",
        **_repaired(_rule("kt", {"proxyProtocol": {"version": "V1"}}, ".")),
    ),
    PathFault(
        "a DestinationRule that requires the certificate of another server",
        "destination-rule",
        between(client="ncloud", own=True),
        "ncloud: calls of sample/reviews fail by DestinationRule sample/fault",
        **_repaired(_rule("ncloud", _OTHER_SERVER, ".")),
    ),
    PathFault(
        "a Sidecar that intercepts no calls",
        "sidecar",
        between(client="nhn", own=True),
        "nhn: Sidecar sample/fault does not intercept calls of sample/reviews",
        **_repaired(
            written(
                "nhn",
                "networking",
                "Sidecar",
                {
                    "workloadSelector": {"labels": {"app": "sleep"}},
                    "egress": [
                        {
                            "port": {"number": 9080, "protocol": "HTTP", "name": "http"},
                            "captureMode": "NONE",
                            "hosts": ["./*"],
                        },
                        {"hosts": ["istio-system/*"]},
                    ],
                },
            )
        ),
    ),
)
_MORE_CONNECTIONS = (
    PathFault(
        "a gateway that calls the address of the Service",
        "destination-rule",
        between(target="kt"),
        "kt: calls of sample/reviews fail by DestinationRule sample/fault",
        **_repaired(_rule("kt", {"loadBalancer": {"simple": "PASSTHROUGH"}}, "istio-system")),
    ),
    PathFault(
        "a DestinationRule with another SNI",
        "destination-rule",
        between(client="ncloud"),
        "ncloud: calls of sample/reviews fail by DestinationRule sample/fault",
        **_repaired(_rule("ncloud", {"tls": {"mode": "ISTIO_MUTUAL", "sni": "reviews.example"}}, ".")),
    ),
    PathFault(
        "a policy of tokens without what reads them",
        "authorization",
        between(target="nhn", own=True) - between(client="ncloud"),  # these end at the client's rule
        "nhn: AuthorizationPolicy sample/fault requires a token that nothing reads",
        **_policy("nhn", rules=_from(requestPrincipals=["*"])),
    ),
)
_OPEN = (
    PathFault(
        "a DestinationRule that would call its own cluster first without outlierDetection",
        "",
        frozenset(),
        "",
        **_rule("kt", {"loadBalancer": _OWN_FIRST}, "."),
    ),
    PathFault(
        "a Gateway whose hosts leave the service out",
        "link",
        between(target="ncloud"),
        "services are not exposed to the other networks",
        make=_hosts_of_gateway,
    ),
)

ROUNDS: tuple[tuple[PathFault, ...], ...] = (
    _CLIENTS,
    _SIDECARS,
    _ROUTES,
    _MORE_ROUTES,
    _RULES,
    _PORTS,
    _PODS,
    _POLICIES,
    _MORE_POLICIES,
    _SERVERS,
    _MTLS,
    _AUTOMATIC,
    _LOCAL,
    _OPEN,
    _WRITTEN_BY_USERS,
    _UNSEEN,
    _CONNECTIONS,
    _MORE_CONNECTIONS,
)
