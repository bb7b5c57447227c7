"""Values of Istio that a cluster was installed with and another install would not set. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from istio_mc.domain.kube.objects import Ref, ref_of
from istio_mc.domain.mesh import SYSTEM_NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from istio_mc.domain.kube.objects import Object

_VALUES = "original-values"
_TAG = "global.tag"


def lost_values(
    live: Mapping[Ref, Object], desired: Iterable[Object], version: str, revision: str
) -> list[str]:
    """The values in a cluster that an install would remove or change, by their names such as `pilot.env.A`.

    Empty if the cluster has another version of Istio, whose profile has other values, or does not have the
    ConfigMap in which istioctl stores the values.
    """
    name = f"values-{revision}" if revision else "values"
    ref = Ref("", "ConfigMap", SYSTEM_NAMESPACE, name)
    had = _values(live.get(ref))
    set_by_install = next((_values(one) for one in desired if ref_of(one) == ref), {})
    if not str(had.get(_TAG, "")).startswith(version):
        return []
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
