"""What one may do in a cluster, and which of it RBAC rules grant."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from istio_mc.domain.mesh import SYSTEM_NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from istio_mc.domain.kube.objects import Object

_ALL = "*"


class Right(NamedTuple):
    """Something one may do, or not.

    Attributes:
        resource: Its plural in URLs.
    """

    verb: str
    resource: str
    group: str = ""
    namespace: str = SYSTEM_NAMESPACE
    subresource: str = ""

    def __str__(self) -> str:
        what = self.resource + (f".{self.group}" if self.group else "")
        what += f"/{self.subresource}" if self.subresource else ""
        return f"{self.verb} {what}" + (f" in {self.namespace}" if self.namespace else "")


def is_granted(right: Right, rules: Iterable[Object]) -> bool:
    """Whether one of these rules, which hold in the whole cluster, grants a right for objects of any name.

    As Kubernetes evaluates them (pkg/apis/rbac/v1/evaluation_helpers.go, 1.32.3).
    """
    return any(_grants(rule, right) for rule in rules)


def _grants(rule: Object, right: Right) -> bool:
    resources = {_ALL, right.resource}
    if right.subresource:
        resources = {_ALL, f"{right.resource}/{right.subresource}", f"*/{right.subresource}"}
    return (
        not rule.get("resourceNames")
        and not {_ALL, right.verb}.isdisjoint(rule.get("verbs") or ())
        and not {_ALL, right.group}.isdisjoint(rule.get("apiGroups") or ())
        and not resources.isdisjoint(rule.get("resources") or ())
    )
