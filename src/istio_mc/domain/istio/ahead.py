"""What of Istio can be applied before istioctl installs it, so that its pods start earlier. Pure.

istioctl applies its objects one after another and waits between components
(operator/pkg/install/install.go, Istio 1.26.0). The same objects, applied as the same field manager before it
runs, are left unchanged by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.domain.istio.choice import INSTALLED
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import Object, labels_of
from istio_mc.domain.mesh import (
    COMPONENT_LABEL,
    OWNER_LABEL,
    OWNER_NAMESPACE_LABEL,
    REVISION_LABEL,
    revision_label,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FIELD_MANAGER = "istio-operator"
"""The field manager of `istioctl install` (operator/pkg/install/install.go, Istio 1.26.0)."""

_COMPONENTS = {"base": "Base", "istiod": "Pilot", "istio-ingress": "IngressGateways"}
"""The component to which istioctl counts the objects of a Helm chart, by the chart's name."""

_PODS_NEED = frozenset(
    kind.kind
    for kind in (
        objects.SERVICE_ACCOUNT,
        objects.CONFIG_MAP,
        objects.ROLE,
        objects.ROLE_BINDING,
        objects.CLUSTER_ROLE,
        objects.CLUSTER_ROLE_BINDING,
    )
)
_LATER = frozenset(kind.kind for kind in (objects.CRD, objects.PDB, objects.HPA))


def parts_ahead(
    manifest: Iterable[Object], document: Mapping[str, Object], version: str
) -> tuple[tuple[Object, ...], ...]:
    """The objects to apply ahead of istioctl, in parts that are applied one after another.

    Webhooks are not part of it: `istioctl install` writes others than `istioctl manifest generate` prints.
    Neither is the gateway's Deployment: its pods need istiod's webhook.

    Args:
        manifest: What `istioctl manifest generate` printed for the document.
        document: The IstioOperator document.
        version: Version of istioctl.
    """
    owned = [
        _owned(item, component, document, version) for item in manifest if (component := _component(item))
    ]
    of_istiod = [item for item in owned if labels_of(item)[COMPONENT_LABEL] == _COMPONENTS["istiod"]]
    istiod = [item for item in of_istiod if item["kind"] in (objects.SERVICE.kind, objects.DEPLOYMENT.kind)]
    first = [item for item in owned if item["kind"] in _PODS_NEED]
    later = [item for item in owned if item["kind"] in _LATER]
    later += [item for item in owned if item["kind"] == objects.SERVICE.kind and item not in istiod]
    return tuple(first), tuple(istiod), tuple(later)


def _component(item: Object) -> str | None:
    chart, _, _ = labels_of(item).get("helm.sh/chart", "").rpartition("-")
    return _COMPONENTS.get(chart)


def _owned(item: Object, component: str, document: Mapping[str, Object], version: str) -> Object:
    """An object with the labels that istioctl gives it (`getOwnerLabels`, the same file)."""
    owner = document["metadata"]
    labels = {
        **labels_of(item),
        "operator.istio.io/managed": "Reconcile",
        INSTALLED: version,
        OWNER_LABEL: owner["name"],
        OWNER_NAMESPACE_LABEL: owner["namespace"],
        REVISION_LABEL: revision_label(document["spec"].get("revision", "")),
        COMPONENT_LABEL: component,
    }
    return {**item, "metadata": {**item["metadata"], "labels": labels}}
