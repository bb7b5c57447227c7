"""trace on stand-in clusters: every path of a service, the hop that is broken, and what repairs it."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from istio_mc.domain.problem import Code, Problem, ProblemError
from istio_mc.ops import trace as op
from istio_mc.ops.verify import discovery
from tests.support.fixtures import made_once
from tests.support.marks import in_thorough

if TYPE_CHECKING:
    from collections.abc import Callable

    from istio_mc.gateways.kube.client import Kube
    from tests.support.cluster import Cluster
    from tests.support.kinds import Object
    from tests.support.mesh import Mesh
    from tests.support.runs import Result

SYSTEM = "istio-system"
NAMES = ("kt", "ncloud", "nhn")
THOROUGH = pytest.mark.thorough


@pytest.fixture(name="sampled")
def _sampled(installed: Mesh, monkeypatch: pytest.MonkeyPatch) -> Mesh:
    """A mesh with a service and a client in every cluster."""
    monkeypatch.setattr(discovery, "_AGAIN_S", 0.01)
    made_once(installed, "a service and a client everywhere", lambda: deploy(installed))
    return installed


def deploy(mesh: Mesh) -> None:
    for one in mesh.clusters.values():
        one.deploy("reviews", "sample")
        one.deploy("sleep", "sample")
        one.settle()


def trace(mesh: Mesh, *words: str, code: int = 0) -> Result:
    return mesh.run("trace", *(words or ("sample/reviews",)), "-o", "json").exits(code)


def broken(result: Result) -> dict[str, str]:
    """The broken hop of each path that has one."""
    return {
        f"{one['from']} → {one['to']}": one["brokenHop"] for one in result.data["paths"] if one["brokenHop"]
    }


def test_every_path_of_a_service_that_works_is_ok(sampled: Mesh) -> None:
    result = trace(sampled)
    assert (result.data["namespace"], result.data["service"], result.data["port"]) == (
        "sample",
        "reviews",
        9080,
    )
    assert [(one["from"], one["to"]) for one in result.data["paths"]] == [
        (a, b) for a in NAMES for b in NAMES
    ]
    assert {one["state"] for one in result.data["paths"]} == {"ok"}
    assert all(pod.startswith("sample/sleep-") for pod in result.data["clients"].values())
    assert result.errors == result.warnings == []


@pytest.mark.thorough
def test_nothing_is_written(sampled: Mesh) -> None:
    before = sampled.snapshots()
    trace(sampled)
    assert sampled.snapshots() == before


def test_of_a_wrong_network_label_the_text_reports_that_calls_may_still_pass(sampled: Mesh) -> None:
    ncloud = sampled["ncloud"]
    label = {"topology.istio.io/network": "network9"}
    ncloud.edit(ncloud.get("Namespace", SYSTEM), lambda copy: copy["metadata"]["labels"].update(label))
    text = sampled.run("trace", "sample/reviews").exits(4).stdout
    note = "link: calls may still pass until proxies get new configuration (kt → ncloud, "
    assert note in text


def test_of_a_missing_remote_secret_the_text_does_not_report_that_calls_pass(sampled: Mesh) -> None:
    kt = sampled["kt"]
    kt.delete(kt.get("Secret", "istio-remote-secret-nhn-nks", SYSTEM))
    assert "may still pass" not in sampled.run("trace", "sample/reviews").exits(4).stdout


def test_the_text_is_a_matrix_and_with_from_and_to_every_hop(sampled: Mesh) -> None:
    shown = sampled.run("trace", "reviews").exits(0).stdout.splitlines()
    assert shown[0] == "sample/reviews, port 9080"
    assert [line.split() for line in shown[1:5]] == [
        ["FROM", "\\", "TO", *NAMES],
        *([name, "√", "√", "√"] for name in NAMES),
    ]
    assert shown[5] == "9 paths: 9 ok"
    lines = sampled.run("trace", "reviews", "--from", "kt", "--to", "nhn").exits(0).stdout
    assert "  √ authorization: no policy" in lines
    assert "  √ gateway: SNI route in 1 gateway pod" in lines


@pytest.mark.thorough
def test_one_direction_can_be_chosen(sampled: Mesh) -> None:
    def paths(*words: str) -> list[tuple[str, str]]:
        return [(one["from"], one["to"]) for one in trace(sampled, "sample/reviews", *words).data["paths"]]

    assert paths("--to", "kt") == [("ncloud", "kt"), ("nhn", "kt")]
    assert paths("--from", "kt", "--to", "kt") == [("kt", "kt")]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sample/nothing"], "no cluster that responds has a Service sample/nothing"),
        pytest.param(
            ["nothing"], "no cluster that responds has a Service nothing", marks=pytest.mark.thorough
        ),
        (["sample/reviews", "--port", "81"], "Service sample/reviews has no TCP port 81"),
        (["sample/reviews", "--to", "aws"], "--to: aws is not a cluster of this run"),
        (["a/b/c"], "give SERVICE or NAMESPACE/SERVICE"),
        pytest.param(
            ["kubernetes/reviews"],
            "no cluster that responds has a Service kubernetes/reviews",
            marks=THOROUGH,
        ),
        pytest.param(
            ["sample/reviews", "--from", "aws"], "--from: aws is not a cluster of this run", marks=THOROUGH
        ),
        pytest.param(["sample/"], "give SERVICE or NAMESPACE/SERVICE", marks=THOROUGH),
    ],
)
def test_a_service_port_or_cluster_that_is_not_there_is_refused(
    sampled: Mesh, words: list[str], message: str
) -> None:
    assert message in sampled.run("trace", *words).exits(2).stderr


@pytest.mark.thorough
def test_a_name_that_several_namespaces_have_is_refused(sampled: Mesh) -> None:
    sampled["kt"].deploy("reviews", "shop")
    assert "several namespaces have a Service reviews" in sampled.run("trace", "reviews").exits(2).stderr


def custom(one: Cluster, group: str, kind: str, name: str, spec: Object, namespace: str = "sample") -> None:
    metadata = {"name": name, "namespace": namespace}
    one.make({"apiVersion": f"{group}.istio.io/v1", "kind": kind, "metadata": metadata, "spec": spec})


def edit(
    one: Cluster, kind: str, name: str, change: Callable[[Object], Any], namespace: str = "sample"
) -> None:
    one.edit(one.get(kind, name, namespace), change)
    one.settle()


def ruled(one: Cluster, policy: Object, *to: str) -> None:
    """A DestinationRule for the service, exported to some namespaces only."""
    spec = {"host": "reviews", "trafficPolicy": policy, **({"exportTo": list(to)} if to else {})}
    custom(one, "networking", "DestinationRule", "fault", spec)


def labelled_as_gateway(one: Cluster) -> None:
    """A Service with an address, and with the label of a network that only gateways should have."""
    labels = {"topology.istio.io/network": "network3"}
    one.make(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web", "namespace": "sample", "labels": labels},
            "spec": {"ports": [{"name": "http", "port": 80}], "externalIPs": ["203.0.113.9"]},
        }
    )


def annotated(name: str, value: str) -> Callable[[Object], Any]:
    return lambda item: item["metadata"].setdefault("annotations", {}).update({name: value})


def service_spec(**values: object) -> Callable[[Object], Any]:
    return lambda item: item["spec"].update(values)


def mesh_config(one: Cluster, text: str) -> None:
    edit(
        one, "ConfigMap", "istio", lambda item: item["data"].update(mesh=item["data"]["mesh"] + text), SYSTEM
    )


def without_injection(one: Cluster, app: str = "reviews") -> None:
    """Takes the label from the namespace, and restarts a service."""
    edit(one, "Namespace", "sample", lambda item: item["metadata"]["labels"].clear(), "")
    replace_pods(one, "sample", [f"deployment/{app}"])


def labelled_afterwards(one: Cluster) -> None:
    """The namespace has the label, and the client started before."""
    without_injection(one, "sleep")
    edit(one, "Namespace", "sample", labelled("istio-injection=enabled"), "")


def template(one: Cluster, app: str, **metadata: dict[str, str]) -> None:
    """Gives the pods of a workload labels or annotations."""

    def change(item: Object) -> None:
        for key, values in metadata.items():
            item["spec"]["template"]["metadata"].setdefault(key, {}).update(values)

    edit(one, "Deployment", app, change)
    replace_pods(one, "sample", [f"deployment/{app}"])


def labelled(pair: str) -> Callable[[Object], Any]:
    key, value = pair.split("=")
    return lambda item: item["metadata"].setdefault("labels", {}).update({key: value})


@dataclass(frozen=True)
class Fault:
    """A way to break paths.

    Attributes:
        make: Breaks it, in nhn.
        hop: The hop that is named.
        paths: The paths that are broken.
        message: What is said, in part.
        fixed: Whether the hint is a command that repairs it, of those that the stand-in knows.
    """

    make: Callable[[Cluster], object]
    hop: str
    paths: tuple[str, ...]
    message: str
    fixed: bool = False


TO_NHN = ("kt → nhn", "ncloud → nhn")
FROM_NHN = ("nhn → kt", "nhn → ncloud")
ALL_OF_NHN = (*FROM_NHN, "nhn → nhn")
NOT_CAPTURED = {"port": {"number": 9080, "protocol": "HTTP"}, "captureMode": "NONE", "hosts": ["./*"]}
TOKENS = {"rules": [{"from": [{"source": {"requestPrincipals": ["*"]}}]}]}
MTLS_OFF = {"mtls": {"mode": "DISABLE"}}
DENY = {"action": "DENY", "rules": [{"from": [{"source": {"namespaces": ["sample"]}}]}]}
ELSEWHERE = {"hosts": ["reviews"], "http": [{"route": [{"destination": {"host": "ratings"}}]}]}
TOO_SHORT = {
    "hosts": ["reviews"],
    "http": [{"timeout": "1ms", "route": [{"destination": {"host": "reviews"}}]}],
}

FAULTS: dict[str, Fault] = {
    "other ports": Fault(
        lambda nhn: edit(nhn, "Service", "reviews", service_spec(ports=[{"name": "grpc", "port": 9080}])),
        "service",
        (*TO_NHN, *FROM_NHN),
        "port 9080 of sample/reviews is not that of",
    ),
    "kept on the node": Fault(
        lambda nhn: edit(nhn, "Service", "reviews", service_spec(internalTrafficPolicy="Local")),
        "sharing",
        FROM_NHN,
        "nhn: Service sample/reviews has internalTrafficPolicy: Local",
        fixed=True,
    ),
    "exported to its own namespace only": Fault(
        lambda nhn: edit(nhn, "Service", "reviews", annotated("networking.istio.io/exportTo", ".")),
        "export",
        TO_NHN,
        "nhn: Service sample/reviews is not exported to namespace istio-system",
        fixed=True,
    ),
    "left out by discoverySelectors": Fault(
        lambda nhn: mesh_config(nhn, "\ndiscoverySelectors:\n- matchLabels: {mesh: 'yes'}\n"),
        "selectors",
        (*TO_NHN, *ALL_OF_NHN),
        "kt: namespaces sample and istio-system are left out by discoverySelectors of nhn",
        fixed=True,
    ),
    "no ready pod": Fault(
        lambda nhn: edit(nhn, "Deployment", "reviews", service_spec(replicas=0)),
        "endpoints",
        (*TO_NHN, "nhn → nhn"),
        "nhn: Service sample/reviews has no ready endpoint",
    ),
    "pods without a sidecar": Fault(
        without_injection,
        "endpoints",
        TO_NHN,
        "nhn: no pod of Service sample/reviews has a sidecar",
        fixed=True,
    ),
    "a client in a namespace without the label": Fault(
        lambda nhn: without_injection(nhn, "sleep"),
        "injection",
        ALL_OF_NHN,
        "nhn: namespace sample is not injected, no pod has a sidecar",
        fixed=True,
    ),
    "a client that started before the label": Fault(
        labelled_afterwards,
        "injection",
        ALL_OF_NHN,
        "nhn: no pod that could call sample/reviews has a sidecar",
        fixed=True,
    ),
    "a client that opts out": Fault(
        lambda nhn: template(nhn, "sleep", labels={"sidecar.istio.io/inject": "false"}),
        "injection",
        ALL_OF_NHN,
        "nhn: no pod that could call sample/reviews has a sidecar",
        fixed=True,
    ),
    "a port that goes past the client's sidecar": Fault(
        lambda nhn: template(
            nhn, "sleep", annotations={"traffic.sidecar.istio.io/excludeOutboundPorts": "9080"}
        ),
        "injection",
        ALL_OF_NHN,
        "nhn: calls of sample/reviews by pod sample/sleep-",
        fixed=True,
    ),
    "a port that goes past the server's sidecar": Fault(
        lambda nhn: template(
            nhn, "reviews", annotations={"traffic.sidecar.istio.io/excludeInboundPorts": "9080"}
        ),
        "endpoints",
        (*TO_NHN, "nhn → nhn"),
        "nhn: calls of sample/reviews go past the sidecar of pod reviews-",
        fixed=True,
    ),
    "a target port that nothing listens on": Fault(
        lambda nhn: edit(
            nhn,
            "Service",
            "reviews",
            service_spec(ports=[{"name": "http", "port": 9080, "targetPort": 9081}]),
        ),
        "endpoints",
        (*TO_NHN, "nhn → nhn"),
        "nhn: nothing listens on target port 9081 of sample/reviews",
        fixed=True,
    ),
    "a client whose calls no sidecar intercepts": Fault(
        lambda nhn: template(nhn, "sleep", annotations={"sidecar.istio.io/interceptionMode": "NONE"}),
        "injection",
        ALL_OF_NHN,
        "nhn: calls of sample/reviews by pod sample/sleep-",
        fixed=True,
    ),
    "another port number": Fault(
        lambda nhn: edit(
            nhn,
            "Service",
            "reviews",
            service_spec(ports=[{"name": "http", "port": 9090, "targetPort": 9080}]),
        ),
        "service",
        (*TO_NHN, *ALL_OF_NHN),
        "nhn: port 9080 of sample/reviews is not that of kt",
    ),
    "a Service that names another host": Fault(
        lambda nhn: edit(
            nhn, "Service", "reviews", service_spec(type="ExternalName", externalName="reviews.example")
        ),
        "service",
        (*TO_NHN, *ALL_OF_NHN),
        "nhn: Service sample/reviews is of type ExternalName",
    ),
    "a VirtualService with a timeout that is too short": Fault(
        lambda nhn: custom(nhn, "networking", "VirtualService", "late", TOO_SHORT),
        "virtual-service",
        FROM_NHN,
        "nhn: calls of sample/reviews time out by VirtualService sample/late",
    ),
    "a Service that was deleted": Fault(
        lambda nhn: nhn.delete(nhn.get("Service", "reviews", "sample")),
        "service",
        (*TO_NHN, "nhn → nhn"),
        "nhn has no Service sample/reviews: its endpoints belong to no Service",
    ),
    "a Sidecar that leaves it out": Fault(
        lambda nhn: custom(nhn, "networking", "Sidecar", "default", {"egress": [{"hosts": ["./ratings.*"]}]}),
        "sidecar",
        ALL_OF_NHN,
        "nhn: Sidecar sample/default leaves out sample/reviews",
        fixed=True,
    ),
    "a ServiceEntry for the host": Fault(
        lambda nhn: custom(
            nhn,
            "networking",
            "ServiceEntry",
            "old",
            {"hosts": ["reviews.sample.svc.cluster.local"], "resolution": "DNS"},
        ),
        "service-entry",
        ALL_OF_NHN,
        "nhn: ServiceEntry sample/old has the host of Service sample/reviews",
    ),
    "a VirtualService that routes elsewhere": Fault(
        lambda nhn: custom(nhn, "networking", "VirtualService", "old", ELSEWHERE),
        "virtual-service",
        ALL_OF_NHN,
        "nhn: VirtualService sample/old routes sample/reviews elsewhere",
    ),
    "a DestinationRule without mTLS": Fault(
        lambda nhn: custom(
            nhn,
            "networking",
            "DestinationRule",
            "plain",
            {"host": "reviews", "trafficPolicy": {"tls": {"mode": "DISABLE"}}},
        ),
        "destination-rule",
        (*TO_NHN, *FROM_NHN),
        "nhn: DestinationRule sample/plain turns mTLS off for sample/reviews",
        fixed=True,
    ),
    "a DestinationRule with a PROXY header": Fault(
        lambda nhn: ruled(nhn, {"proxyProtocol": {"version": "V1"}}),
        "destination-rule",
        ALL_OF_NHN,
        "nhn: calls of sample/reviews fail by DestinationRule sample/fault",
        fixed=True,
    ),
    "a DestinationRule that requires another server": Fault(
        lambda nhn: ruled(nhn, {"tls": {"mode": "ISTIO_MUTUAL", "subjectAltNames": ["reviews.example"]}}),
        "destination-rule",
        ALL_OF_NHN,
        "nhn: calls of sample/reviews fail by DestinationRule sample/fault",
        fixed=True,
    ),
    "a DestinationRule with another SNI": Fault(
        lambda nhn: ruled(nhn, {"tls": {"mode": "ISTIO_MUTUAL", "sni": "reviews.example"}}),
        "destination-rule",
        FROM_NHN,
        "nhn: calls of sample/reviews fail by DestinationRule sample/fault",
        fixed=True,
    ),
    "a DestinationRule by which a gateway calls the address of the Service": Fault(
        lambda nhn: ruled(nhn, {"loadBalancer": {"simple": "PASSTHROUGH"}}),
        "destination-rule",
        TO_NHN,
        "nhn: calls of sample/reviews fail by DestinationRule sample/fault",
        fixed=True,
    ),
    "a Sidecar that does not intercept calls": Fault(
        lambda nhn: custom(nhn, "networking", "Sidecar", "default", {"egress": [NOT_CAPTURED]}),
        "sidecar",
        ALL_OF_NHN,
        "nhn: Sidecar sample/default does not intercept calls of sample/reviews",
        fixed=True,
    ),
    "a Service that is taken for a gateway": Fault(
        labelled_as_gateway,
        "discovery",
        TO_NHN,
        "nhn: istiods take Service sample/web for a gateway of network3",
        fixed=True,
    ),
    "a policy of tokens without what reads them": Fault(
        lambda nhn: custom(nhn, "security", "AuthorizationPolicy", "jwt", TOKENS),
        "authorization",
        (*TO_NHN, "nhn → nhn"),
        "nhn: AuthorizationPolicy sample/jwt requires a token that nothing reads",
    ),
    "a PeerAuthentication without mTLS": Fault(
        lambda nhn: custom(nhn, "security", "PeerAuthentication", "off", MTLS_OFF),
        "peer-authentication",
        (*TO_NHN, *FROM_NHN),
        "nhn: PeerAuthentication sample/off turns mTLS off for sample/reviews",
        fixed=True,
    ),
    "an AuthorizationPolicy": Fault(
        lambda nhn: custom(nhn, "security", "AuthorizationPolicy", "deny", DENY),
        "authorization",
        (*TO_NHN, "nhn → nhn"),
        "nhn: AuthorizationPolicy sample/deny refuses cluster.local/ns/sample/sa/default",
    ),
    "a Gateway for other hosts": Fault(
        lambda nhn: edit(
            nhn,
            "Gateway",
            "cross-network-gateway",
            lambda item: item["spec"]["servers"][0].update(hosts=["*.example"]),
            SYSTEM,
        ),
        "link",
        TO_NHN,
        "services are not exposed to the other networks",
    ),
    "an istiod without its endpoints": Fault(
        lambda nhn: nhn.istiods.running()[0].blind.update({"kt-k2p"}),
        "discovery",
        ("nhn → kt",),
        "does not have the gateway of kt (synced)",
    ),
}


def carry_out(mesh: Mesh, hint: str) -> None:
    """Does what the kubectl commands of a hint do, in the stand-in."""
    for command in hint.split(" && "):
        words = shlex.split(command)
        context, namespace = words[2], words[words.index("-n") + 1] if "-n" in words else ""
        rest = [word for word in words[3:] if word not in ("-n", namespace)]
        one = mesh[context]
        match rest:
            case ["patch", kind, name, "--type", "merge", "-p", patch]:
                kinds = {kind.kind.lower(): kind.kind for kind in one.store.kinds.values()}
                edit(one, kinds[kind], name, merged(json.loads(patch)), namespace)
            case ["patch", kind, name, "--type", "json", "-p", patch]:
                kinds = {kind.kind.lower(): kind.kind for kind in one.store.kinds.values()}
                edit(one, kinds[kind], name, operated(json.loads(patch)), namespace)
            case ["patch", workload, "--type", "merge", "-p", patch]:
                edit(one, "Deployment", workload.partition("/")[2], merged(json.loads(patch)), namespace)
                replace_pods(one, namespace, [workload])
            case ["annotate", "service", name, pair, "--overwrite"]:
                edit(one, "Service", name, annotated(*pair.split("=")), namespace)
            case ["label", "namespace", *names, pair, "--overwrite"]:
                for name in names:
                    edit(one, "Namespace", name, labelled(pair), "")
            case ["rollout", "restart", *workloads]:
                replace_pods(one, namespace, workloads)
            case _:
                pytest.fail(hint)


def replace_pods(one: Cluster, namespace: str, workloads: list[str]) -> None:
    """Starts new pods of workloads, as a rollout does."""
    for pod in one.store.of("Pod", namespace):
        owner = pod["metadata"]["ownerReferences"][0]["name"].rpartition("-")[0]
        if f"deployment/{owner}" in workloads:
            one.delete(pod)
    one.settle()


def operated(operations: list[Object]) -> Callable[[Object], None]:
    """Does what a JSON patch of `add`, `replace` and `remove` does."""

    def operate(item: Object) -> None:
        for one in operations:
            *path, last = [int(word) if word.isdigit() else word for word in one["path"].split("/")[1:]]
            part: Any = item
            for word in path:
                part = part[word]
            if one["op"] == "remove":
                del part[last]
            elif last == "-":
                part.append(one["value"])
            else:
                part[last] = one["value"]

    return operate


def merged(patch: Object) -> Callable[[Object], None]:
    def merge(item: Object, over: Object = patch) -> None:
        for key, value in over.items():
            if isinstance(value, dict):
                merge(item.setdefault(key, {}), value)
            elif value is None:
                item.pop(key, None)
            else:
                item[key] = value

    return merge


@pytest.mark.thorough
@pytest.mark.parametrize("name", FAULTS)
def test_the_hop_that_is_broken_is_named(sampled: Mesh, name: str) -> None:
    fault = FAULTS[name]
    fault.make(sampled["nhn"])
    result = trace(sampled, code=4)
    assert broken(result) == dict.fromkeys(fault.paths, fault.hop)
    errors = [(one["cluster"], one["code"], one["message"]) for one in result.json["errors"]]
    assert len(errors) == len(set(errors))
    messages = [one["message"] for one in result.json["errors"]]
    assert any(fault.message in one for one in messages), messages
    if fault.fixed:
        hints = {(one["hintType"], one["hint"]) for one in result.json["errors"]}
        assert {kind for kind, _ in hints} == {"command"}
        for _, hint in hints:
            carry_out(sampled, hint)
        assert broken(trace(sampled)) == {}


def fix_in_verify(mesh: Mesh, code: str) -> str:
    """The fix that `verify` prints for a message."""
    result = mesh.run("verify", "-o", "json")
    (message,) = [one for one in result.json["messages"] if one["code"] == code]
    return str(message["hint"])


@pytest.mark.thorough
def test_verify_prints_the_same_commands_as_trace_for_pods_without_a_sidecar(sampled: Mesh) -> None:
    without_injection(sampled["nhn"])
    by_trace = [one["hint"] for one in trace(sampled, code=4).json["errors"]]
    assert by_trace
    assert fix_in_verify(sampled, "services-not-reached") == by_trace[0]
    assert "label namespace sample" in by_trace[0]
    assert "rollout restart deployment/reviews" in by_trace[0]


def test_verify_prints_the_command_that_edits_the_service_whose_port_differs(sampled: Mesh) -> None:
    edit(sampled["nhn"], "Service", "reviews", service_spec(ports=[{"name": "grpc", "port": 9080}]))
    fix = fix_in_verify(sampled, "services-disagree")
    assert fix.endswith("ports and port names: kubectl --context nhn -n sample edit service reviews")


def test_a_cluster_that_does_not_respond_breaks_its_paths_and_no_others(sampled: Mesh) -> None:
    sampled.cut("nhn")
    result = sampled.run("trace", "sample/reviews", "--contexts", ",".join(NAMES), "-o", "json").exits(4)
    assert broken(result) == dict.fromkeys((*TO_NHN, *ALL_OF_NHN), "link")


def test_a_proxy_that_cannot_be_read_is_unknown_and_a_warning(
    sampled: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(kube: Kube, *_: object) -> object:
        raise ProblemError(Problem(code=Code.STREAM_FAILED, message="refused", cluster=kube.context))

    monkeypatch.setattr(op, "read_cluster", refused)
    result = sampled.run("trace", "sample/reviews", "--from", "kt", "-o", "json").exits(0)
    assert {one["state"] for one in result.data["paths"]} == {"unknown"}
    assert {one["cluster"] for one in result.json["messages"]} == set(NAMES)


@pytest.mark.thorough
def test_unevaluated_rules_are_a_warning_and_not_a_fault(sampled: Mesh) -> None:
    nhn = sampled["nhn"]
    slice_labels = {"kubernetes.io/service-name": "reviews"}
    nhn.make(
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": "manual", "namespace": "sample", "labels": slice_labels},
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.9.9.9"], "conditions": {"ready": True}}],
            "ports": [{"name": "http", "port": 9080, "protocol": "TCP"}],
        }
    )
    selector = {"labels": {"app": "reviews"}}
    patches = [{"applyTo": "HTTP_FILTER", "match": {"context": "SIDECAR_INBOUND"}}]
    nhn.make(
        {
            "apiVersion": "networking.istio.io/v1alpha3",
            "kind": "EnvoyFilter",
            "metadata": {"name": "limit", "namespace": "sample"},
            "spec": {"workloadSelector": selector, "configPatches": patches},
        }
    )
    assert [(one["cluster"], one["message"]) for one in trace(sampled).json["messages"]] == [
        ("nhn", "nhn: EndpointSlice sample/manual adds an endpoint to Service sample/reviews"),
        ("nhn", "nhn: EnvoyFilter sample/limit changes calls of sample/reviews, and is not evaluated"),
    ]


@pytest.mark.thorough
def test_a_connection_pool_that_refuses_calls_is_a_warning_with_its_repair(sampled: Mesh) -> None:
    ruled(sampled["nhn"], {"connectionPool": {"http": {"http1MaxPendingRequests": 1}}}, ".")
    (warning,) = trace(sampled).json["messages"]
    assert (warning["code"], warning["cluster"]) == ("connection-pool-small", "nhn")
    shown = sampled.run("trace", "reviews").exits(0).stdout
    assert "destination-rule: DestinationRule sample/fault: http1MaxPendingRequests 1 (nhn → " in shown
    repair = warning["hint"].partition("remove them: ")[2].removesuffix("`").removeprefix("`")
    carry_out(sampled, repair)
    assert trace(sampled).json["messages"] == []


@pytest.mark.thorough
def test_a_policy_that_requires_a_token_is_listed_below_the_matrix(sampled: Mesh) -> None:
    custom(sampled["nhn"], "security", "AuthorizationPolicy", "jwt", TOKENS)
    custom(sampled["nhn"], "security", "RequestAuthentication", "jwt", {"jwtRules": [{"issuer": "shop"}]})
    shown = sampled.run("trace", "reviews").exits(0).stdout
    both = "AuthorizationPolicy sample/jwt, RequestAuthentication sample/jwt"
    assert f"depends on the request: {both} (kt → nhn, ncloud → nhn" in shown
    hops = [one for path in trace(sampled).data["paths"] for one in path["hops"] if one["dependsOnRequest"]]
    assert {one["id"] for one in hops} == {"authorization"}


@pytest.mark.thorough
def test_calls_that_stay_local_by_configuration_are_no_fault(sampled: Mesh) -> None:
    edit(sampled["kt"], "Service", "reviews", service_spec(trafficDistribution="PreferClose"))
    result = trace(sampled)
    local = [f"{one['from']} → {one['to']}" for one in result.data["paths"] if one["state"] == "local"]
    assert local == ["kt → ncloud", "kt → nhn"]
    shown = sampled.run("trace", "reviews").exits(0).stdout
    assert "kt → nhn: local by configuration: trafficDistribution: PreferClose" in shown


@pytest.mark.parametrize("what", ["list virtualservices", *in_thorough("list services")])
def test_an_object_that_cannot_be_read_ends_a_path_and_does_not_count_as_missing(
    sampled: Mesh, what: str
) -> None:
    sampled["nhn"].faults.denied.add(what)
    result = sampled.run("trace", "sample/reviews", "-o", "json").exits(4)
    assert set(broken(result).values()) == {"link"}
    assert {one["code"] for one in result.json["errors"]} == {"forbidden"}


def test_services_that_could_not_be_read_are_no_unknown_service(sampled: Mesh) -> None:
    for name in NAMES:
        sampled[name].faults.denied.add("list services")
    result = sampled.run("trace", "sample/reviews", "-o", "json").exits(1)
    assert {one["code"] for one in result.json["errors"]} == {"forbidden"}
