"""Changes of what a stand-in cluster is known by: labels of istio-system, and the network Istio runs with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.kinds import Object
    from tests.support.mesh import Mesh

_SYSTEM = "istio-system"
_NETWORK = "topology.istio.io/network"
_GATEWAY = "istio-ingressgateway"


def label_namespace(mesh: Mesh, context: str, **labels: str) -> None:
    """Sets labels of a cluster's istio-system, and changes nothing else."""
    one = mesh[context]
    one.edit(one.get("Namespace", _SYSTEM), lambda copy: copy["metadata"]["labels"].update(labels))


def move_to_network(mesh: Mesh, context: str, network: str) -> None:
    """Has a cluster be in a network: the label of istio-system, and all that an install sets."""
    one = mesh[context]
    label_namespace(mesh, context, **{_NETWORK: network})
    one.edit(
        one.get("Service", _GATEWAY, _SYSTEM),
        lambda copy: copy["metadata"]["labels"].update({_NETWORK: network}),
    )
    one.edit(
        one.get("Deployment", _GATEWAY, _SYSTEM),
        lambda copy: copy["spec"]["template"]["metadata"]["labels"].update({_NETWORK: network}),
    )
    variables = ("ISTIO_META_NETWORK", "ISTIO_META_REQUESTED_NETWORK_VIEW")
    _run_with(mesh, context, dict.fromkeys(variables, network), {"network": network})


def move_to_mesh(mesh: Mesh, context: str, mesh_id: str) -> None:
    """Has a cluster be a member of a mesh: the label of istio-system, and all that an install sets."""
    label_namespace(mesh, context, **{"istio-mc/mesh-id": mesh_id})
    _run_with(mesh, context, {"ISTIO_META_MESH_ID": mesh_id}, {"meshID": mesh_id})


def _run_with(mesh: Mesh, context: str, variables: dict[str, str], values: dict[str, str]) -> None:
    """Sets variables of the gateway, and values of the chart under `global`."""
    one = mesh[context]

    def set_variables(deployment: Object) -> None:
        for container in deployment["spec"]["template"]["spec"]["containers"]:
            for variable in container["env"]:
                if variable["name"] in variables:
                    variable["value"] = variables[variable["name"]]

    def set_values(config_map: Object) -> None:
        chart = json.loads(config_map["data"]["values"])
        chart["global"].update(values)
        config_map["data"]["values"] = json.dumps(chart)

    one.edit(one.get("Deployment", _GATEWAY, _SYSTEM), set_variables)
    one.edit(one.get("ConfigMap", "istio-sidecar-injector", _SYSTEM), set_values)
    one.settle()
