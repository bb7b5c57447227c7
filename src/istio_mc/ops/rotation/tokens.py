"""link --rotate: the readers' tokens are replaced, one cluster after another, with a gate after each.

In each cluster a new token is made beside the old one. The remote secrets of one other cluster after another
get it, and every istiod there is looked at before the next. The old token is deleted when all of them have
what they had.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from istio_mc.checks import discovery, remote_access
from istio_mc.checks.catalogue import EVERY
from istio_mc.checks.model import Verdict
from istio_mc.domain.events import Event, State
from istio_mc.domain.hint import Advice, istio_mc
from istio_mc.domain.istio.istiod import list_istiods
from istio_mc.domain.kube import objects
from istio_mc.domain.links.remote_secrets import remote_secrets_of
from istio_mc.domain.links.rotation import new_token_secret, token_secrets
from istio_mc.domain.links.state import link_step, token_in
from istio_mc.domain.links.token_times import TokenTimes, token_times
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.pki.certificates import parse_validity
from istio_mc.domain.problem import Code, Problem, ProblemError
from istio_mc.domain.text import duration
from istio_mc.domain.upgrade.pending import FailedChecks
from istio_mc.gateways.host.parallel import poll_rounds
from istio_mc.ops.link import mint
from istio_mc.ops.rotation.bound import request_token
from istio_mc.ops.rotation.prepare import required_in
from istio_mc.ops.session import rights, topology
from istio_mc.ops.session.wait_report import WaitReport
from istio_mc.ops.upgrade import gate
from istio_mc.ops.upgrade.rollout import restart_control_plane
from istio_mc.ops.verify.verify import run_checks

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from istio_mc.checks.model import Result
    from istio_mc.domain.kube.rights import Right
    from istio_mc.domain.links.state import ReaderToken
    from istio_mc.ops.rotation.prepare import Rotating
    from istio_mc.ops.session.session import Session
    from istio_mc.ops.verify.verify import VerifyResult

TOKEN, REPLACE, SYNC, DELETE = "token", "remote secrets", "discovery", "old token"
SETTLE_S = 60.0
"""How long istiods may take to have what they had, after a remote secret is replaced."""
PROPAGATION_S = 1.0
"""After how long istiods have seen a changed Secret, which they learn of by a watch."""
_POLL_S = 1.0
_SAME = timedelta(minutes=1)
"""By how much a granted time may be shorter than what was requested, without a warning."""
_CHECKS = tuple(
    check for check in EVERY if check.id in {remote_access.SYNCED, discovery.GATEWAYS, discovery.ENDPOINTS}
)


@dataclass(frozen=True, slots=True)
class Rotated:
    """What was done for one cluster.

    Attributes:
        secret: The Secret with its new token; empty: no cluster reads it, so that it has none.
        times: When its new token was made, and when it expires, as its API server granted it.
        replaced: The clusters in which its remote secret was replaced.
        deleted: Its token Secrets that were deleted.
        left: Its token Secrets that neither istioctl nor istio-mc named: they stay.
    """

    secret: str
    replaced: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    times: TokenTimes = field(default_factory=TokenTimes)

    @property
    def granted(self) -> timedelta | None:
        """For how long its new token is accepted; None: it does not expire."""
        return self.times.expires - self.times.made if self.times.made and self.times.expires else None


@dataclass(frozen=True, slots=True)
class RotationResult:
    """What became of a rotation.

    Attributes:
        done: What was done for each cluster that is finished.
        failures: Why a cluster, or the gate after it, stopped the rotation.
    """

    plan: Rotating
    done: Mapping[str, Rotated] = field(default_factory=dict)
    failures: Mapping[str, tuple[Problem, ...]] = field(default_factory=dict)
    dry_run: bool = False

    @property
    def granted(self) -> timedelta | None:
        """The shortest time that a new token is accepted; None: none of them expires."""
        return min((one.granted for one in self.done.values() if one.granted), default=None)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """The tokens that an API server granted for a shorter time than was requested."""
        return tuple(
            _shorter(name, lifetime, one.granted)
            for name, one in self.done.items()
            if one.granted
            and (lifetime := self.plan.lifetime(name))
            and one.granted < parse_validity(lifetime) - _SAME
        )

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All errors."""
        found = (problem for problems in self.failures.values() for problem in problems)
        return tuple(dict.fromkeys((*self.plan.problems, *found)))


def rotate(session: Session, todo: Rotating, now: datetime) -> RotationResult:
    """Does what was planned; stops at the first fault, with a mesh that works.

    Raises:
        InputError: Rights are missing; nothing was changed.
    """
    needed = {name: (*rights.ROTATE_TOKENS, *more_rights(todo, name)) for name in todo.members}
    rights.require(session, "link --rotate", needed)
    before = gate.look_before(session, "link --rotate", now)
    done: dict[str, Rotated] = {}
    for name in todo.order:
        is_done = todo.is_done(name)
        if is_done:
            session.run.progress(Event(name, TOKEN, State.UNCHANGED))
            if name not in before.pending:
                continue
        try:
            if not is_done:
                gate.begin_change(session, before, name, now)
                done[name] = replace_token(session, todo, name, before.failed, now)
            gate.pass_gate(session, before, [name], now, _gate_stopped)
        except ProblemError as error:
            problems = error.problems
            if not any(one.code is Code.ROTATION_GATE for one in problems):
                problems = (*problems, _stopped(name))
            return RotationResult(todo, done, {name: problems})
    return RotationResult(todo, done)


def dry_run(todo: Rotating) -> RotationResult:
    """What would be done; nothing is changed."""
    return RotationResult(todo, dry_run=True)


def more_rights(todo: Rotating, name: str) -> tuple[Right, ...]:
    """The rights that are needed in a cluster beside those of every change of tokens."""
    return (
        *(rights.RESTART_ISTIOD if name in todo.restarts else ()),
        *(rights.REQUEST_TOKEN if name in todo.order and todo.lifetime(name) else ()),
    )


def failing(session: Session, now: datetime) -> FailedChecks:
    """What istiods lack, or do not show, before a token is replaced: no rotation waits for it."""
    return FailedChecks(frozenset(map(gate.key_of, _not_passed(run_checks(session, _CHECKS, now)))))


def _not_passed(found: VerifyResult) -> list[Result]:
    """What fails, and what is unknown: an istiod that does not respond may lack what it had."""
    return [*found.failed, *(one for one in found.results if one.verdict is Verdict.UNKNOWN)]


def replace_token(
    session: Session,
    todo: Rotating,
    name: str,
    before: FailedChecks,
    now: datetime,
    *,
    ends_old: bool = True,
) -> Rotated:
    """Replaces the token of one cluster.

    Args:
        before: The checks that failed before the first change: they are not waited for.
        ends_old: Whether the old token is deleted in the end.

    Raises:
        ProblemError: It stopped; the old token is accepted as before.
    """
    cluster = todo.members[name]
    session.check_lease(name)
    token, secret = _new_token(session, todo, name)
    times = token_times(token.token, (), cluster.reader)
    replaced: list[str] = []
    for holder in todo.holders(name):
        session.check_lease(holder)
        if _replace(session, todo, name, holder, token):
            replaced.append(holder)
        if holder in todo.restarts:
            restart_control_plane(
                session,
                topology.mesh_of(session.settings).istiod,
                todo.members[holder],
                {each: one.cluster_id for each, one in todo.members.items()},
            )
        _wait_for_istiods(session, name, [holder], before, now)
    if replaced:  # once more all of them, the last time that the old token can still be used
        _wait_for_istiods(session, name, todo.holders(name), before, now)
    done = Rotated(secret, tuple(replaced), times=times)
    return end_old_tokens(session, todo, name, done) if ends_old else done


def end_old_tokens(session: Session, todo: Rotating, name: str, done: Rotated) -> Rotated:
    """Deletes the token Secrets of a cluster but for its new one, and those of other tools.

    Raises:
        ProblemError: One could not be deleted.
    """
    kube, cluster = session.clusters.kubes[name], todo.members[name]
    with session.run.step(name, DELETE, "every istiod has what it had"):
        session.check_lease(name)
        live = token_secrets(kube.list(objects.SECRET, SYSTEM_NAMESPACE), cluster.reader)
        old = [one for one in live if one.name != done.secret]
        deleted = [one.name for one in old if todo.ends(one)]
        for one in deleted:
            kube.delete(objects.SECRET, one, SYSTEM_NAMESPACE)
    return replace(done, deleted=tuple(deleted), left=tuple(one.name for one in old if not todo.ends(one)))


def _new_token(session: Session, todo: Rotating, name: str) -> tuple[ReaderToken, str]:
    """The token of this rotation and its Secret: the one that an interrupted run made, else a new one."""
    kube, cluster = session.clusters.kubes[name], todo.members[name]
    present = token_secrets(kube.list(objects.SECRET, SYSTEM_NAMESPACE), cluster.reader)
    made = next((one for one in present if todo.rotation.made(one)), None)
    if made and made.token:
        secret = kube.get(objects.SECRET, made.name, SYSTEM_NAMESPACE)
        if secret and (token := token_in([secret], cluster.reader)):
            return token, made.name
    lifetime = made.lifetime if made else todo.lifetime(name)
    desired = new_token_secret(cluster.reader, present, todo.rotation, lifetime)
    if made:
        desired["metadata"]["name"] = made.name  # it is there, and not filled in yet
    secret_name = str(desired["metadata"]["name"])
    with session.run.step(name, TOKEN, f"Secret {SYSTEM_NAMESPACE}/{secret_name}"):
        token = request_token(kube, cluster, desired) if lifetime else mint(session, cluster, TOKEN, desired)
        return token, secret_name


def _replace(session: Session, todo: Rotating, name: str, holder: str, token: ReaderToken) -> bool:
    """Gives another cluster a remote secret with the new token; False where it has it already."""
    required = required_in(todo, name, holder, token)
    step = link_step([required], remote_secrets_of(todo.observed[holder]))
    if step is None:
        return False
    with session.run.step(holder, REPLACE, f"Secret {SYSTEM_NAMESPACE}/{required['metadata']['name']}"):
        session.clusters.kubes[holder].apply(required)
    time.sleep(min(PROPAGATION_S, session.run.remaining_s))
    return True


def _wait_for_istiods(
    session: Session, name: str, holders: Collection[str], before: FailedChecks, now: datetime
) -> None:
    """Waits until every istiod of other clusters has the gateway and endpoints that it had of a cluster.

    Raises:
        ProblemError: One does not have them.
    """
    shown = ", ".join(holders)
    session.run.progress(Event(name, SYNC, State.STARTED, f"as istiods of {shown} have it"))
    missing: Sequence[Result] = ()
    waits = WaitReport(session.run.progress, name, SYNC)
    for left_s in poll_rounds(min(session.run.deadline, time.monotonic() + SETTLE_S), _POLL_S):
        results = run_checks(session, _CHECKS, now)
        not_passed = _not_passed(results)
        new = before.beyond(map(gate.key_of, not_passed))
        missing = [
            one
            for one in not_passed
            if one.target.peer == name and one.target.cluster in holders and gate.key_of(one) in new
        ]
        unknown = [one for one in results.facts.unreachable if one in (name, *holders)]
        if not missing and not unknown:
            session.run.progress(Event(name, SYNC, State.DONE))
            return
        if unknown:
            raise ProblemError(*(each for one in unknown for each in results.facts.unreachable[one]))
        first = missing[0]
        waits(first.sentence if first.problem else _lacking(name, first).message, left_s)
    session.run.progress(Event(name, SYNC, State.FAILED))
    failed = [one for one in missing if one.problem]  # these are why others are unknown
    raise ProblemError(*dict.fromkeys(_lacking(name, one) for one in failed or missing))


def _lacking(name: str, found: Result) -> Problem:
    """What an istiod of another cluster lacks of a cluster, or does not show."""
    holder = str(found.target.cluster)
    if found.problem:
        return found.problem.on(holder)
    return Problem(
        code=Code.NOT_READY,
        cluster=holder,
        message=f"it is unknown what istiods of {holder} have of {name}",
        seen=found.seen or f"{found.check.id} is unknown",
        expected="every istiod shows what it has",
        hint=list_istiods(holder),
    )


def _stopped(name: str) -> Problem:
    return Problem(
        code=Code.ROTATION_STOPPED,
        cluster=name,
        message=f"the rotation stopped in {name}; its old token is accepted as before",
        seen="no further cluster was begun",
        expected="a new token in every cluster",
        hint=Advice("repair it, then the same command continues from there: ", istio_mc("link", "--rotate")),
    )


def _shorter(name: str, lifetime: str, granted: timedelta) -> Problem:
    return Problem(
        code=Code.TOKEN_SHORTER,
        cluster=name,
        message=f"the API server of {name} grants tokens for a shorter time than was requested",
        seen=f"{duration(granted)} granted",
        expected=lifetime,
        hint=Advice("renew it within that time; or raise --service-account-max-token-expiration there"),
    )


def _gate_stopped(names: Collection[str], failing: str) -> Problem:
    return Problem(
        code=Code.ROTATION_GATE,
        cluster=next(iter(names), None),
        message=f"checks that passed before the token of {', '.join(names)} was replaced do not pass now",
        seen=failing,
        expected="no check that fails, or is unknown, and passed before; no other cluster was begun",
        hint=Advice("repair it, then the same command continues from there: ", istio_mc("link", "--rotate")),
    )
