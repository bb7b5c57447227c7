"""link: every cluster's istiod is given a remote secret of every other cluster."""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from istio_mc.domain import documents, objects, plan
from istio_mc.domain.api_servers import refuse_for_us_only
from istio_mc.domain.compare import differences
from istio_mc.domain.events import Event, State
from istio_mc.domain.hint import Advice, kubectl
from istio_mc.domain.mesh import READER_SERVICE_ACCOUNT, SYSTEM_NAMESPACE, Cluster
from istio_mc.domain.objects import Object, ref_of
from istio_mc.domain.plan import Step
from istio_mc.domain.problem import Problem, ProblemError
from istio_mc.domain.remote_secrets import remote_secrets_in, to_prune
from istio_mc.domain.terminating import terminating
from istio_mc.gateways.fanout import Failures, all_of
from istio_mc.gateways.observe import observe
from istio_mc.ops import topology

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from istio_mc.gateways.kube import Kube
    from istio_mc.ops.session import Session

_TOKEN_DEADLINE_S = 30.0
_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class ReaderToken:
    """What another istiod needs to read a cluster."""

    token: str = field(repr=False)
    ca_data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Linked:
    """What became of linking.

    Attributes:
        steps: For each cluster the step that was done in it, or None where nothing was missing.
        failures: Clusters whose token could not be had, or whose secrets could not be written.
    """

    steps: Mapping[str, Step | None]
    failures: Failures


def is_reader_token(secret: Object) -> bool:
    """Whether a Secret holds, or is to hold, a token of the reader account."""
    annotations = secret["metadata"].get("annotations") or {}
    return (
        secret.get("type") == "kubernetes.io/service-account-token"
        and annotations.get("kubernetes.io/service-account.name") == READER_SERVICE_ACCOUNT
    )


def token_in(secrets: Collection[Object]) -> ReaderToken | None:
    """The reader's token among a namespace's Secrets: the newest, as an older one is on its way out."""
    fitting = [
        secret
        for secret in secrets
        if is_reader_token(secret) and {"token", "ca.crt"} <= (secret.get("data") or {}).keys()
    ]
    if not fitting:
        return None
    data = max(fitting, key=lambda secret: secret["metadata"].get("creationTimestamp", ""))["data"]
    return ReaderToken(base64.b64decode(data["token"]).decode(), base64.b64decode(data["ca.crt"]))


def remote_secrets(clusters: Mapping[str, Cluster], tokens: Mapping[str, ReaderToken]) -> dict[str, Object]:
    """The remote secret by which others reach each cluster whose token is known, the same in all of them."""
    return {
        context: documents.remote_secret(
            cluster.cluster_id,
            documents.remote_kubeconfig(cluster.cluster_id, cluster.api_server, found.token, found.ca_data),
        )
        for context, cluster in clusters.items()
        if (found := tokens.get(context))
    }


def others_than(target: str, secrets: Mapping[str, Object]) -> list[Object]:
    """The remote secrets a cluster shall hold: one of every other."""
    return [secret for context, secret in secrets.items() if context != target]


def link_step(wanted: Collection[Object], live: Collection[Object]) -> Step | None:
    """The step that brings a cluster's remote secrets to what is wanted; no secret is in its reasons."""
    reasons = []
    changed = []
    raw = {ref_of(secret): secret for secret in live}
    for secret in wanted:
        ref = ref_of(secret)
        if not differences([secret], raw):
            continue  # to the letter; parsing many kubeconfigs takes long
        found = differences(
            [dict(documents.opened_remote_secret(secret))],
            {ref: dict(documents.opened_remote_secret(raw[ref]))} if ref in raw else {},
        )
        if found:
            missing = not found[0].path
            reasons.append(
                f"{ref} is missing" if missing else f"{ref} holds another kubeconfig or other labels"
            )
            changed.append(secret)
    return Step(plan.LINK, tuple(reasons), tuple(changed)) if changed else None


def link(
    session: Session, clusters: Mapping[str, Cluster], secrets: Mapping[str, Collection[Object]]
) -> Linked:
    """Links every ordered pair of clusters: one token read per cluster, all writes at once.

    Args:
        session: The run.
        clusters: The clusters to link, by context; each must answer and have the reader account.
        secrets: The Secrets of istio-system as this run has read them, by context.
    """

    def obtain(context: str) -> ReaderToken:
        return token_in(secrets.get(context, ())) or mint(session, context)

    tokens, failures = session.each(clusters, obtain)

    wanted = remote_secrets(clusters, tokens)

    def write(context: str) -> Step | None:
        step = link_step(others_than(context, wanted), secrets.get(context, ()))
        if step is None:
            session.progress(Event(context, plan.LINK, State.UNCHANGED))
            return None
        session.progress(Event(context, plan.LINK, State.STARTED, f"{len(step.documents)} remote secrets"))
        kube = session.kubes[context]
        dead = {one.secret for one in remote_secrets_in(secrets.get(context, ())) if one.fault}
        all_of({str(ref_of(secret)): partial(_replace, kube, secret, dead) for secret in step.documents})
        session.progress(Event(context, plan.LINK, State.DONE))
        return step

    steps, unwritten = session.each(clusters, write)
    return Linked(steps, failures | unwritten)


def _replace(kube: Kube, secret: Object, dead: Collection[str]) -> None:
    """Writes a remote secret; anew where its name is among those that istiod could not use.

    An istiod that met a kubeconfig it refuses closes the cluster, and does not open it again when the Secret
    changes, only when it goes and comes back (seen on 1.26.0: `closed` in clusterz for good).
    """
    name = secret["metadata"]["name"]
    if name in dead:
        kube.delete(objects.SECRET, name, SYSTEM_NAMESPACE)
    kube.apply(secret)


@dataclass(frozen=True, slots=True)
class LinkResult:
    """What `link` did, or in a dry run would do.

    Attributes:
        clusters: The clusters of the run, by context.
        steps: What was missing in each; None: nothing.
        failures: Clusters that could not be read or written, and why.
        pruned: The Secrets that were removed from each, because they belong to no member or stand in the
            way; in a dry run those that would be.
        dry_run: Whether nothing was touched.
    """

    clusters: Mapping[str, Cluster]
    steps: Mapping[str, Step | None]
    failures: Failures
    pruned: Mapping[str, tuple[str, ...]]
    dry_run: bool


@dataclass(frozen=True, slots=True)
class Linking:
    """What there is to link, and to prune.

    Attributes:
        clusters: The clusters of the run, by context.
        secrets: The Secrets of those that can be linked.
        doomed: Names of those that shall go.
        failures: Clusters that cannot be linked, and why.
    """

    clusters: Mapping[str, Cluster]
    secrets: Mapping[str, Collection[Object]] = field(repr=False)
    doomed: Mapping[str, tuple[str, ...]]
    failures: Failures


def look(session: Session, *, prune: bool) -> Linking:
    """Reads the session's clusters, which are a mesh already but for their remote secrets.

    Raises:
        InputError: Two of them have the same cluster ID or network, or the others cannot reach one.
    """
    observed, failed = session.each(session.kubes, lambda name: observe(session.kubes[name]))
    going = {
        name: (problem,)
        for name, found in observed.items()
        if (problem := terminating(name, found.find(objects.NAMESPACE, SYSTEM_NAMESPACE)))
    }
    failures = session.unusable | failed | going
    clusters = topology.clusters_of(session.contexts, session.settings, observed)
    refuse_for_us_only(clusters)
    secrets = {name: found.of(objects.SECRET) for name, found in observed.items() if name not in going}
    doomed = {name: _doomed(session, name, clusters, found) for name, found in secrets.items() if prune}
    return Linking(clusters, secrets, doomed, failures)


def _doomed(
    session: Session, name: str, clusters: Mapping[str, Cluster], secrets: Collection[Object]
) -> tuple[str, ...]:
    others = [cluster.cluster_id for context, cluster in clusters.items() if context != name]
    kept = topology.elsewhere(session, clusters)
    return tuple(to_prune(remote_secrets_in(secrets), others, kept))


def link_members(session: Session, todo: Linking, *, dry_run: bool) -> LinkResult:
    """Prunes what shall go, and links every ordered pair of the clusters that answer."""
    members = {name: todo.clusters[name] for name in todo.secrets}
    left = {
        name: [s for s in found if s["metadata"]["name"] not in todo.doomed.get(name, ())]
        for name, found in todo.secrets.items()
    }
    if dry_run:
        steps = planned(members, left)
        return LinkResult(todo.clusters, steps, todo.failures, todo.doomed, dry_run=True)

    def prune(name: str) -> None:
        for secret in todo.doomed.get(name, ()):
            session.kubes[name].delete(objects.SECRET, secret, SYSTEM_NAMESPACE)

    _, failures = session.each(members, prune)
    linked = link(session, members, left)
    failures |= todo.failures | linked.failures
    return LinkResult(todo.clusters, linked.steps, failures, todo.doomed, dry_run=False)


def planned(
    clusters: Mapping[str, Cluster], secrets: Mapping[str, Collection[Object]]
) -> dict[str, Step | None]:
    """The link step of each cluster, as far as it can be told without minting a token."""
    unknown = ReaderToken("", b"")
    tokens = {name: token_in(secrets[name]) or unknown for name in clusters}
    wanted = remote_secrets(clusters, tokens)
    return {name: link_step(others_than(name, wanted), secrets[name]) for name in clusters}


def mint(session: Session, context: str, suffix: str = "") -> ReaderToken:
    """Has Kubernetes fill a token Secret, and reads it once it is full.

    Raises:
        ProblemError: It stayed empty, or went away.
    """
    wanted = documents.reader_token_secret(suffix)
    name = wanted["metadata"]["name"]
    kube = session.kubes[context]
    kube.create(wanted)
    begun = time.monotonic()
    until = min(session.deadline, begun + _TOKEN_DEADLINE_S)
    while True:
        secret = kube.get(objects.SECRET, name, SYSTEM_NAMESPACE)
        if secret and (found := token_in([secret])):
            return found
        if (left := until - time.monotonic()) <= 0:
            raise ProblemError(
                Problem(
                    code="no-reader-token",
                    cluster=kube.context,
                    message=f"{kube.context} gave no token for {READER_SERVICE_ACCOUNT}",
                    seen=f"Secret {name} "
                    + ("is gone" if secret is None else f"without a token after {until - begun:.0f} s"),
                    expected="a token written by Kubernetes' token controller",
                    hint=Advice(
                        kubectl(
                            kube.context,
                            "-n",
                            SYSTEM_NAMESPACE,
                            "get",
                            "serviceaccount",
                            READER_SERVICE_ACCOUNT,
                        )
                    ),
                    docs="troubleshooting.md#no-reader-token",
                )
            )
        waits = f"for a token in Secret {SYSTEM_NAMESPACE}/{name}"
        session.progress(Event(context, plan.LINK, State.WAITING, waits))
        time.sleep(min(_POLL_S, left))
