"""A value of Istio that a cluster was installed with, of a mesh.yaml that is gone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.support.mesh import Mesh

VALUE = "pilot.autoscaleMin"
_SYSTEM = "istio-system"


def keep_a_value(mesh: Mesh, revision: str = "") -> None:
    """Adds the value to those that kt was installed with, under a revision, and removes mesh.yaml."""

    def add_value(config_map: dict[str, Any]) -> None:
        values = json.loads(config_map["data"]["original-values"])
        values["pilot"]["autoscaleMin"] = 2
        config_map["data"]["original-values"] = json.dumps(values)

    kt = mesh["kt"]
    kt.edit(kt.get("ConfigMap", f"values-{revision}" if revision else "values", _SYSTEM), add_value)
    (mesh.folder / "mesh.yaml").unlink()
