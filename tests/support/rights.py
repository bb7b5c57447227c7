"""Who may do what in a stand-in cluster: RBAC for service accounts, and all but what is denied for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.cluster import Cluster
    from tests.support.kinds import Object

ADMIN = "kubernetes-admin"
_ACCOUNT = "system:serviceaccount:"


class Action(NamedTuple):
    """Something that somebody wants to do."""

    verb: str
    group: str
    resource: str
    namespace: str = ""
    name: str = ""


def account(namespace: str, name: str) -> str:
    """What a service account is called."""
    return f"{_ACCOUNT}{namespace}:{name}"


def allowed(cluster: Cluster, who: str, desired: Action) -> bool:
    """Whether somebody may do something."""
    if not who.startswith(_ACCOUNT):
        return not _denied(cluster.faults.denied, desired)
    namespace, name = who.removeprefix(_ACCOUNT).split(":")
    return any(_covers(rule, desired) for rule in _rules(cluster, namespace, name, desired.namespace))


class Rules(NamedTuple):
    """What a SelfSubjectRulesReview has in its status."""

    rules: list[Object]
    is_incomplete: bool


def rules_of(cluster: Cluster, who: str, namespace: str) -> Rules:
    """The rules that hold for somebody in a namespace, there or not.

    What people are denied is in no rule, as with an authorizer that is a webhook: the rules are incomplete.
    """
    if not who.startswith(_ACCOUNT):
        if cluster.faults.denied:
            return Rules([], is_incomplete=True)
        return Rules([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}], is_incomplete=False)
    of, name = who.removeprefix(_ACCOUNT).split(":")
    found = [rule for rule in _rules(cluster, of, name, namespace) if rule.get("resources")]
    return Rules(found, is_incomplete=False)


def _denied(denied: set[str], desired: Action) -> bool:
    if desired.verb == "*":
        return bool(denied)
    return any(
        f"{verb} {resource}" in denied for verb in (desired.verb, "*") for resource in (desired.resource, "*")
    )


def _rules(cluster: Cluster, namespace: str, name: str, where: str) -> Iterator[Object]:
    for kind, inside in (("ClusterRoleBinding", None), ("RoleBinding", where)):
        if inside == "":
            continue
        for binding in cluster.store.of(kind, inside):
            subjects = binding.get("subjects") or []
            if not any(
                (one["kind"], one["name"], one.get("namespace")) == ("ServiceAccount", name, namespace)
                for one in subjects
            ):
                continue
            reference = binding["roleRef"]
            of = "" if reference["kind"] == "ClusterRole" else where
            role = cluster.store.find(reference["kind"], reference["name"], of)
            yield from (role or {}).get("rules") or []


def _covers(rule: Object, desired: Action) -> bool:
    def has(key: str, value: str) -> bool:
        there = rule.get(key) or []
        return value in there or "*" in there

    named = rule.get("resourceNames")
    _, _, subresource = desired.resource.partition("/")
    return bool(
        has("verbs", desired.verb)
        and has("apiGroups", desired.group)
        and (has("resources", desired.resource) or (subresource and has("resources", f"*/{subresource}")))
        and (not named or desired.name in named)
    )
