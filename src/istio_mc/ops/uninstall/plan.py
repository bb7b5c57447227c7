"""What an uninstall would take away, cluster by cluster: looked at, and nothing touched."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from istio_mc.domain import removal
from istio_mc.domain.events import Event, State
from istio_mc.domain.gateway import metallb
from istio_mc.domain.gateway.address import is_our_gateway
from istio_mc.domain.hint import Advice, istio_mc
from istio_mc.domain.istio.choice import INSTALLED, newest, version_in
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import Kind, Object, is_ours, kind_of, labels_of, ref_of
from istio_mc.domain.links.state import refuse_for_us_only, with_linked_address
from istio_mc.domain.mesh import (
    CROSS_NETWORK_GATEWAY,
    MESH_LABEL,
    SYSTEM_NAMESPACE,
    Cluster,
)
from istio_mc.domain.problem import Code, InputError, Problem
from istio_mc.domain.traffic import sample
from istio_mc.gateways.host.parallel import Failures, all_of
from istio_mc.gateways.istio.istioctl import find_istioctl
from istio_mc.gateways.kube.snapshot import completed, observe
from istio_mc.ops.session import istio_version, topology
from istio_mc.ops.session.istio_documents import write_operator

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from istio_mc.domain.mesh import Mesh
    from istio_mc.domain.observed import Observed
    from istio_mc.domain.removal import Deletion, Removal
    from istio_mc.gateways.istio.istioctl import Istioctl
    from istio_mc.gateways.kube.client import Kube
    from istio_mc.ops.session.run import Run
    from istio_mc.ops.session.session import Session

_STEP = "preflight"
_ISTIO_CONTROLLERS = "istio.io/"
_BY_US = "app.kubernetes.io/managed-by=istio-mc"


@dataclass(frozen=True, slots=True)
class Uninstalling:
    """What is to go, cluster by cluster.

    Attributes:
        roots: What istiod has left in namespaces that stay, and goes too, by context.
        meshed: Pods with a sidecar outside the sample, by context: they lose their control plane.
        mesh_id: The mesh that they are members of; several are joined by commas.
        servers: Their API servers as the kubeconfig has them, by context.
    """

    clusters: Mapping[str, Cluster]
    going: tuple[str, ...]
    observed: Mapping[str, Observed] = field(repr=False)
    removals: Mapping[str, Removal]
    sample: tuple[str, ...]
    meshed: Mapping[str, tuple[str, ...]]
    failures: Failures
    roots: Mapping[str, tuple[Deletion, ...]] = field(default_factory=dict)
    mesh_id: str = ""
    servers: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_whole_mesh(self) -> bool:
        """Whether the whole mesh goes: no member stays, whether it answers or not."""
        return not (self.staying or self.absent)

    @property
    def staying(self) -> tuple[str, ...]:
        """The members that stay a mesh, of those that answer."""
        return tuple(
            name for name, cluster in self.observed.items() if name not in self.going and cluster.istiods
        )

    @property
    def absent(self) -> tuple[str, ...]:
        """The members that stay, and do not answer."""
        return tuple(name for name in self.clusters if name not in (*self.going, *self.observed))


def prepare(session: Session, going: Collection[str] | None = None) -> Uninstalling:
    """Reads the session's clusters and plans what is to go; touches nothing.

    Raises:
        InputError: A cluster runs an Istio that this tool neither installed nor took over (`not-a-member`);
            or the IDs or networks of clusters that stay contradict each other or the settings.
        ProblemError: istioctl is missing, or refuses the mesh's document.
    """
    session.run.progress(Event(None, _STEP, State.STARTED, "reading every cluster"))
    observed, failed = session.clusters.each(lambda name: _observe(session.clusters.kubes[name]))
    mesh = topology.mesh_of(session.settings, _version(session, observed))
    istioctl = find_istioctl(os.environ, session.settings.tools.bin_dir, mesh.version, session.run.deadline)
    going = session.clusters.names if going is None else going
    if not_members := [
        name for name in going if name in observed and observed[name].istiods and not observed[name].mesh_id
    ]:
        raise InputError(*map(_no_member, not_members))
    # What contradicts in the identity of a cluster that goes is no reason to keep it: it is the way out.
    remaining = [context for context in session.clusters.contexts if context.name not in going]
    seen = {context.name: observed[context.name] for context in remaining if context.name in observed}
    topology.clusters_of(remaining, session.settings, seen)
    clusters, _ = topology.identified(session.clusters.contexts, session.settings, observed)
    ids = [cluster.cluster_id for cluster in clusters.values()]
    # Those that stay get new tokens of each other, and are reached where they are reached now.
    staying = {name: with_linked_address(clusters[name], observed) for name in clusters if name not in going}
    refuse_for_us_only(staying)

    def settle(name: str) -> tuple[Removal, bool, tuple[str, ...], tuple[Deletion, ...]]:
        kube = session.clusters.kubes[name]
        manifest = _manifest(session.run, istioctl, mesh, clusters[name])
        seen = completed(kube, observed[name], manifest)
        plan_of_cluster = removal.plan(mesh, seen, manifest, ids, _users(kube, seen))
        namespace = kube.get(objects.NAMESPACE, sample.NAMESPACE)
        ours = is_ours(namespace)
        return (
            plan_of_cluster,
            ours,
            _meshed(kube),
            roots_left(kube, plan_of_cluster, removed_namespaces(plan_of_cluster, removes_sample=ours)),
        )

    settled, unsettled = session.clusters.each(settle, [name for name in observed if name in going])
    session.run.progress(Event(None, _STEP, State.DONE))
    return Uninstalling(
        clusters=clusters | staying,
        going=tuple(going),
        observed=observed,
        removals={name: plan_of_cluster for name, (plan_of_cluster, *_) in settled.items()},
        roots={name: roots for name, (*_, roots) in settled.items()},
        sample=tuple(name for name, (_, ours, *_) in settled.items() if ours),
        meshed={name: pods for name, (_, _, pods, _) in settled.items() if pods},
        failures=session.clusters.unusable | failed | unsettled,
        mesh_id=_mesh_ids(observed.values()) or mesh.mesh_id,
        servers={context.name: context.server or "" for context in session.clusters.contexts},
    )


def _manifest(run: Run, istioctl: Istioctl, mesh: Mesh, cluster: Cluster) -> list[Object]:
    """What an install sets in a cluster."""
    return istioctl.manifest(write_operator(run.folder, mesh, cluster), run.deadline)


def _version(session: Session, observed: Mapping[str, Observed]) -> str:
    """The version of Istio that is removed: of what runs, else of what an interrupted removal left."""
    chosen = istio_version.decide(session, observed, None)
    if session.settings.istio.version or any(cluster.istiods for cluster in observed.values()):
        return chosen.version
    left = [item for cluster in observed.values() for item in cluster.objects.values()]
    return newest(version_in(labels_of(item).get(INSTALLED, "")) for item in left) or chosen.version


def _mesh_ids(observed: Iterable[Observed]) -> str:
    return ",".join(sorted({cluster.mesh_id for cluster in observed if cluster.mesh_id}))


def _observe(kube: Kube) -> Observed:
    """A cluster, with the Gateway API CRDs that install put there, and MetalLB's objects of the gateway."""
    observed = observe(kube)
    kinds = (objects.CRD, *metallb.KINDS)
    ours = [item for kind in kinds for item in kube.list(kind, labels=_BY_US)]
    return replace(observed, objects={**observed.objects, **{ref_of(item): item for item in ours}})


def _users(kube: Kube, observed: Observed) -> dict[str, tuple[str, ...]]:
    """The custom resources of others, by CRD: a CRD with any is not removed, for they would go with it."""
    crds = [*observed.of(objects.CRD)]
    users = all_of({crd["metadata"]["name"]: partial(kube.list, _served(crd)) for crd in crds})
    return {
        name: tuple(_called(item) for item in items if not _expected(item)) for name, items in users.items()
    }


def _served(crd: Object) -> Kind:
    spec = crd["spec"]
    version = next(version["name"] for version in spec["versions"] if version.get("served"))
    return Kind(f"{spec['group']}/{version}", spec["names"]["kind"])


def _expected(item: Object) -> bool:
    """What goes anyway: our own Gateways, and the classes istiod makes for itself."""
    if str(item.get("spec", {}).get("controllerName", "")).startswith(_ISTIO_CONTROLLERS):
        return True
    metadata = item["metadata"]
    if kind_of(item) == objects.KUBERNETES_GATEWAY and metadata.get("namespace") == SYSTEM_NAMESPACE:
        return is_our_gateway(item)
    return (metadata.get("namespace"), metadata["name"]) == (SYSTEM_NAMESPACE, CROSS_NETWORK_GATEWAY)


def _called(item: Object) -> str:
    metadata = item["metadata"]
    return "/".join(filter(None, (metadata.get("namespace"), metadata["name"])))


def _meshed(kube: Kube) -> tuple[str, ...]:
    pods = kube.list(objects.POD, labels="security.istio.io/tlsMode=istio")
    return tuple(
        _called(pod)
        for pod in pods
        if pod["metadata"]["namespace"] not in (SYSTEM_NAMESPACE, sample.NAMESPACE)
    )


def roots_left(kube: Kube, plan: Removal, going: Collection[str]) -> tuple[Deletion, ...]:
    """What istiod gives every namespace, and leaves there; not of namespaces that go themselves."""
    if plan.other_revisions:
        return ()
    left = kube.list(objects.CONFIG_MAP, labels="=".join(removal.OF_ISTIOD))
    given = map(removal.deletion_of, filter(removal.is_distributed_by_istiod, left))
    return tuple(item for item in given if item.namespace not in going)


def removed_namespaces(plan: Removal, *, removes_sample: bool) -> list[str]:
    """The namespaces of a cluster that go, with all that is in them."""
    return [sample.NAMESPACE] * removes_sample + [SYSTEM_NAMESPACE] * plan.namespace


def _no_member(context: str) -> Problem:
    return Problem(
        code=Code.NOT_A_MEMBER,
        cluster=context,
        message=f"{context} runs an Istio that istio-mc did not install: it is left alone",
        seen=f"namespace {SYSTEM_NAMESPACE} has no label {MESH_LABEL}",
        expected="a member of the mesh",
        hint=Advice(
            "remove it with the tool that installed it; or adopt it first: ",
            istio_mc("adopt", contexts=[context]),
        ),
    )
