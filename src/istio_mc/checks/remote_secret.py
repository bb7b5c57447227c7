"""Link checks: every cluster has a remote secret for every other one, and its istiod accepts it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from istio_mc.checks import hints
from istio_mc.checks.access import NO_NAMESPACE
from istio_mc.checks.control_plane import ISTIOD
from istio_mc.checks.identity import IDENTITY, conflicting_ids, explained_by_identity
from istio_mc.checks.model import (
    REACHABLE,
    Check,
    Facts,
    Finding,
    Observation,
    Scope,
    Severity,
    Target,
    cached,
)
from istio_mc.domain.hint import Advice, Command, Hint, istio_mc, kubectl
from istio_mc.domain.istio.istiod import list_istiods
from istio_mc.domain.kube import objects
from istio_mc.domain.links.remote_secrets import RemoteSecret, by_cluster
from istio_mc.domain.links.state import UNKNOWN_TOKEN, link_step, remote_secrets, token_in
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.naming import remote_secret_name
from istio_mc.domain.problem import Code, Problem

if TYPE_CHECKING:
    from collections.abc import Collection

ISTIODS_RESPOND = "link.asked"
SECRET = "link.secret"  # noqa: S105 - a check's id
NAMED = "link.named"
USABLE = "link.usable"
UNIQUE = "link.unique"
MEMBERS = "link.members"
OWN = "link.own"


@cached
def _by_cluster(facts: Facts) -> dict[str, dict[str, list[RemoteSecret]]]:
    """The remote secrets of each cluster, by the cluster ID that they are of."""
    return {name: by_cluster(remotes) for name, remotes in facts.remotes.items()}


def secrets_for(facts: Facts, target: Target) -> list[RemoteSecret]:
    """The remote secrets in a pair's first cluster for its second."""
    cluster_id = facts.clusters[str(target.peer)].cluster_id
    return _by_cluster(facts).get(str(target.cluster), {}).get(cluster_id, [])


def used(facts: Facts, target: Target) -> RemoteSecret:
    """The one of them that istiod uses: the first that it accepts, if any."""
    return _used(facts)[str(target.cluster)][facts.clusters[str(target.peer)].cluster_id]


@cached
def _used(facts: Facts) -> dict[str, dict[str, RemoteSecret]]:
    """The remote secrets that the istiods of each cluster use, by the cluster ID that they are of."""
    return {
        name: {
            cluster_id: next((one for one in secrets if not one.fault), secrets[0])
            for cluster_id, secrets in by_id.items()
        }
        for name, by_id in _by_cluster(facts).items()
    }


def _prune(facts: Facts) -> Command:
    return istio_mc("link", "--prune", "--yes", contexts=facts.clusters)


def link_again(facts: Facts, target: Target, otherwise: Hint) -> Hint:
    """The command that writes a pair's remote secret again, if `link` would change it.

    Else it returns `otherwise`.
    """
    peer = str(target.peer)
    present = used(facts, target)
    if not present.is_named_right:
        return _prune(facts)
    if not (present.fault or present.is_of_our_form):
        # link keeps a remote secret that another tool wrote, as long as istiod accepts it.
        removal = kubectl(str(target.cluster), "-n", SYSTEM_NAMESPACE, "delete", "secret", present.secret)
        return replace(removal, then=(hints.relink(facts),))
    live = facts.observed.get(peer)
    token = (
        token_in(live.of(objects.SECRET), facts.clusters[peer].reader) if live else None
    ) or UNKNOWN_TOKEN
    desired = remote_secrets({peer: facts.clusters[peer]}, {peer: token})
    return hints.relink(facts) if link_step(list(desired.values()), [present]) else otherwise


def from_files(facts: Facts, target: Target) -> Finding | None:
    """The passed Finding if istiod reads kubeconfigs from files and needs no remote secret; else None."""
    folder = facts.clusters[str(target.cluster)].kubeconfig_folder
    return Finding(f"not needed: istiod reads kubeconfigs in {folder}") if folder else None


def _istiods(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    if problems := facts.failed(Observation.CLUSTERZ, name):
        return Finding(problems[0].seen or problems[0].message, problems[0])
    pods = facts.seen.get(name) or {}
    if pods:
        return Finding(f"{len(pods)} istiod" + ("s" if len(pods) > 1 else ""))
    problem = Problem(
        code=Code.NO_ISTIOD,
        message="no istiod pod is running",
        seen="no Pod with label app=istiod in phase Running",
        expected="at least one",
        hint=list_istiods(name),
    )
    return Finding("no istiod", problem)


def _secret(facts: Facts, target: Target) -> Finding:
    if unneeded := from_files(facts, target):
        return unneeded
    peer = str(target.peer)
    desired = remote_secret_name(facts.clusters[peer].cluster_id)
    secrets = secrets_for(facts, target)
    if secrets:
        return Finding(secrets[0].secret)
    problem = Problem(
        code=Code.REMOTE_SECRET_MISSING,
        message=f"remote secret for {peer} is missing",
        seen=f"no Secret {SYSTEM_NAMESPACE}/{desired}",
        expected="a remote secret as `istio-mc link` writes it",
        hint=hints.relink(facts),
    )
    return Finding("missing", problem, parts=explained_by_identity({peer} & conflicting_ids(facts)))


def _named(facts: Facts, target: Target) -> Finding:
    if unneeded := from_files(facts, target):
        return unneeded
    peer = str(target.peer)
    present = used(facts, target)
    if present.is_named_right:
        return Finding(present.secret)
    desired = remote_secret_name(facts.clusters[peer].cluster_id)
    problem = Problem(
        code=Code.REMOTE_SECRET_MISNAMED,
        message=f"remote secret for {peer} does not have the name that istioctl uses",
        seen=f"Secret {SYSTEM_NAMESPACE}/{present.secret} with key {present.cluster_id}",
        expected=f"Secret {SYSTEM_NAMESPACE}/{desired}",
        hint=_prune(facts),
    )
    return Finding(present.secret, problem)


def _usable(facts: Facts, target: Target) -> Finding:
    if unneeded := from_files(facts, target):
        return unneeded
    peer = str(target.peer)
    first = used(facts, target)
    if not first.fault:
        return Finding("" if first.is_of_our_form else "written by another tool")
    problem = Problem(
        code=Code.REMOTE_SECRET_UNUSABLE,
        message=f"istiod rejects the remote secret for {peer}",
        seen=f"Secret {SYSTEM_NAMESPACE}/{first.secret}: {first.fault}",
        expected="a kubeconfig that istiod accepts, as `istio-mc link` writes it",
        hint=link_again(facts, target, hints.relink(facts)),
    )
    return Finding(first.fault, problem)


def _unique(facts: Facts, target: Target) -> Finding:
    if unneeded := from_files(facts, target):
        return unneeded
    peer = str(target.peer)
    names = [one.secret for one in secrets_for(facts, target)]
    if len(names) <= 1:
        return Finding("")
    problem = Problem(
        code=Code.CLUSTER_ID_CLAIMED_TWICE,
        message=f"{len(names)} remote secrets have the cluster ID of {peer}",
        seen=f"{', '.join(names)}; istiod uses only one of them",
        expected=f"{remote_secret_name(facts.clusters[peer].cluster_id)} only",
        hint=_prune(facts),
    )
    return Finding(f"{len(names)} Secrets", problem)


def _members(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    members = {cluster.cluster_id for cluster in facts.clusters.values()} | facts.elsewhere
    if folder := facts.clusters[name].kubeconfig_folder:
        return _members_in_files(facts, name, folder, members)
    others = [one for one in facts.remotes[name] if one.cluster_id not in members]
    if not others:
        return Finding("")
    seen = ", ".join(one.cluster_id for one in others)
    problem = Problem(
        code=Code.REMOTE_SECRET_OF_NON_MEMBER,
        message="remote secret for a cluster that is not a member of the mesh: istiod routes requests to it",
        seen=f"{seen}: {', '.join(f'Secret {SYSTEM_NAMESPACE}/{one.secret}' for one in others)}",
        expected=f"remote secrets for {', '.join(sorted(members))} only",
        hint=_prune(facts),
    )
    return Finding(seen, problem, parts=explained_by_identity(conflicting_ids(facts)))


def _own(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    cluster_id = facts.clusters[name].cluster_id
    found = [one.secret for one in _by_cluster(facts).get(name, {}).get(cluster_id, [])]
    if not found:
        return Finding("")
    problem = Problem(
        code=Code.REMOTE_SECRET_OF_ITSELF,
        message="the cluster has a remote secret for itself",
        seen=", ".join(f"Secret {SYSTEM_NAMESPACE}/{one}" for one in found),
        expected="remote secrets for the other clusters only",
        hint=_prune(facts),
    )
    return Finding(", ".join(found), problem, parts=explained_by_identity({name} & conflicting_ids(facts)))


def _members_in_files(facts: Facts, name: str, folder: str, members: Collection[str]) -> Finding:
    """The Finding for an istiod that reads kubeconfigs from files, by the remote clusters it reports."""
    rows = [row for rows in facts.seen.get(name, {}).values() for row in rows]
    if not rows:
        return Finding(
            f"istiod reads kubeconfigs in {folder}, and does not report its remote clusters", unknown=True
        )
    others = sorted({row.cluster_id for row in rows if row.cluster_id not in members})
    if not others:
        return Finding("as istiod reports")
    problem = Problem(
        code=Code.REMOTE_SECRET_OF_NON_MEMBER,
        message="istiod reads a cluster that is not a member of the mesh",
        seen=f"{', '.join(others)}, with a kubeconfig in {folder}",
        expected=f"kubeconfigs for {', '.join(sorted(members))} only",
        hint=Advice(f"remove the kubeconfig for {', '.join(others)} from {folder}"),
    )
    return Finding(", ".join(others), problem, parts=explained_by_identity(conflicting_ids(facts)))


def not_synced(facts: Facts, target: Target) -> dict[str, str]:
    """The sync status of the second cluster of a pair in each istiod of the first, if not synced."""
    cluster_id = facts.clusters[str(target.peer)].cluster_id
    pods = _sync_status(facts).get(str(target.cluster), {})
    status = {pod: by_id.get(cluster_id, "absent") for pod, by_id in pods.items()}
    return {pod: state for pod, state in status.items() if state != "synced"}


@cached
def _sync_status(facts: Facts) -> dict[str, dict[str, dict[str, str]]]:
    """What each istiod reports of each cluster ID, by context and pod; of equal IDs the first row counts."""
    return {
        name: {pod: {row.cluster_id: row.status for row in reversed(rows)} for pod, rows in pods.items()}
        for name, pods in facts.seen.items()
    }


_MAY_FORWARD = kubectl(
    "CONTEXT", "auth", "can-i", "get", "pods", "--subresource=portforward", "-n", "istio-system"
)

CHECKS = (
    Check(
        id=ISTIODS_RESPOND,
        title="remote clusters of istiod",
        passes="istiod reports its remote clusters",
        looks_at="`/debug/clusterz` of every istiod, through a port-forward",
        usual_cause="no istiod is running, or this user may not forward ports",
        fix=f"`{_MAY_FORWARD}`",
        evaluate=_istiods,
        needs=(REACHABLE, ISTIOD),
        reads=(Observation.CLUSTERZ,),
        reports_failures=True,
        docs="troubleshooting.md#stream-failed",
    ),
    Check(
        id=MEMBERS,
        title="remote secrets of non-members",
        passes="all remote secrets are for members of the mesh",
        looks_at="the Secrets with label `istio/multiCluster`",
        usual_cause="a cluster left the mesh, and its remote secret was not deleted",
        fix=hints.PRUNE,
        evaluate=_members,
        because=(IDENTITY,),
        docs="troubleshooting.md#remote-secret-of-non-member",
    ),
    Check(
        id=OWN,
        title="remote secret for itself",
        passes="no cluster has a remote secret for itself",
        looks_at="the same Secrets: a key for the cluster's own ID, which its istiod ignores",
        usual_cause="a script links every cluster with every cluster, itself included",
        fix=hints.PRUNE,
        severity=Severity.WARNING,
        evaluate=_own,
        because=(IDENTITY,),
        docs="troubleshooting.md#remote-secret-of-itself",
    ),
    Check(
        id=SECRET,
        title="remote secret",
        passes="remote secret exists",
        looks_at="the same Secrets: a key for each other cluster ID",
        usual_cause="a cluster joined while this one was unreachable, or the Secret was deleted",
        fix=hints.LINK,
        scope=Scope.PAIR,
        evaluate=_secret,
        because=(IDENTITY, *NO_NAMESPACE),
        docs="troubleshooting.md#remote-secret-missing",
    ),
    Check(
        id=NAMED,
        title="name of remote secret",
        passes="remote secret has the name that istioctl uses",
        looks_at="the name of that Secret; istiod accepts any name",
        usual_cause="it was written by another tool than istioctl and istio-mc",
        fix=hints.PRUNE,
        severity=Severity.WARNING,
        scope=Scope.PAIR,
        evaluate=_named,
        needs=(SECRET,),
        docs="troubleshooting.md#remote-secret-misnamed",
    ),
    Check(
        id=USABLE,
        title="kubeconfig in remote secret",
        passes="istiod accepts the kubeconfig in the remote secret",
        looks_at="the kubeconfig in that Secret, by the rules of istiod",
        usual_cause=(
            "it refers to a program (exec) or a file (tokenFile, client-key), or is not a valid kubeconfig"
        ),
        fix=hints.LINK,
        scope=Scope.PAIR,
        evaluate=_usable,
        needs=(SECRET,),
        docs="troubleshooting.md#remote-secret-unusable",
    ),
    Check(
        id=UNIQUE,
        title="duplicate remote secrets",
        passes="each cluster ID has one remote secret",
        looks_at="the cluster IDs in those Secrets",
        usual_cause="the Secret was written twice, under two names",
        fix=hints.PRUNE,
        scope=Scope.PAIR,
        evaluate=_unique,
        needs=(SECRET,),
        docs="troubleshooting.md#cluster-id-claimed-twice",
    ),
)
