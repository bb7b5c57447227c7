"""By revision: tags are moved to the new control plane, and the old one goes when no proxy is left on it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from istio_mc.domain.events import Event, State
from istio_mc.domain.istio.istiod import running_istiods
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import kind_of, labels_of
from istio_mc.domain.mesh import REVISION_LABEL, SYSTEM_NAMESPACE, TAG_LABEL, revision_label
from istio_mc.domain.text import few
from istio_mc.domain.upgrade import revisions
from istio_mc.gateways.host.parallel import all_of, poll_rounds
from istio_mc.gateways.kube import credentials
from istio_mc.ops.session.wait_report import WaitReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.mesh import Cluster
    from istio_mc.domain.upgrade.record import Move
    from istio_mc.gateways.istio.istioctl import Istioctl
    from istio_mc.gateways.kube.client import Kube
    from istio_mc.ops.session.session import Session

TAGS, REMOVAL = "tags", "old control plane"
_DEFAULT_TAG = "default"
_POLL_S = 0.5
_TAG_S = 60.0
_SHOWN = 3


def tags_to_move(kube: Kube, move: Move) -> list[str]:
    """The revision tags that still point to the revision that a cluster leaves.

    Where that revision has no name and there is no tag `default`, it injects what this tag would.

    Raises:
        ProblemError: The webhook configurations cannot be listed.
    """
    webhooks = kube.list(objects.MUTATING_WEBHOOK)
    tags = revisions.tags_of(webhooks, move.leaves)
    has_default = any(labels_of(item).get(TAG_LABEL) == _DEFAULT_TAG for item in webhooks)
    return tags if has_default or move.leaves else [*tags, _DEFAULT_TAG]


def move_tags(session: Session, istioctl: Istioctl, cluster: Cluster, move: Move) -> None:
    """Has the tags of a cluster point to its new revision: from then on it injects new pods.

    Raises:
        ProblemError: istioctl failed.
    """
    context = cluster.context
    kube = session.clusters.kubes[context]
    tags = tags_to_move(kube, move)
    if not tags:
        return
    to = revision_label(move.to)
    with session.run.step(context, TAGS, f"{', '.join(tags)} to revision {to}"):
        folder = session.run.folder / cluster.cluster_id
        kubeconfig = credentials.private_kubeconfig(folder, kube.kubeconfig)
        for tag in tags:
            istioctl.move_tag(
                tag,
                to,
                context=context,
                kubeconfig=kubeconfig,
                timeout_s=min(_TAG_S, session.run.remaining_s),
                pasted_kubeconfig=session.paths,
            )


def control_plane_of(kube: Kube, revision: str, manifest: Iterable[Object]) -> list[Object]:
    """All that is left of the control plane of a revision in a cluster, in the order in which it goes.

    Args:
        manifest: What istioctl makes of another revision: objects of the same kinds.

    Raises:
        ProblemError: A kind cannot be listed.
    """
    kinds = revisions.kinds_of(manifest)
    selector = revisions.selector_of(revision)
    found = all_of({kind.kind: partial(kube.list, kind, labels=selector) for kind in kinds})
    return [item for kind in kinds for item in found[kind.kind] if revisions.is_control_plane(item)]


class OldControlPlane(NamedTuple):
    """What became of a control plane that a cluster leaves.

    Attributes:
        keeps: The workloads and namespaces that need it still; empty: it is gone.
    """

    is_removed: bool = False
    keeps: tuple[str, ...] = ()


def remove_old(
    session: Session, context: str, move: Move, manifest: Sequence[Object], begin: Callable[[], None]
) -> OldControlPlane:
    """Removes the control plane that a cluster leaves, if no proxy is left on it.

    Args:
        begin: Records that the cluster has a gate to pass, before the first object is deleted.

    Raises:
        ProblemError: An object cannot be read or deleted.
    """
    kube = session.clusters.kubes[context]
    left = control_plane_of(kube, move.leaves, manifest)
    if not left:
        return OldControlPlane()
    pods, namespaces = kube.list(objects.POD), kube.list(objects.NAMESPACE)
    users = tuple(revisions.users_of(pods, namespaces, move.leaves))
    old = revision_label(move.leaves)
    if users:
        seen = f"revision {old} stays for {few(users, _SHOWN)}"
        session.run.progress(Event(context, REMOVAL, State.WAITING, seen))
        return OldControlPlane(keeps=users)
    begin()
    with session.run.step(context, REMOVAL, f"no proxy is left on revision {old}"):
        # Webhooks first: the API server would call an istiod that is gone.
        webhooks = [item for item in left if kind_of(item) in revisions.WEBHOOKS]
        for part in (webhooks, [item for item in left if item not in webhooks]):
            all_of({_name(item): partial(_delete, kube, item) for item in part})
        _wait_gone(session, kube, move)
    return OldControlPlane(is_removed=True)


def _wait_gone(session: Session, kube: Kube, move: Move) -> None:
    """Waits until no istiod of the old revision runs, or the run's end: deletion does not wait for pods."""
    labels = f"app=istiod,{REVISION_LABEL}={revision_label(move.leaves)}"
    waits = WaitReport(session.run.progress, kube.context, REMOVAL)
    for left_s in poll_rounds(session.run.deadline, _POLL_S):
        if not running_istiods(kube.list(objects.POD, SYSTEM_NAMESPACE, labels=labels)):
            return
        waits("for its pods to go", left_s)


def _delete(kube: Kube, item: Object) -> None:
    kube.delete(kind_of(item), item["metadata"]["name"], item["metadata"].get("namespace"))


def _name(item: Object) -> str:
    return f"{item['kind']} {item['metadata']['name']}"
