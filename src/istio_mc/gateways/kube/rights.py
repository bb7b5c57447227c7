"""What the API server lets its caller do: all rights by one request, and one by one those it leaves open."""

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
"""A namespace that cannot exist: the rules that hold in it are those of the whole cluster."""

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
    """Whether the API server grants a right.

    Raises:
        KubeError: It does not say.
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
    """Those rights that rules of the whole cluster do not grant, by one request.

    Each of them may be granted all the same: in its namespace alone, or by something else than RBAC.

    Raises:
        KubeError: The API server is not reached, or rejects the credentials.
    """
    rules = _rules(kube)
    return [right for right in rights if not is_granted(right, rules)]


def missing(kube: Kube, rights: Iterable[Right]) -> tuple[str, ...]:
    """Those rights that the API server does not grant; one request is enough for who may do everything.

    Raises:
        KubeError: It does not say.
    """
    left = not_granted_everywhere(kube, dict.fromkeys(rights))
    if not left or allowed(kube, EVERYTHING):
        return ()
    reviews: dict[str, Callable[[], bool]] = {str(right): partial(allowed, kube, right) for right in left}
    return tuple(right for right, may in all_of(reviews).items() if not may)


def _rules(kube: Kube) -> Sequence[Object]:
    """The rules of the whole cluster for its caller; none where the API server does not know all of them.

    An authorizer that cannot list its rules may deny what those of another one grant.
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
