"""Values of Istio that a cluster was installed with and another install would not set. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from istio_mc.domain.istio.choice import version_in
from istio_mc.domain.kube.objects import Ref, ref_of
from istio_mc.domain.mesh import SYSTEM_NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from istio_mc.domain.kube.objects import Object

_VALUES = "original-values"
_TAG = "global.tag"


def config_map_of(revision: str) -> str:
    """The name of the ConfigMap in which istioctl stores the values of a revision; empty: without a name."""
    return f"values-{revision}" if revision else "values"


def lost_values(live: Iterable[Object], desired: Iterable[Object], revision: str) -> list[str]:
    """The values in a cluster that an install would remove or change, by their names such as `pilot.env.A`.

    The tag of another version is not one of them; one that is more than a version, such as
    `1.26.0-distroless`, is. Empty where the cluster does not have the ConfigMap in which istioctl stores
    the values.

    Args:
        live: ConfigMaps of the cluster, among them those of istio-system.
        desired: What istioctl makes of the settings; of another version or revision, it may be.
        revision: That of the control plane that the cluster has; empty: the one without a name.
    """
    ref = Ref("", "ConfigMap", SYSTEM_NAMESPACE, config_map_of(revision))
    had = _values(next((one for one in live if ref_of(one) == ref), None))
    set_by_install = next((_values(one) for one in desired if _VALUES in (one.get("data") or {})), {})
    if version_in(str(had.get(_TAG))) == had.get(_TAG):
        had.pop(_TAG, None)
    return [key for key, value in had.items() if key not in set_by_install or set_by_install[key] != value]


def _values(config_map: Object | None) -> dict[str, object]:
    """The values of a ConfigMap, each by its full name; empty if they cannot be parsed."""
    try:
        document = json.loads((config_map or {}).get("data", {}).get(_VALUES) or "{}")
    except ValueError:
        return {}
    return dict(_leaves(document, "")) if isinstance(document, Mapping) else {}


def _leaves(values: Mapping[str, object], prefix: str) -> Iterator[tuple[str, object]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
