"""What Kubernetes' own controllers do in a stand-in cluster, a moment after something was written."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING

from tests.support import selectors, store, token_requests
from tests.support.refusals import Refused
from tests.support.store import By

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.support.cluster import Cluster
    from tests.support.kinds import Object, Served

KCM = By("kube-controller-manager")
_STATUS = By("kube-controller-manager", subresource="status")
_KUBELET = By("kubelet", subresource="status")
_SERVER = By("kube-apiserver", subresource="status")
_ACCOUNT = "kubernetes.io/service-account.name"
_TOKENS = "kubernetes.io/service-account-token"
_REVISION = "deployment.kubernetes.io/revision"
_HASH = "pod-template-hash"
_PROXY = {
    "name": "istio-proxy",
    "image": "docker.io/istio/proxyv2:1.26.0",
    "imagePullPolicy": "IfNotPresent",
    "env": [{"name": "PROXY_CONFIG_XDS_AGENT", "value": "true"}],
}


class Controllers:
    """Runs the controllers of one cluster in a thread of its own.

    Each pass looks at everything that is kept, so that none depends on what it saw before.

    Attributes:
        held: Names of controllers that do nothing for now, such as `workloads`.
    """

    def __init__(
        self, cluster: Cluster, all_of_them: Iterable[Callable[[Cluster], None]], moment_s: float
    ) -> None:
        self.held: set[str] = set()
        self._cluster = cluster
        self._controllers = tuple(all_of_them)
        self._moment_s = moment_s
        self._woken = threading.Event()
        self._over = threading.Event()
        self._idle = threading.Condition()
        self._passed = -1
        self.failure: BaseException | None = None

    def start(self) -> None:
        """Begins."""
        self._cluster.store.on_write.append(self._woken.set)
        self.start_again()

    def start_again(self) -> None:
        """Begins once more, after `stop`."""
        self._over.clear()
        self._woken.set()
        self._thread = threading.Thread(
            target=self._run, name=f"controllers of {self._cluster.name}", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Ends, and raises what went wrong in one of them."""
        self._over.set()
        self._woken.set()
        self._thread.join(10)
        if self.failure:
            raise self.failure

    def wake(self) -> None:
        """Has them look again, because something beside the objects changed."""
        with self._idle:
            self._passed = -1
        self._woken.set()

    def settle(self, timeout_s: float = 20.0) -> None:
        """Waits until they have nothing more to do."""
        with self._idle:
            done = self._idle.wait_for(
                lambda: self.failure or self._passed == self._cluster.store.version, timeout_s
            )
        if not done:
            raise TimeoutError(f"the controllers of {self._cluster.name} do not come to rest")

    def _run(self) -> None:
        try:
            while not self._over.is_set():
                self._woken.wait()
                if self._over.wait(self._moment_s):
                    return
                self._woken.clear()
                self._pass()
        except BaseException as error:  # noqa: BLE001 - the test's own thread is to hear of it
            self.failure = error
            with self._idle:
                self._idle.notify_all()

    def _pass(self) -> None:
        with self._cluster.store.lock:
            before = self._cluster.store.version
            for controller in self._controllers:
                if controller.__name__ not in self.held:
                    controller(self._cluster)
        with self._idle:
            self._passed = before
            self._idle.notify_all()


def namespaces(cluster: Cluster) -> None:
    """Gives namespaces what each has, and empties those that were deleted."""
    for namespace in cluster.store.of("Namespace"):
        name = namespace["metadata"]["name"]
        if namespace["metadata"].get("deletionTimestamp"):
            _empty(cluster, namespace)
            continue
        if not cluster.store.find("ServiceAccount", "default", name):
            cluster.make(
                {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _named("default", name)}, KCM
            )
        if not cluster.store.find("ConfigMap", "kube-root-ca.crt", name):
            data = {"ca.crt": cluster.ca_certificate.decode()}
            metadata = _named("kube-root-ca.crt", name)
            cluster.make({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}, KCM)


def _named(name: str, namespace: str) -> Object:
    return {"name": name, "namespace": namespace}


def _empty(cluster: Cluster, namespace: Object) -> None:
    name = namespace["metadata"]["name"]
    inside = [item for key, item in cluster.store.everything().items() if key.namespace == name]
    for item in inside:
        if not item["metadata"].get("deletionTimestamp"):
            cluster.delete(item)
    left = [item for key, item in cluster.store.everything().items() if key.namespace == name]
    if not left:
        cluster.store.remove(namespace)
        return
    finalizers = [one for item in left for one in item["metadata"].get("finalizers") or []]
    conditions = []
    if finalizers:
        message = ", ".join(
            f"{one} in {finalizers.count(one)} resource instances" for one in sorted(set(finalizers))
        )
        conditions = [
            {
                "type": "NamespaceContentRemaining",
                "status": "True",
                "reason": "SomeResourcesRemain",
                "message": f"Some resources are remaining: {_remaining(left)}",
            },
            {
                "type": "NamespaceFinalizersRemaining",
                "status": "True",
                "reason": "SomeFinalizersRemain",
                "message": f"Some content in the namespace has finalizers remaining: {message}",
            },
        ]
    status = {"phase": "Terminating", **({"conditions": conditions} if conditions else {})}
    cluster.set_status(namespace, status, _STATUS)


def _remaining(left: Iterable[Object]) -> str:
    kinds = [item["kind"] for item in left]
    return ", ".join(
        f"{kind.lower()}s. has {kinds.count(kind)} resource instances" for kind in sorted(set(kinds))
    )


def garbage(cluster: Cluster) -> None:
    """Removes what belongs to objects that are gone."""
    everything = cluster.store.everything()
    there = {item["metadata"]["uid"] for item in everything.values()}
    for item in everything.values():
        owners = item["metadata"].get("ownerReferences") or []
        if owners and not any(owner["uid"] in there for owner in owners) and not _is_leaving(item):
            cluster.delete(item)


def _is_leaving(item: Object) -> bool:
    return "deletionTimestamp" in item["metadata"]


def crds(cluster: Cluster) -> None:
    """Has what CRDs define be served; takes all of a kind away with its CRD."""
    for crd in cluster.store.of("CustomResourceDefinition"):
        if not _is_leaving(crd):
            if not (crd.get("status") or {}).get("conditions"):
                accepted = {"type": "NamesAccepted", "status": "True", "reason": "NoConflicts"}
                established = {"type": "Established", "status": "True", "reason": "InitialNamesAccepted"}
                cluster.set_status(crd, {"conditions": [accepted, established]}, _SERVER)
            continue
        of_it = cluster.store.of(crd["spec"]["names"]["kind"], group=crd["spec"]["group"])
        for item in of_it:
            if not _is_leaving(item):
                cluster.delete(item)
        if not cluster.store.of(crd["spec"]["names"]["kind"], group=crd["spec"]["group"]):
            held = crd["metadata"].get("finalizers") or []
            rest = [one for one in held if one != store.CRD_FINALIZER]
            if rest != held:
                cluster.edit(crd, _set("metadata", finalizers=rest), _SERVER_WHOLE)


_SERVER_WHOLE = By("kube-apiserver")


def tokens(cluster: Cluster) -> None:
    """Fills the Secrets that ask for an account's token; a token is good as long as its Secret is there."""
    good = {}
    for secret in cluster.store.of("Secret"):
        if secret.get("type") != _TOKENS or _is_leaving(secret):
            continue
        metadata = secret["metadata"]
        namespace, account = metadata["namespace"], (metadata.get("annotations") or {}).get(_ACCOUNT, "")
        if not cluster.store.find("ServiceAccount", account, namespace):
            cluster.delete(secret)
            continue
        data = secret.get("data") or {}
        if "token" not in data:
            data = {
                "token": _encoded(f"token-{uuid.uuid4().hex}".encode()),
                "ca.crt": _encoded(cluster.ca_certificate),
                "namespace": _encoded(namespace.encode()),
            }
            cluster.edit(secret, _set(data=data), KCM)
        good[base64.b64decode(data["token"]).decode()] = (namespace, account)
    cluster.tokens = {**good, **token_requests.accepted(cluster)}


def _encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def workloads(cluster: Cluster) -> None:
    """Rolls Deployments out: a ReplicaSet for each template, pods for the newest, none for the others."""
    for deployment in cluster.store.of("Deployment"):
        if not _is_leaving(deployment):
            _roll_out(cluster, deployment)


def _roll_out(cluster: Cluster, deployment: Object) -> None:
    metadata, spec = deployment["metadata"], deployment["spec"]
    namespace = metadata["namespace"]
    template = spec.get("template") or {}
    digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:9]
    sets = [one for one in cluster.store.of("ReplicaSet", namespace) if _owned_by(one, deployment)]
    current = next((one for one in sets if one["metadata"]["labels"].get(_HASH) == digest), None)
    if spec.get("paused") and current is None:
        _pause(cluster, deployment, sets)
        return
    if current is None:
        revision = 1 + max((int(one["metadata"]["annotations"][_REVISION]) for one in sets), default=0)
        current = cluster.make(_replica_set(deployment, digest, revision), KCM)
        sets.append(current)
    desired = spec["replicas"]
    pods = [pod for pod in cluster.store.of("Pod", namespace) if not _is_leaving(pod)]
    mine = [pod for pod in pods if _owned_by(pod, current)]
    mine += [cluster.make(_pod(current, digest), KCM) for _ in range(desired - len(mine))]
    for pod in mine[desired:]:
        cluster.delete(pod)
    ready = [pod for pod in mine[:desired] if is_ready(pod)]
    old = [pod for pod in pods for one in sets if one is not current and _owned_by(pod, one)]
    if len(ready) >= desired and not spec.get("minReadySeconds"):
        for pod in old:
            cluster.delete(pod)
        old = []
    for one in sets:
        count = desired if one is current else 0
        if one["spec"]["replicas"] != count:
            cluster.edit(one, _set("spec", replicas=count), KCM)
    available = len(ready) + sum(map(is_ready, old))
    status = {
        "observedGeneration": metadata["generation"],
        "replicas": len(mine[:desired]) + len(old),
        "updatedReplicas": len(mine[:desired]),
        "readyReplicas": available,
        "availableReplicas": available,
        "conditions": [
            {"type": "Available", "status": "True" if available >= desired else "False"},
            {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"},
        ],
    }
    cluster.set_status(deployment, {key: value for key, value in status.items() if value != 0}, _STATUS)


def _pause(cluster: Cluster, deployment: Object, sets: Iterable[Object]) -> None:
    """Leaves a paused Deployment whose template has changed as it is: its old pods go on."""
    pods = [
        pod
        for pod in cluster.store.of("Pod", deployment["metadata"]["namespace"])
        if not _is_leaving(pod) and any(_owned_by(pod, one) for one in sets)
    ]
    count = sum(map(is_ready, pods))
    status = {
        "observedGeneration": deployment["metadata"]["generation"],
        "replicas": len(pods),
        "readyReplicas": count,
        "availableReplicas": count,
        "conditions": [{"type": "Progressing", "status": "Unknown", "reason": "DeploymentPaused"}],
    }
    cluster.set_status(deployment, {key: value for key, value in status.items() if value != 0}, _STATUS)


def _owned_by(item: Object, owner: Object) -> bool:
    return any(
        one["uid"] == owner["metadata"]["uid"] for one in item["metadata"].get("ownerReferences") or []
    )


def _reference(owner: Object) -> Object:
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _replica_set(deployment: Object, digest: str, revision: int) -> Object:
    template = deployment["spec"]["template"]
    labels = {**(template.get("metadata") or {}).get("labels", {}), _HASH: digest}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{deployment['metadata']['name']}-{digest}",
            "namespace": deployment["metadata"]["namespace"],
            "labels": labels,
            "annotations": {_REVISION: str(revision)},
            "ownerReferences": [_reference(deployment)],
        },
        "spec": {
            "replicas": deployment["spec"]["replicas"],
            "selector": {"matchLabels": {_HASH: digest}},
            "template": {**template, "metadata": {**(template.get("metadata") or {}), "labels": labels}},
        },
    }


def _pod(replica_set: Object, digest: str) -> Object:
    template = replica_set["spec"]["template"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{replica_set['metadata']['name']}-{uuid.uuid4().hex[:5]}",
            "namespace": replica_set["metadata"]["namespace"],
            "labels": {**template["metadata"]["labels"], _HASH: digest},
            "annotations": dict(template["metadata"].get("annotations") or {}),
            "ownerReferences": [_reference(replica_set)],
        },
        "spec": dict(template.get("spec") or {}),
    }


def injected(cluster: Cluster, served: Served, pod: Object) -> Object:
    """What is created as istiod's webhook leaves it: a pod with a sidecar, where one is wanted."""
    if served.kind != "Pod" or not _requires_sidecar(cluster, pod):
        return pod
    labels, spec = pod["metadata"].get("labels") or {}, pod["spec"]
    kind = "initContainers" if cluster.native_sidecars else "containers"
    sidecar = _PROXY | ({"restartPolicy": "Always"} if cluster.native_sidecars else {})
    revision = _injecting(cluster, _requested(cluster, pod))
    of_it = [one for one in cluster.istiods.running() if one.revision == revision]
    sidecar["image"] = f"docker.io/istio/proxyv2:{(of_it or cluster.istiods.running())[-1].tag}"
    status = {"sidecar.istio.io/status": json.dumps({"revision": revision})}
    return {
        **pod,
        "metadata": {
            **pod["metadata"],
            "labels": {**labels, "security.istio.io/tlsMode": "istio"},
            "annotations": {**(pod["metadata"].get("annotations") or {}), **status},
        },
        "spec": {**spec, kind: [*spec.get(kind, []), sidecar]},
    }


def has_proxy(pod: Object) -> bool:
    """Whether a pod has Istio's proxy, as a container or as a native sidecar."""
    spec = pod["spec"]
    containers = [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
    return any(one["name"] == "istio-proxy" for one in containers)


def _labels_around(cluster: Cluster, pod: Object) -> dict[str, str]:
    namespace = cluster.store.find("Namespace", pod["metadata"]["namespace"])
    return (namespace or {}).get("metadata", {}).get("labels") or {}


def _is_desired(cluster: Cluster, pod: Object) -> str:
    labels = pod["metadata"].get("labels") or {}
    by_namespace = {"enabled": "true"}.get(_labels_around(cluster, pod).get("istio-injection", ""), "")
    return labels.get("sidecar.istio.io/inject") or by_namespace


def _requested(cluster: Cluster, pod: Object) -> str:
    """The revision or tag that is to inject a pod; empty: none."""
    labels, around = pod["metadata"].get("labels") or {}, _labels_around(cluster, pod)
    by_default = "default" if _is_desired(cluster, pod) else ""
    return labels.get("istio.io/rev") or around.get("istio.io/rev") or by_default


def _injecting(cluster: Cluster, requested: str) -> str:
    """The revision that a tag points to; a revision's own name where there is no such tag."""
    hook = cluster.store.find("MutatingWebhookConfiguration", f"istio-revision-tag-{requested}")
    labels = (hook or {}).get("metadata", {}).get("labels") or {}
    return str(labels.get("istio.io/rev") or requested)


def _requires_sidecar(cluster: Cluster, pod: Object) -> bool:
    desired, revision = _is_desired(cluster, pod), _requested(cluster, pod)
    running = {one.revision for one in cluster.istiods.running()}
    # Where there is no revision of that name, the tag `default` leads to one that runs.
    return (
        desired != "false"
        and bool(revision)
        and (_injecting(cluster, revision) in running or (revision == "default" and bool(running)))
    )


def is_ready(pod: Object) -> bool:
    """Whether a pod takes calls."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def node(cluster: Cluster) -> None:
    """Runs the pods; ends those that were deleted."""
    for pod in cluster.store.of("Pod"):
        if _is_leaving(pod):
            if not pod["metadata"].get("finalizers"):
                cluster.store.remove(pod)
            continue
        if (pod.get("status") or {}).get("phase") == "Running" and is_ready(pod):
            continue
        name = pod["metadata"]["name"]
        stuck = next((why for prefix, why in cluster.stuck.items() if name.startswith(prefix)), None)
        cluster.set_status(pod, _running(cluster, pod) if stuck is None else _stuck(pod, stuck), _KUBELET)


def _running(cluster: Cluster, pod: Object) -> Object:
    inits, containers = (_run(cluster, pod["spec"].get(kind)) for kind in ("initContainers", "containers"))
    return {
        "phase": "Running",
        "podIP": cluster.pod_address(pod),
        "startTime": cluster.store.now(),
        "conditions": [
            {"type": kind, "status": "True"}
            for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
        ],
        "containerStatuses": containers,
        **({"initContainerStatuses": inits} if inits else {}),
    }


def _run(cluster: Cluster, containers: Iterable[Object] | None) -> list[Object]:
    return [
        {
            "name": one["name"],
            "image": one.get("image", ""),
            "imageID": one.get("image", ""),
            "ready": True,
            "restartCount": 0,
            "state": {"running": {"startedAt": cluster.store.now()}},
        }
        for one in containers or []
    ]


def _stuck(pod: Object, why: str) -> Object:
    containers = [
        {
            "name": one["name"],
            "image": one.get("image", ""),
            "ready": False,
            "restartCount": 3,
            "state": {"waiting": {"reason": why, "message": why}},
        }
        for one in pod["spec"].get("containers") or []
    ]
    return {
        "phase": "Pending" if "Pull" in why else "Running",
        "conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady"}],
        "containerStatuses": containers,
    }


def balancers(cluster: Cluster) -> None:
    """Gives LoadBalancer Services an address, where the cluster has one to give."""
    for service in cluster.store.of("Service"):
        if service["spec"].get("type") != "LoadBalancer" or not cluster.balancer:
            continue
        if not (service.get("status") or {}).get("loadBalancer", {}).get("ingress"):
            key = "ip" if cluster.balancer.replace(".", "").isdigit() else "hostname"
            given = {"loadBalancer": {"ingress": [{key: cluster.balancer}]}}
            cluster.set_status(service, given, By("cloud-controller-manager", subresource="status"))


def endpoints(cluster: Cluster) -> None:
    """Keeps the EndpointSlices of Services."""
    for service in cluster.store.of("Service"):
        selector = service["spec"].get("selector")
        if not selector or _is_leaving(service):
            continue
        namespace, name = service["metadata"]["namespace"], service["metadata"]["name"]
        behind = [
            pod
            for pod in cluster.store.of("Pod", namespace)
            if is_ready(pod)
            and selectors.by_object({"matchLabels": selector}, pod["metadata"].get("labels") or {})
        ]
        found = [
            {"addresses": [pod["status"]["podIP"]], "conditions": {"ready": True}}
            for pod in sorted(behind, key=lambda pod: pod["metadata"]["name"])
        ]
        there = cluster.store.find("EndpointSlice", f"{name}-slice", namespace)
        if there is None:
            metadata = {
                **_named(f"{name}-slice", namespace),
                "labels": {
                    "kubernetes.io/service-name": name,
                    "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                },
                "ownerReferences": [_reference(service)],
            }
            kind = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice"}
            with suppress(Refused):  # a namespace on its way out
                cluster.make({**kind, "metadata": metadata, "addressType": "IPv4", "endpoints": found}, KCM)
        elif there.get("endpoints", []) != found:
            cluster.edit(there, _set(endpoints=found), KCM)


def api_services(cluster: Cluster) -> None:
    """Says whether what stands behind an APIService responds: a ready endpoint of its Service."""
    for one in cluster.store.of("APIService"):
        service = one["spec"].get("service")
        if service and not _is_leaving(one):
            found = cluster.store.find("EndpointSlice", f"{service['name']}-slice", service["namespace"])
            status = "True" if found and found.get("endpoints") else "False"
            cluster.set_status(one, {"conditions": [{"type": "Available", "status": status}]}, _SERVER)


def _set(*path: str, **values: object) -> Callable[[Object], None]:
    """Return a change that sets values in an object, or in the part of it at that path."""

    def change(item: Object) -> None:
        part = item
        for name in path:
            part = part[name]
        part.update(values)

    return change


ALL: tuple[Callable[[Cluster], None], ...] = (
    namespaces,
    crds,
    garbage,
    tokens,
    workloads,
    node,
    balancers,
    endpoints,
    api_services,
)
"""In this order in each pass."""
