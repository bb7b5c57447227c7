"""Which ports of a pod NetworkPolicies close to everyone (networking.k8s.io/v1). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from istio_mc.domain.kube.objects import selects

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from istio_mc.domain.kube.objects import Object


def closed_ports(
    policies: Iterable[Object], labels: Mapping[str, str], ports: Iterable[int]
) -> dict[int, list[str]]:
    """TCP ports of a pod that no source reaches, and the names of the policies that select it.

    A pod that any policy for ingress selects is reached only where a rule of one of these lets it.
    Rules for certain sources count as well: whether the other clusters are among them is not known here.
    """
    selecting = [
        one
        for one in policies
        if _is_for_ingress(one["spec"]) and selects(one["spec"].get("podSelector"), labels)
    ]
    rules = [rule for one in selecting for rule in one["spec"].get("ingress") or []]
    names = [one["metadata"]["name"] for one in selecting]
    return {port: names for port in ports if selecting and not any(_lets_in(rule, port) for rule in rules)}


def _is_for_ingress(spec: Mapping[str, Any]) -> bool:
    # Where it names no types, it is for ingress, and for egress too where it has such rules.
    return "Ingress" in (spec.get("policyTypes") or ["Ingress"])


def _lets_in(rule: Mapping[str, Any], port: int) -> bool:
    ports: Collection[Mapping[str, Any]] = rule.get("ports") or ()
    return not ports or any(_is_of(one, port) for one in ports)


def _is_of(entry: Mapping[str, Any], port: int) -> bool:
    if entry.get("protocol", "TCP") != "TCP":
        return False
    first = entry.get("port")
    if not isinstance(first, int):  # none: every port; a name: whichever the pod gives it to
        return True
    return first <= port <= int(entry.get("endPort", first))
