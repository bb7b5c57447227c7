"""Revisions of control planes: which a cluster has, and which mesh.yaml names. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.domain.hint import Advice, istio_mc
from istio_mc.domain.kube.objects import labels_of
from istio_mc.domain.mesh import REVISION_LABEL, revision_label
from istio_mc.domain.problem import Code, Problem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from istio_mc.domain.kube.objects import Object


def revisions_of(istiods: Iterable[Object]) -> tuple[str, ...]:
    """The revisions of istiods, by their names: `default` for the one without a name."""
    return tuple(sorted({labels_of(one).get(REVISION_LABEL) or revision_label("") for one in istiods}))


def not_moved(context: str, present: Collection[str], named: str, to: str) -> Problem:
    """The fault of a cluster that runs istiods of other revisions than the one that mesh.yaml names.

    Args:
        present: The revisions of its istiods.
        named: The revision that mesh.yaml names; empty: none.
        to: The version that the cluster is brought to.
    """
    going_on = istio_mc("upgrade", "--to", to, "--revision", named)
    return Problem(
        code=Code.UPGRADE_REVISION,
        cluster=context,
        message=f"{context} has not moved to the revision that mesh.yaml names",
        seen=f"istiod of revision {', '.join(present)}; istio.revision: {named or 'not set'}",
        expected="istio.revision of mesh.yaml as it was, until every cluster has moved",
        hint=Advice("set istio.revision as it was, and go on: ", going_on)
        if named
        else Advice("set istio.revision in mesh.yaml to the revision of istiod"),
    )
