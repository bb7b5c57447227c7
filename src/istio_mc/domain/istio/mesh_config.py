"""The MeshConfig that an istiod reads from its ConfigMap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from istio_mc.domain import yamltext
from istio_mc.domain.kube import objects

if TYPE_CHECKING:
    from collections.abc import Mapping

    from istio_mc.domain.observed import Observed


def read_mesh_config(observed: Observed, revision: str = "") -> Mapping[str, Any]:
    """The MeshConfig of a cluster's istiod; empty where there is none that can be read."""
    config_map = observed.find(objects.CONFIG_MAP, f"istio-{revision}" if revision else "istio")
    try:
        found = yamltext.load(((config_map or {}).get("data") or {}).get("mesh") or "")
    except yaml.YAMLError:
        return {}
    return found if isinstance(found, dict) else {}
