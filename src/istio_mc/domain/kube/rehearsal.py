"""What a server-side dry run sends: objects, and the pods that would be made of them. Pure."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

from istio_mc.domain.kube.diff import differences
from istio_mc.domain.kube.objects import (
    NAMESPACE,
    SERVICE_ACCOUNT,
    Object,
    Ref,
    is_terminating,
    kind_of,
    ref_of,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

_NOT_SENT = frozenset({"Secret", "IstioOperator"})
_WORKLOADS = frozenset({"Deployment", "DaemonSet"})


def places(live: Mapping[Ref, Object]) -> frozenset[str]:
    """Of the live objects the namespaces in which something can be made."""
    return frozenset(
        ref.name for ref, one in live.items() if kind_of(one) == NAMESPACE and not is_terminating(one)
    )


def documents_of(
    desired: Iterable[Object], live: Mapping[Ref, Object], namespaces: Collection[str]
) -> list[Object]:
    """Of the desired objects those that are missing or differ, and whose namespace exists.

    A Secret contains keys, and is not sent to be judged only; an IstioOperator is for istioctl.
    """
    desired = [one for one in desired if one["kind"] not in _NOT_SENT]
    wrong = {one.ref for one in differences(desired, live)}
    return [one for one in desired if ref_of(one) in wrong and _has_place(ref_of(one), namespaces)]


def pods_of(
    desired: Iterable[Object], live: Mapping[Ref, Object], namespaces: Collection[str]
) -> Iterator[tuple[Object, bool]]:
    """A pod of each workload, and whether the workload is new; none where its namespace does not exist."""
    for one in desired:
        ref = ref_of(one)
        if ref.kind not in _WORKLOADS or not _has_place(ref, namespaces):
            continue
        template = deepcopy(one["spec"]["template"])
        account = template["spec"].get("serviceAccountName")
        if account and Ref("", SERVICE_ACCOUNT.kind, ref.namespace, account) not in live:
            # Judged by the default account: without any, the API server rejects the pod for that alone.
            del template["spec"]["serviceAccountName"]
        metadata = {
            **template.get("metadata", {}),
            "generateName": f"{ref.name}-",
            "namespace": ref.namespace,
        }
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
        yield pod, ref not in live


def _has_place(ref: Ref, namespaces: Collection[str]) -> bool:
    """Whether an object has no namespace, or one of these."""
    return ref.namespace is None or ref.namespace in namespaces
