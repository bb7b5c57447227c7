"""Permissions of the caller at an API server: one request for all, then one request for each unclear one."""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

from istio_mc.domain.kube.objects import Kind
from istio_mc.domain.kube.rights import Right, is_granted
from istio_mc.gateways.host.parallel import all_of
from istio_mc.gateways.kube.errors import KubeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from istio_mc.domain.kube.objects import Object
    from istio_mc.gateways.kube.client import Kube

EVERYTHING = Right("*", "*", "*", "")
_GROUP = "authorization.k8s.io/v1"
_NOWHERE = "no_namespace"
"""A namespace that cannot exist: only cluster-wide rules apply in it."""

_NOT_SERVED = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.METHOD_NOT_ALLOWED,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    }
)


class _Review(NamedTuple):
    kind: Kind
    path: str


_ACCESS = _Review(Kind(_GROUP, "SelfSubjectAccessReview"), "selfsubjectaccessreviews")
_RULES = _Review(Kind(_GROUP, "SelfSubjectRulesReview"), "selfsubjectrulesreviews")


def allowed(kube: Kube, right: Right) -> bool:
    """Whether the API server grants a permission.

    Raises:
        KubeError: The API server refused the review, or did not respond.
    """
    attributes = {
        "verb": right.verb,
        "resource": right.resource,
        "group": right.group,
        "namespace": right.namespace,
        "subresource": right.subresource,
    }
    given = {key: value for key, value in attributes.items() if value}
    return bool(_status(kube, _ACCESS, {"resourceAttributes": given}).get("allowed"))


def not_granted_everywhere(kube: Kube, rights: Iterable[Right]) -> Sequence[Right]:
    """Returns the rights that cluster-wide rules do not grant, with one request.

    They may still be granted: in a single namespace, or by an authorizer other than RBAC.

    Raises:
        KubeError: The API server is not reachable, or rejects the credentials.
    """
    rules = _rules(kube)
    return [right for right in rights if not is_granted(right, rules)]


def missing(kube: Kube, rights: Iterable[Right]) -> tuple[str, ...]:
    """Returns the rights that the API server does not grant; one request is enough for a cluster admin.

    Raises:
        KubeError: The API server refused the review, or did not respond.
    """
    left = not_granted_everywhere(kube, dict.fromkeys(rights))
    if not left or allowed(kube, EVERYTHING):
        return ()
    reviews: dict[str, Callable[[], bool]] = {str(right): partial(allowed, kube, right) for right in left}
    return tuple(right for right, may in all_of(reviews).items() if not may)


def _rules(kube: Kube) -> Sequence[Object]:
    """The cluster-wide rules for the caller; empty if the API server's list is incomplete.

    An authorizer that cannot list its rules may deny what another authorizer grants.
    """
    try:
        status = _status(kube, _RULES, {"namespace": _NOWHERE})
    except KubeError as error:
        if error.status in _NOT_SERVED:
            return []
        raise
    return [] if status.get("incomplete") else status.get("resourceRules") or []


def _status(kube: Kube, review: _Review, spec: Object) -> Object:
    body = {"apiVersion": review.kind.api_version, "kind": review.kind.kind, "spec": spec}
    answer = kube.request("POST", f"/apis/{_GROUP}/{review.path}", body=body, reads=True)
    status: Object = answer.get("status") or {}
    return status
