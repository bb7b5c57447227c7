"""link: every cluster's istiod is given a remote secret of every other cluster."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from istio_mc.domain import plan
from istio_mc.domain.events import Event, State
from istio_mc.domain.hint import Advice, kubectl
from istio_mc.domain.istio import documents, hazards
from istio_mc.domain.istio.istiod import restart_istiod, running_tags
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import Object, ref_of, terminating
from istio_mc.domain.links.lost import with_lost
from istio_mc.domain.links.remote_secrets import to_prune
from istio_mc.domain.links.state import (
    UNKNOWN_TOKEN,
    LinkState,
    ReaderToken,
    link_step,
    read_with_secrets,
    refuse_for_us_only,
    remote_secrets,
    required_by,
    token_in,
)
from istio_mc.domain.mesh import SYSTEM_NAMESPACE, Cluster
from istio_mc.domain.problem import Code, Problem, ProblemError
from istio_mc.domain.text import plural
from istio_mc.gateways.host.parallel import Failures, all_of, poll_rounds
from istio_mc.gateways.istio.istiod import clusterz, istiod_pods
from istio_mc.gateways.kube.snapshot import observe
from istio_mc.ops.session import topology
from istio_mc.ops.session.wait_report import WaitReport

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from istio_mc.domain.links.remote_secrets import Removed
    from istio_mc.domain.observed import Observed
    from istio_mc.domain.plan import Step
    from istio_mc.gateways.kube.client import Kube
    from istio_mc.ops.session.session import Session

_TOKEN_DEADLINE_S = 30.0
_FORGOTTEN_WITHIN_S = 5.0
_POLL_S = 0.1
_PRUNE = "prune"


@dataclass(frozen=True, slots=True)
class Linked:
    """What became of linking.

    Attributes:
        steps: For each cluster the step that was done in it, or None where nothing was missing.
    """

    steps: Mapping[str, Step | None]
    failures: Failures


def link(session: Session, clusters: Mapping[str, Cluster], states: Mapping[str, LinkState]) -> Linked:
    """Links every ordered pair of clusters: one token read per cluster, all writes at once.

    Args:
        clusters: The clusters to link, by context; each must answer and have the reader account.
    """

    def obtain(context: str) -> ReaderToken:
        return states[context].token or mint(session, clusters[context], plan.LINK)

    tokens, failures = session.clusters.each(obtain, read_with_secrets(clusters), step=plan.LINK)

    desired = remote_secrets(clusters, tokens)

    ids = [one.cluster_id for one in clusters.values()]

    def write(context: str) -> Step | None:
        if body := with_lost(states[context].namespace, (), less=ids):
            session.clusters.kubes[context].patch(objects.NAMESPACE, SYSTEM_NAMESPACE, None, body)
        remotes = states[context].remotes
        step = link_step(required_by(clusters[context], desired), remotes)
        if step is None:
            session.run.progress(Event(context, plan.LINK, State.UNCHANGED))
            return None
        with session.run.step(context, plan.LINK, plural(len(step.documents), "remote secret")):
            kube = session.clusters.kubes[context]
            dead = {one.secret for one in remotes} - {one.secret for one in remotes if not one.fault}
            all_of({str(ref_of(secret)): partial(_replace, kube, secret, dead) for secret in step.documents})
        return step

    steps, unwritten = session.clusters.each(write, clusters)
    return Linked(steps, failures | unwritten)


def _replace(kube: Kube, secret: Object, dead: Collection[str]) -> None:
    """Writes a remote secret; where its name is among those that istiod could not use, it is made again.

    An istiod that met a kubeconfig it refuses closes the cluster, and does not open it again when the Secret
    changes, only when it goes and comes back (seen on 1.26.0: `closed` in clusterz for good).
    """
    name = secret["metadata"]["name"]
    if name in dead:
        kube.delete(objects.SECRET, name, SYSTEM_NAMESPACE)
        _forgotten(kube, f"{SYSTEM_NAMESPACE}/{name}")
    kube.apply(secret)


def _forgotten(kube: Kube, secret: str) -> None:
    """Waits until no istiod of a cluster knows of a remote secret that is gone, but not for long.

    An istiod that looks only once it is back takes it for one that changed, and the cluster stays closed.
    """
    for _ in poll_rounds(time.monotonic() + _FORGOTTEN_WITHIN_S, _POLL_S):
        with suppress(ProblemError):  # one that cannot be asked is given the time all the same
            if not any(row.secret == secret for pod in istiod_pods(kube) for row in clusterz(kube, pod)):
                return


@dataclass(frozen=True, slots=True)
class LinkResult:
    """What `link` did, or in a dry run would do.

    Attributes:
        pruned: The Secrets that were removed from each, because they belong to no member or stand in the
            way; in a dry run those that would be.
    """

    clusters: Mapping[str, Cluster]
    steps: Mapping[str, Step | None]
    failures: Failures
    pruned: Mapping[str, tuple[str, ...]]
    dry_run: bool


@dataclass(frozen=True, slots=True)
class Linking:
    """What there is to link, and to prune."""

    clusters: Mapping[str, Cluster]
    states: Mapping[str, LinkState] = field(repr=False)
    stale: Mapping[str, tuple[Removed, ...]]
    failures: Failures
    warnings: tuple[Problem, ...] = ()


def read_links(session: Session, *, prune: bool) -> Linking:
    """Reads the session's clusters, which are a mesh already but for their remote secrets.

    Raises:
        InputError: Two of them have the same cluster ID or network, or the others cannot reach one.
    """
    observed, failed = session.clusters.each(lambda name: observe(session.clusters.kubes[name]))
    going = {
        name: (problem,)
        for name, state in observed.items()
        if (problem := terminating(name, state.find(objects.NAMESPACE, SYSTEM_NAMESPACE)))
    }
    failures = session.clusters.unusable | failed | going
    clusters = topology.clusters_of(session.clusters.contexts, session.settings, observed)
    refuse_for_us_only(clusters)
    states = {
        name: LinkState.of(state, clusters[name].reader)
        for name, state in observed.items()
        if name not in going
    }
    stale = {name: _stale(session, name, clusters, state) for name, state in states.items() if prune}
    return Linking(clusters, states, stale, failures, tuple(_known_defects(session, observed)))


def _known_defects(session: Session, observed: Mapping[str, Observed]) -> list[Problem]:
    """What is known of istiods that are about to be given other remote secrets."""
    restart = partial(restart_istiod, deployment=topology.mesh_of(session.settings).istiod)
    running = {name: running_tags(cluster.of(objects.POD)) for name, cluster in observed.items()}
    problem = hazards.defects(session.run.releases, hazards.by_version(running), restart)
    return [problem] if problem else []


def _stale(
    session: Session, name: str, clusters: Mapping[str, Cluster], state: LinkState
) -> tuple[Removed, ...]:
    others = [cluster.cluster_id for context, cluster in clusters.items() if context != name]
    return to_prune(state.remotes, others, topology.elsewhere(session, clusters))


def link_members(session: Session, todo: Linking, *, dry_run: bool) -> LinkResult:
    """Prunes what shall go, and links every ordered pair of the clusters that answer."""
    members = {name: todo.clusters[name] for name in todo.states}
    left = {name: state.without(todo.stale.get(name, ())) for name, state in todo.states.items()}
    if dry_run:
        stale = {name: tuple(map(str, going)) for name, going in todo.stale.items()}
        return LinkResult(todo.clusters, planned(members, left), todo.failures, stale, dry_run=True)
    removed: dict[str, list[str]] = {name: [] for name in todo.stale}

    def prune(name: str) -> None:
        with session.run.step(name, _PRUNE, plural(len(todo.stale[name]), "remote secret")):
            for going in todo.stale[name]:
                remove(session.clusters.kubes[name], going)
                removed[name].append(str(going))

    _, failures = session.clusters.each(
        prune, [name for name in members if todo.stale.get(name)], step=_PRUNE
    )
    linked = link(session, members, left)
    failures |= todo.failures | linked.failures
    pruned = {name: tuple(what) for name, what in removed.items()}
    return LinkResult(todo.clusters, linked.steps, failures, pruned, dry_run=False)


def remove(kube: Kube, going: Removed) -> None:
    """Removes remote secrets: the Secret, or those of its keys that go."""
    if going.whole_secret:
        kube.delete(objects.SECRET, going.secret, SYSTEM_NAMESPACE)
    else:
        body = {"data": dict.fromkeys(going.cluster_ids)}
        kube.patch(objects.SECRET, going.secret, SYSTEM_NAMESPACE, body)


def planned(clusters: Mapping[str, Cluster], states: Mapping[str, LinkState]) -> dict[str, Step | None]:
    """The link step of each cluster, as far as it can be told without minting a token."""
    desired = remote_secrets(clusters, {name: states[name].token or UNKNOWN_TOKEN for name in clusters})
    return {
        name: link_step(required_by(cluster, desired), states[name].remotes)
        for name, cluster in clusters.items()
    }


def mint(session: Session, cluster: Cluster, during: str, desired: Object | None = None) -> ReaderToken:
    """Has Kubernetes fill a token Secret, and reads it once it is full.

    Args:
        desired: The Secret; None: the first one of the cluster's reader.

    Raises:
        ProblemError: It stayed empty, or went away.
    """
    context, account = cluster.context, cluster.reader
    desired = desired or documents.reader_token_secret(account=account)
    name = desired["metadata"]["name"]
    kube = session.clusters.kubes[context]
    kube.create(desired)
    begun = time.monotonic()
    until = max(begun, min(session.run.deadline, begun + _TOKEN_DEADLINE_S))
    seen = ""
    waits = WaitReport(session.run.progress, context, during)
    for left_s in poll_rounds(until, _POLL_S):
        secret = kube.get(objects.SECRET, name, SYSTEM_NAMESPACE)
        if secret and (token := token_in([secret], account)):
            return token
        seen = "is gone" if secret is None else f"without a token after {until - begun:.0f} s"
        if secret is None:
            break
        waits(f"for a token in Secret {SYSTEM_NAMESPACE}/{name}", left_s)
    raise ProblemError.of(
        code=Code.NO_READER_TOKEN,
        cluster=kube.context,
        message=f"{kube.context} assigned no token to {account}",
        seen=f"Secret {name} {seen}",
        expected=f"a token written by Kubernetes' token controller for ServiceAccount {account}",
        hint=Advice(kubectl(kube.context, "-n", SYSTEM_NAMESPACE, "get", "serviceaccount", account)),
    )
