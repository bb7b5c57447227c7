"""Objects that select pods by labels, indexed: thousands of policies are compared with thousands of pods."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from istio_mc.domain.kube.objects import Object


class Policies(tuple["Object", ...]):  # noqa: SLOT001 - what is indexed once is kept beside the items
    """Policies or Sidecars, in the order in which the API server lists them."""

    @classmethod
    def of(cls, items: Iterable[Object]) -> Policies:
        """The same objects with their index, which is made only once."""
        return items if isinstance(items, cls) else cls(items)

    @cached_property
    def _by_label(self) -> dict[tuple[str, ...], list[tuple[int, Object]]]:
        """By namespace, and by namespace, key and value of a label that the selector requires."""
        index: dict[tuple[str, ...], list[tuple[int, Object]]] = {}
        for place, item in enumerate(self):
            label: tuple[str, ...] = next(iter(_required(item).items()), ())
            index.setdefault((item["metadata"]["namespace"], *label), []).append((place, item))
        return index

    def selecting(self, namespaces: Iterable[str], pods: Iterable[Mapping[str, str]]) -> list[Object]:
        """Those of some namespaces that can select one of the pods, in their order.

        None that selects a pod is left out; whether one does is for the caller to compare.

        Args:
            pods: The labels of each.
        """
        labels: dict[tuple[str, ...], None] = {(): None}
        labels.update(dict.fromkeys(pair for one in pods for pair in one.items()))
        keys = [(namespace, *label) for namespace in dict.fromkeys(namespaces) for label in labels]
        found = sorted((one for key in keys for one in self._by_label.get(key, ())), key=lambda one: one[0])
        return [item for _, item in found]


def _required(item: Object) -> Mapping[str, Any]:
    """The labels that a pod must have for the selector of any of these kinds."""
    spec = item.get("spec") or {}
    return (
        (spec.get("selector") or {}).get("matchLabels")
        or (spec.get("workloadSelector") or {}).get("labels")
        or (spec.get("podSelector") or {}).get("matchLabels")
        or {}
    )
