"""One stand-in cluster: what it remembers, what its controllers do, and how its API server misbehaves."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.support import (
    controllers,
    daemons,
    faults,
    gateways,
    istioctl,
    istioctl_serving,
    istiod,
    ports,
    store,
)
from tests.support.api import Api
from tests.support.store import By

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    from tests.support.certificates import Material
    from tests.support.kinds import Object
    from tests.support.mesh import Mesh
    from tests.support.token_requests import Bound

VERSION = "v1.32.3"
_ADMIN = By("kubectl-create")
_EDITOR = By("kubectl-edit")


class State(NamedTuple):
    """What a cluster remembered at one moment."""

    store: store.State
    istiods: dict[str, istiod.Istiod]
    tokens: Mapping[str, tuple[str, str]]
    bound: Mapping[str, Bound]


class Cluster:
    """A cluster that remembers.

    Attributes:
        name: Of its context.
        cluster: Of its entry in the kubeconfig.
        store: Its objects.
        faults: How its API server misbehaves.
        tokens: The tokens of service accounts that are good: namespace and name of each one's account.
        bound: The tokens that were requested, and what each is bound to; those of a Secret that is gone too.
        balancer: The address its load balancer gives to Services; empty: none, they stay pending.
        unreached: Clusters whose gateways this one's pods do not reach, by context.
        native_sidecars: Whether sidecars are injected as init containers that stay, as Istio does since 1.27.
        stuck: Pods that do not become ready, by the beginning of their names, and why.
        controllers: What works on it after each write.
        istiods: Its control planes, as far as they run.
        gateway: What answers at the address of its gateway.
        api: Its API server.
    """

    def __init__(
        self, mesh: Mesh, name: str, cluster: str, number: int, material: Material, moment_s: float
    ) -> None:
        self.mesh = mesh
        self.name = name
        self.cluster = cluster
        self.number = number
        self.store = store.Store()
        self.faults = faults.Faults()
        self.tokens: Mapping[str, tuple[str, str]] = {}
        self.bound: Mapping[str, Bound] = {}
        self.gateway = gateways.Gateway(self)
        self.balancer = self.gateway.address
        self.stuck: dict[str, str] = {}
        self.unreached: set[str] = set()
        self.native_sidecars = False
        self.ca_certificate = material.certificate
        self.admin_token = f"token-of-{name}"
        self.istiods = istiod.Istiods(self)
        all_of_them = (*controllers.ALL, daemons.daemon_sets, istiod.istiods)
        self.controllers = controllers.Controllers(self, all_of_them, moment_s)
        self.store.admission.append(self.istiods.admit)
        self.store.mutation.append(lambda served, item: controllers.injected(self, served, item))
        for namespace in ("default", "kube-system", "kube-public", "kube-node-lease"):
            self.make({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        self.make({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}, By("kubelet"))
        node = {"nodeInfo": {"architecture": "amd64", "kubeletVersion": VERSION}}
        self.set_status(self.get("Node", name), node, By("kubelet", subresource="status"))
        self.make(_STORAGE)
        self.make(_METRICS)
        self.set_status(
            self.get("APIService", _METRICS["metadata"]["name"]),
            {"conditions": [{"type": "Available", "status": "True"}]},
            By("kube-apiserver", subresource="status"),
        )
        self.api = Api(self, material)

    # --- for tests

    def get(self, kind: str, name: str, namespace: str = "", group: str | None = None) -> Object:
        """An object, by its kind; a failed test where there is none."""
        found = self.store.find(kind, name, namespace, group)
        assert found, f"{self.name} has no {kind} {namespace}/{name}"
        return found

    def has(self, kind: str, name: str, namespace: str = "", group: str | None = None) -> bool:
        """Whether there is such an object."""
        return self.store.find(kind, name, namespace, group) is not None

    def names(self, kind: str, namespace: str | None = None, group: str | None = None) -> list[str]:
        """The names of all objects of a kind, in order."""
        return sorted(item["metadata"]["name"] for item in self.store.of(kind, namespace, group))

    def apply(self, document: Object, manager: str = "kubectl") -> Object:
        """Server-side apply, as somebody else at this cluster; `force` is set."""
        served = self.store.served(document["apiVersion"], document["kind"])
        metadata = document["metadata"]
        by = By(manager, "Apply")
        return self.store.apply(
            served, metadata.get("namespace") or "", metadata["name"], document, by, force=True
        )

    def make(self, document: Object, by: By = _ADMIN) -> Object:
        """Creates an object, as somebody else at this cluster."""
        served = self.store.served(document["apiVersion"], document["kind"])
        return self.store.create(served, document["metadata"].get("namespace") or "", document, by)

    def edit(self, item: Object, change: Callable[[Object], Any], by: By = _EDITOR) -> Object:
        """Changes an object: `change` is given a copy, and changes that."""

        def how(copy: Object) -> Object:
            copy["metadata"].pop("resourceVersion")
            change(copy)
            return copy

        metadata = item["metadata"]
        served = self.store.served(item["apiVersion"], item["kind"])
        return self.store.change(served, metadata.get("namespace") or "", metadata["name"], how, by)

    def set_status(self, item: Object, status: Object, by: By) -> Object:
        """Sets an object's status, as a controller does."""
        if item.get("status") == status:
            return item
        return self.store.set_status(item, status, by)

    def delete(self, item: Object) -> None:
        """Deletes an object, as somebody else at this cluster."""
        served = self.store.served(item["apiVersion"], item["kind"])
        self.store.delete(served, item["metadata"].get("namespace") or "", item["metadata"]["name"])

    def istioctl(self, document: Object, patience_s: float = 30.0) -> None:
        """`istioctl install` of a document, as somebody else at this cluster.

        Raises:
            istioctl.Failed: It gave up.
        """
        server = istioctl_serving.Direct(self, self.admin_token, istioctl.VERSION)
        istioctl.install(document, server, patience_s)

    def deploy(self, name: str, namespace: str, port: int = 9080) -> None:
        """Runs a service of somebody's, with a pod behind it: with a sidecar, where istiod is there."""
        if not self.has("Namespace", namespace):
            metadata = {"name": namespace, "labels": {"istio-injection": "enabled"}}
            self.make({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        metadata, labels = {"name": name, "namespace": namespace}, {"app": name}
        ports = [{"name": "http", "port": port}]
        self.make(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": metadata,
                "spec": {"selector": labels, "ports": ports},
            }
        )
        template = {
            "metadata": {"labels": labels},
            "spec": {
                "containers": [{"name": name, "image": f"{name}:1", "ports": [{"containerPort": port}]}]
            },
        }
        spec = {"selector": {"matchLabels": labels}, "template": template}
        self.make({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec})

    def settle(self) -> None:
        """Waits until the controllers have nothing more to do."""
        self.controllers.settle()

    def ports_of(self, namespace: str, pod: str) -> Mapping[int, Callable[[socket.socket], None]]:
        """What answers on each port of a pod.

        Raises:
            Refused: There is no such pod, or it does not run.
        """
        return ports.of_pod(self, namespace, pod)

    def log_of(self, pod: str) -> str:
        """What a pod has logged."""
        return f"{self.store.now()}\tinfo\t{pod} runs\n"

    def pod_address(self, pod: Object) -> str:
        """The IP address of a pod."""
        number = zlib.crc32(pod["metadata"]["uid"].encode()) % 60000
        return f"10.{200 + self.number}.{number // 250}.{number % 250 + 1}"

    # --- as it was

    def state(self) -> State:
        """All that it remembers, to be had back later."""
        with self.store.lock:
            return State(self.store.state(), self.istiods.state(), self.tokens, self.bound)

    def restore(self, state: State) -> None:
        """Has it be as it was, without any fault."""
        with self.store.lock:
            if self.faults.unreachable == faults.REFUSED:
                self.api.listen_again()
            self.faults = faults.Faults()
            self.controllers.held.clear()
            self.stuck.clear()
            self.unreached.clear()
            self.native_sidecars = False
            self.balancer = self.gateway.address
            self.istiods.restore(state.istiods)
            self.tokens, self.bound = state.tokens, state.bound
            self.store.restore(state.store)
            self.controllers.wake()
        self.api.wake()

    def complain(self) -> None:
        """Raises what went wrong in the stand-in itself since it was asked last."""
        failures, self.api.failures = self.api.failures, []
        if failures:
            raise ExceptionGroup(f"the stand-in of {self.name} failed", failures)

    # --- beginning and end

    def start(self) -> None:
        """Opens the API server and the gateway, and has the controllers work."""
        self.controllers.start()
        self.gateway.start()
        self.api.start()

    def pause(self) -> None:
        """Ends the threads of all of them, and closes their ports, for as long as until `resume`."""
        self.api.cut()
        self.gateway.stop()
        self.controllers.stop()

    def resume(self) -> None:
        """Starts all of them again, at the same ports: also in a process that was forked meanwhile."""
        self.controllers.start_again()
        self.gateway.start_again()
        self.api.listen_again()

    def stop(self) -> None:
        """Ends all of them."""
        self.api.stop()
        self.gateway.stop()
        self.controllers.stop()
        self.complain()


_STORAGE: Object = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {"name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
    "provisioner": "example.com/disks",
}
_METRICS: Object = {
    "apiVersion": "apiregistration.k8s.io/v1",
    "kind": "APIService",
    "metadata": {"name": "v1beta1.metrics.k8s.io"},
    "spec": {"group": "metrics.k8s.io", "version": "v1beta1"},
}
