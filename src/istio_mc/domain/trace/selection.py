"""The hop of discoverySelectors: the istiods of client and target read the namespaces that a call needs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from istio_mc.domain.hint import Advice, kubectl
from istio_mc.domain.istio.mesh_config import reads_namespace
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.problem import Code, Problem
from istio_mc.domain.trace.model import OK, Outcome, Path, broken

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from istio_mc.domain.hint import Hint

_NAME_LABEL = "kubernetes.io/metadata.name"


def selected(path: Path) -> Outcome:
    """The istiods of both clusters read the namespaces of the service and of the gateways.

    The discoverySelectors of the client's istiod count for the namespaces of the target too. These come
    first, so that the traces of all paths together name the namespace of every cluster.
    """
    needed = (path.service.namespace, *((SYSTEM_NAMESPACE,) if path.through_gateway else ()))
    for reader, holder in (
        (path.client, path.target),
        (path.target, path.target),
        (path.client, path.client),
    ):
        namespaces = {one: holder.namespaces[one] for one in needed if one in holder.namespaces}
        if problem := left_out(reader.context, reader.mesh_config, holder.context, namespaces):
            return broken(problem)
    return OK


def left_out(
    reader: str, config: Mapping[str, Any], holder: str, namespaces: Mapping[str, Mapping[str, str]]
) -> Problem | None:
    """The problem of namespaces that an istiod does not read; None: it reads all of them.

    Args:
        reader: The context of the istiod.
        config: Its MeshConfig.
        holder: The context of the cluster that has the namespaces.
        namespaces: Their labels.
    """
    names = [name for name, labels in namespaces.items() if not reads_namespace(config, labels)]
    if not names:
        return None
    selectors, labels = config["discoverySelectors"], json.dumps(dict(namespaces[names[0]]))
    what = f"namespace {names[0]} is" if len(names) == 1 else f"namespaces {' and '.join(names)} are"
    return Problem(
        code=Code.NAMESPACE_NOT_SELECTED,
        cluster=holder,
        message=f"{holder}: {what} left out by discoverySelectors of {reader}",
        seen=f"meshConfig of {reader}: {json.dumps(selectors)}; labels of {names[0]}: {labels}",
        expected="labels that one of the selectors selects",
        hint=_select(holder, names, selectors),
    )


def _select(context: str, namespaces: Sequence[str], selectors: Sequence[Mapping[str, Any]]) -> Hint:
    """The labels of the first selector with nothing else; that of the name is the API server's own."""
    for one in selectors:
        labels = one.get("matchLabels") or {}
        if labels and not one.get("matchExpressions") and _NAME_LABEL not in labels:
            words = [f"{key}={value}" for key, value in labels.items()]
            return kubectl(context, "label", "namespace", *namespaces, *words, "--overwrite")
    return Advice(
        "label the namespace as one of the selectors requires: ",
        kubectl(context, "label", "namespace", *namespaces, "KEY=VALUE"),
    )
