"""The rights that a verb needs, looked at in all clusters before its first change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.domain.hint import Advice, kubectl
from istio_mc.domain.kube.objects import kind_of
from istio_mc.domain.kube.rights import Right
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.problem import Code, InputError, Problem
from istio_mc.gateways.kube.rights import missing
from istio_mc.gateways.kube.snapshot import NEEDED

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from istio_mc.domain.kube.objects import Object
    from istio_mc.ops.session.session import Session

APPLY = ("create", "patch")
"""What a server-side apply needs: it is a PATCH, and the API server requires `create` for what is new."""

_LEASE = tuple(Right(verb, "leases", "coordination.k8s.io") for verb in ("get", "create", "patch", "delete"))
# A WebSocket begins with a GET; Kubernetes 1.35 and newer require the other right for it too.
PORT_FORWARD = tuple(Right(verb, "pods", "", SYSTEM_NAMESPACE, "portforward") for verb in ("get", "create"))
RESTART_ISTIOD = (Right("patch", "deployments", "apps"),)
_GATE = tuple(Right(verb, "configmaps") for verb in (*APPLY, "delete"))
ROTATE_TOKENS = (*(Right(verb, "secrets") for verb in (*APPLY, "delete")), *_GATE, *PORT_FORWARD)
REQUEST_TOKEN = (Right("create", "serviceaccounts", subresource="token"),)
ROTATE_ROOT = (Right("patch", "secrets"), Right("patch", "pods"), *_GATE, *PORT_FORWARD)
FORGET = (
    Right("patch", "namespaces", "", ""),
    *(Right(verb, "secrets") for verb in (*APPLY, "delete")),
    Right("delete", "gateways", "gateway.networking.k8s.io"),
    *PORT_FORWARD,
)


UPGRADE = (*NEEDED, Right("delete", "configmaps"))
EXTEND_READERS = tuple(
    Right(verb, "clusterroles", "rbac.authorization.k8s.io", "") for verb in ("list", *APPLY)
)
RESTART_WORKLOADS = tuple(
    Right("patch", kind, "apps", "") for kind in ("deployments", "daemonsets", "statefulsets")
)
_NO_PART = frozenset({"namespaces", "secrets", "leases", "customresourcedefinitions"})
REMOVE_CONTROL_PLANE = tuple(
    one._replace(verb="delete") for one in NEEDED if one.verb == "patch" and one.resource not in _NO_PART
)
"""Of what an install needs, all but what no control plane of a revision consists of."""


def to_apply(documents: Iterable[Object]) -> tuple[Right, ...]:
    """The rights to apply documents."""
    return tuple(dict.fromkeys(right(verb, one) for one in documents for verb in APPLY))


def to_delete(documents: Iterable[Object]) -> tuple[Right, ...]:
    """The rights to delete objects."""
    return tuple(dict.fromkeys(right("delete", one) for one in documents))


def right(verb: str, document: Object) -> Right:
    """The right to do something with an object."""
    kind = kind_of(document)
    group = kind.api_version.rpartition("/")[0]
    return Right(verb, kind.plural, group, document["metadata"].get("namespace") or "")


def require(
    session: Session, verb: str, required: Mapping[str, Collection[Right]], *, lease: bool = True
) -> None:
    """Stops where rights are missing, before anything is changed: all of them, in all clusters, at once.

    Args:
        verb: The verb that needs them, as the user types it: `link --rotate`.
        required: The rights that it needs in each cluster, by context.
        lease: Whether it takes the Lease of each of them too.

    Raises:
        InputError: With a Problem for each cluster in which one is missing.
    """
    own = _LEASE if lease else ()
    reachable = [name for name in required if name in session.clusters.kubes]
    # A cluster that does not answer is reported by what follows.
    found, _ = session.clusters.each(
        lambda name: missing(session.clusters.kubes[name], (*required[name], *own)), reachable
    )
    if lacking := {name: rights for name, rights in found.items() if rights}:
        raise InputError(*(_lacking(name, verb, rights) for name, rights in lacking.items()))


def _lacking(context: str, verb: str, rights: Collection[str]) -> Problem:
    return Problem(
        code=Code.RIGHTS_MISSING,
        cluster=context,
        message=f"user lacks permissions in {context} for {verb}; nothing was changed",
        seen=f"denied: {'; '.join(rights)}",
        expected=f"these permissions in {context}, such as those of ClusterRole cluster-admin",
        hint=Advice("what the user may do: ", kubectl(context, "auth", "can-i", "--list")),
    )
