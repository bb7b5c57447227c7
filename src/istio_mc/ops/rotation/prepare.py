"""What comes before tokens are replaced: every member is read, and what would lose access is found."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from istio_mc.domain.events import Event, State
from istio_mc.domain.hint import Advice, istio_mc
from istio_mc.domain.istio.istiod import running_tags
from istio_mc.domain.kube import objects
from istio_mc.domain.links import rotation
from istio_mc.domain.links.remote_secrets import linked_ids, of_cluster, remote_secrets_of
from istio_mc.domain.links.rotation import Rotation, token_secrets
from istio_mc.domain.links.state import (
    UNKNOWN_TOKEN,
    ReaderToken,
    refuse_for_us_only,
    remote_secrets,
    with_linked_address,
)
from istio_mc.domain.links.token_times import used_tokens
from istio_mc.domain.mesh import ApiServer
from istio_mc.domain.problem import Code, Problem, ProblemError
from istio_mc.gateways.kube.snapshot import observe
from istio_mc.ops.session import topology
from istio_mc.ops.session.inputs import refuse_unknown_clusters

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from datetime import datetime

    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.links.rotation import TokenSecret
    from istio_mc.domain.mesh import Cluster
    from istio_mc.domain.observed import Observed
    from istio_mc.ops.session.session import Session

RESTART, UPGRADE = "restart", "upgrade"


@dataclass(frozen=True, slots=True)
class Rotating:
    """What is to be done.

    Attributes:
        members: Every cluster of the mesh, by context.
        order: The contexts whose tokens are replaced, the canary first.
        tokens: The token Secrets of each member, the newest first.
        restarts: The members whose istiods are restarted after a remote secret is replaced, and why.
        distributed: The tokens that remote secrets of any cluster had, where they must all be ended: also
            those of token Secrets that another tool named.
        continued: Whether a rotation that was interrupted goes on.
        problems: What stands in the way: nothing is changed where there is any.
    """

    rotation: Rotation
    members: Mapping[str, Cluster]
    observed: Mapping[str, Observed] = field(repr=False)
    order: tuple[str, ...]
    tokens: Mapping[str, tuple[TokenSecret, ...]] = field(repr=False)
    restarts: Mapping[str, str]
    distributed: frozenset[str] = field(default=frozenset(), repr=False)
    continued: bool = False
    problems: tuple[Problem, ...] = ()

    def is_done(self, name: str) -> bool:
        """Whether this rotation has replaced the token of a cluster already."""
        return self.rotation.is_done(self.tokens[name])

    def ends(self, old: TokenSecret) -> bool:
        """Whether the token of a Secret is ended where it is not the new one."""
        return old.is_named_right or old.token in self.distributed

    def lifetime(self, name: str) -> str:
        """The lifetime of a cluster's new token: what the rotation names, else that of its token now."""
        if self.rotation.expiry:
            return "" if self.rotation.expiry == rotation.NEVER else self.rotation.expiry
        return rotation.lifetime_of(self.tokens[name])

    def holders(self, name: str) -> tuple[str, ...]:
        """The other members whose istiods read a cluster with a remote secret."""
        return tuple(
            other for other, one in self.members.items() if other != name and not one.kubeconfig_folder
        )


def required_in(todo: Rotating, name: str, holder: str, token: ReaderToken) -> Object:
    """The remote secret of a cluster with this token, with the address that the holder has now."""
    cluster = todo.members[name]
    present = of_cluster(remote_secrets_of(todo.observed[holder]), cluster.cluster_id)
    if first := next((one.access for one in present if one.access and one.is_of_our_form), None):
        server = ApiServer(first.server, first.ca_data, first.tls_server_name)
        cluster = replace(cluster, api_server=server)
    return remote_secrets({name: cluster}, {name: token})[name]


def prepare(
    session: Session, named: Collection[str], now: datetime, *, canary: str | None = None, expiry: str = ""
) -> Rotating:
    """Reads the mesh; changes nothing.

    Args:
        named: The contexts whose tokens are replaced; none: all.
        expiry: The lifetime of the new tokens (`90d`, `never`); empty: that of the tokens that they replace.

    Raises:
        InputError: An option names a cluster outside the run; or IDs or networks contradict each other.
        ProblemError: A member cannot be read: it would be cut off.
    """
    chosen = [name for name in session.clusters.names if not named or name in named]
    refuse_unknown_clusters({"--canary": [canary] if canary else []}, chosen)
    session.run.progress(Event(None, "preflight", State.STARTED, "reading every cluster"))
    observed = session.clusters.every(lambda name: observe(session.clusters.kubes[name]))
    members = {
        name: one
        for name, one in topology.clusters_of(session.clusters.contexts, session.settings, observed).items()
        if observed[name].istiods
    }
    if missing := [name for name in chosen if name not in members]:
        raise ProblemError(*map(_no_member, missing))
    members = {name: with_linked_address(one, observed) for name, one in members.items()}
    refuse_for_us_only(members)
    tokens = {
        name: token_secrets(observed[name].of(objects.SECRET), one.reader) for name, one in members.items()
    }
    ids = {name: members[name].cluster_id for name in chosen}
    by_id = {members[name].cluster_id: those for name, those in tokens.items()}
    new = Rotation(now.isoformat(timespec="milliseconds"), tuple(ids.values()), expiry)
    under_way = rotation.rotation_under_way(by_id, new)
    restarts, defects = _defects(session, {name: observed[name] for name in members})
    todo = Rotating(
        under_way or new,
        members,
        observed,
        tuple(sorted(chosen, key=lambda name: name != canary)),
        tokens,
        restarts,
        continued=under_way is not None,
    )
    problems = (*defects, *_outside(todo), *_not_replaced(todo))
    session.run.progress(Event(None, "preflight", State.DONE))
    return replace(todo, problems=problems)


def prepare_remaining(
    session: Session,
    members: Mapping[str, Cluster],
    observed: Mapping[str, Observed],
    gone: Collection[str],
    now: datetime,
) -> Rotating:
    """For clusters that stay when others leave: the tokens that those had are replaced.

    Args:
        members: The clusters that stay and respond, by context.
        observed: What was read of all clusters that respond.
        gone: The IDs of those that leave.
    """
    tokens = {
        name: token_secrets(observed[name].of(objects.SECRET), one.reader) for name, one in members.items()
    }
    by_id = {members[name].cluster_id: those for name, those in tokens.items()}
    new = Rotation(now.isoformat(timespec="milliseconds"), tuple(by_id), without=tuple(gone))
    linked = {each for name in members for each in linked_ids(observed[name].of(objects.SECRET))}
    # One that is still linked may have joined again since, and have tokens of that rotation.
    under_way = None if linked & set(gone) else rotation.rotation_under_way(by_id, new)
    restarts, defects = _defects(session, {name: observed[name] for name in members})
    remotes = [one for live in observed.values() for one in remote_secrets_of(live)]
    return Rotating(
        under_way or new,
        members,
        observed,
        tuple(members),
        tokens,
        restarts,
        frozenset(used_tokens(remotes)),
        continued=under_way is not None,
        problems=tuple(defects),
    )


def _defects(session: Session, observed: Mapping[str, Observed]) -> tuple[dict[str, str], list[Problem]]:
    """The clusters whose istiods are restarted afterwards; problems where they must be upgraded before."""
    restarts: dict[str, str] = {}
    problems: list[Problem] = []
    for name, live in observed.items():
        versions = running_tags(live.of(objects.POD))
        found = rotation.defects_on_replacement(session.run.releases, versions)
        for defect in found:
            if defect.on_replacement == RESTART:
                restarts.setdefault(name, defect.effect)
            elif defect.on_replacement == UPGRADE:
                problems.append(_defective(name, ", ".join(sorted(versions)), defect.effect))
    return restarts, problems


def _outside(todo: Rotating) -> Iterator[Problem]:
    """Clusters that are linked with the members, and are not part of the run: they would be cut off."""
    known = {one.cluster_id for one in todo.members.values()}
    outside: dict[str, list[str]] = {}
    for name in todo.members:
        for cluster_id in sorted(linked_ids(todo.observed[name].of(objects.SECRET)) - known):
            outside.setdefault(cluster_id, []).append(name)
    for cluster_id, names in outside.items():
        yield Problem(
            code=Code.ROTATION_READER_OUTSIDE,
            message=f"{cluster_id} may read these clusters too, and is not part of this run",
            seen=f"remote secrets of {cluster_id} in {', '.join(names)}",
            expected="every cluster that has a token of these clusters",
            hint=Advice(
                "add its context with --contexts; or, if it has left the mesh, remove the remote secrets: ",
                istio_mc("link", "--prune"),
            ),
        )


def _not_replaced(todo: Rotating) -> Iterator[Problem]:
    """Tokens that others than istio-mc distribute: their holders would be cut off."""
    for name in todo.order:
        for holder, one in todo.members.items():
            if holder != name and one.kubeconfig_folder:
                yield _kept(name, holder, f"istiod reads kubeconfigs in {one.kubeconfig_folder}")
        yield from kept_in_secrets(todo, name)


def kept_in_secrets(todo: Rotating, name: str) -> Iterator[Problem]:
    """Remote secrets of others that contain a token of a cluster: it would be cut off from their holders."""
    cluster_id = todo.members[name].cluster_id
    tokens = {one.token for one in todo.tokens[name] if one.token}
    for holder in todo.holders(name):
        required = required_in(todo, name, holder, UNKNOWN_TOKEN)
        present = remote_secrets_of(todo.observed[holder])
        if kept := rotation.kept_by_others(required, cluster_id, present, tokens):
            yield _kept(name, holder, f"Secret istio-system/{kept} is not of the form of istio-mc link")


def _kept(name: str, holder: str, seen: str) -> Problem:
    return Problem(
        code=Code.ROTATION_NOT_REPLACED,
        cluster=holder,
        message=f"{holder} reads {name} with a token that istio-mc does not distribute",
        seen=seen,
        expected="a remote secret as istio-mc link writes it",
        hint=Advice("remove it and link again: ", istio_mc("link", "--prune"), "; or replace it yourself"),
    )


def _defective(name: str, version: str, effect: str) -> Problem:
    return Problem(
        code=Code.ROTATION_DEFECT,
        cluster=name,
        message=f"istiod {version} of {name} would lose other clusters",
        seen=effect,
        expected="a patch of Istio without this defect, before remote secrets are replaced",
        hint=Advice("upgrade it first: ", istio_mc("upgrade", "--to", "VERSION", contexts=[name])),
    )


def _no_member(context: str) -> Problem:
    return Problem(
        code=Code.NOT_A_MEMBER,
        cluster=context,
        message=f"{context} runs no istiod that others could read it with",
        seen="no Deployment with label app=istiod in istio-system",
        expected="a control plane",
        hint=Advice("install it first: ", istio_mc("install", contexts=[context])),
    )
