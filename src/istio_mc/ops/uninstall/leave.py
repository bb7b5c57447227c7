"""leave: the clusters that stay forget one that goes, and take back the keys it held."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from istio_mc.domain.events import Event, State
from istio_mc.domain.gateway.address import managed_gateway
from istio_mc.domain.hint import Advice, istio_mc
from istio_mc.domain.kube import objects
from istio_mc.domain.links.remote_secrets import remote_secrets_of
from istio_mc.domain.links.remote_secrets import removed as removed_of
from istio_mc.domain.links.state import read_with_files
from istio_mc.domain.mesh import SYSTEM_NAMESPACE, Cluster
from istio_mc.domain.problem import Code, Problem, ProblemError
from istio_mc.ops.link import remove
from istio_mc.ops.rotation import tokens
from istio_mc.ops.rotation.prepare import kept_in_secrets, prepare_remaining

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from istio_mc.domain.upgrade.pending import FailedChecks
    from istio_mc.gateways.host.parallel import Failures
    from istio_mc.ops.rotation.prepare import Rotating
    from istio_mc.ops.session.session import Session
    from istio_mc.ops.uninstall.plan import Uninstalling

_STEP = "forget"


def forget(session: Session, todo: Uninstalling) -> tuple[dict[str, tuple[str, ...]], Failures]:
    """Has the clusters that stay forget those that go, and replaces the tokens that those had.

    A reader token reads every Secret of its cluster, so one that a cluster took with it must not live on. It
    is replaced as `link --rotate` does: no link is ever down.

    Returns:
        What went in each cluster that stays, and those where it failed. Where a cluster that stays does
        not answer, no old token is deleted in the others it reads: it would lose them.
    """
    staying: dict[str, Cluster] = {name: todo.clusters[name] for name in todo.staying}
    removed: dict[str, list[str]] = {name: [] for name in staying}
    gone_ids = [todo.clusters[name].cluster_id for name in todo.going]

    def drop_links(name: str) -> None:
        session.run.progress(
            Event(name, _STEP, State.STARTED, ", ".join(gone_ids))
        )  # ends with the last token
        for links in removed_of(
            remote_secrets_of(todo.observed[name]), lambda one: one.cluster_id in gone_ids
        ):
            remove(session.clusters.kubes[name], links)
            removed[name].append(f"Secret {SYSTEM_NAMESPACE}/{links}")
        for cluster_id in gone_ids:
            if gateway := managed_gateway(cluster_id, todo.observed[name]):
                gateway_name = gateway["metadata"]["name"]
                session.clusters.kubes[name].delete(
                    objects.KUBERNETES_GATEWAY, gateway_name, SYSTEM_NAMESPACE
                )
                removed[name].append(f"Gateway {SYSTEM_NAMESPACE}/{gateway_name}")

    _, failures = session.clusters.each(drop_links, staying, step=_STEP)
    for name, problem in _replace_tokens(session, todo, removed):
        failures = {**failures, name: (*failures.get(name, ()), problem)}
    for name in staying:
        session.run.progress(Event(name, _STEP, State.FAILED if name in failures else State.DONE))
    return {name: tuple(what) for name, what in removed.items()}, failures


def rotation_of(session: Session, todo: Uninstalling) -> Rotating:
    """The rotation of the tokens of the clusters that stay."""
    staying = {name: todo.clusters[name] for name in todo.staying}
    gone = [todo.clusters[name].cluster_id for name in todo.going]
    return prepare_remaining(session, staying, todo.observed, gone, datetime.now(UTC))


def _replace_tokens(
    session: Session, todo: Uninstalling, removed: Mapping[str, list[str]]
) -> Iterator[tuple[str, Problem]]:
    """Replaces the tokens of one cluster that stays after another.

    Yields:
        What stood in the way, with the context of its cluster; the next one is begun all the same.
    """
    rotation = rotation_of(session, todo)
    for problem in rotation.problems:
        yield str(problem.cluster), problem
    if rotation.problems:
        return
    now = datetime.now(UTC)
    members = session.only(rotation.members)  # of those that leave nothing is read: they may be silent
    before = tokens.failing(members, now)
    in_files = read_with_files(rotation.members)
    for name in rotation.order:
        if rotation.is_done(name):
            continue
        kept = [*kept_in_secrets(rotation, name)]
        yield from ((str(one.cluster), one) for one in kept)
        ends_old = not (kept or todo.absent or name in in_files)
        try:
            done = _replace_token(members, rotation, name, before, now, ends_old=ends_old)
        except ProblemError as error:
            yield from ((one.cluster or name, one) for one in error.problems)
            continue
        removed[name].extend(f"Secret {SYSTEM_NAMESPACE}/{one} (reader token, replaced)" for one in done)


def _replace_token(
    session: Session,
    rotation: Rotating,
    name: str,
    before: FailedChecks,
    now: datetime,
    *,
    ends_old: bool,
) -> tuple[str, ...]:
    """Replaces the token of a cluster; where no other reads it any more it gets no new one.

    Returns:
        The names of the token Secrets that were deleted.

    Raises:
        ProblemError: It stopped; the old token is accepted as before.
    """
    if rotation.holders(name):
        return tokens.replace_token(session, rotation, name, before, now, ends_old=ends_old).deleted
    return tokens.end_old_tokens(session, rotation, name, tokens.Rotated("")).deleted if ends_old else ()


def tokens_kept(todo: Uninstalling, failures: Failures) -> Problem:
    """The warning that old tokens had to be kept, and that a cluster that left still has them."""
    gone = ", ".join(todo.going)
    waiting = ", ".join(dict.fromkeys([*todo.absent, *failures]))
    return Problem(
        code=Code.TOKENS_KEPT,
        message=f"the tokens in {gone} still work: they link {waiting} to the others",
        seen=f"{waiting} is not reachable, or not finished",
        expected="new tokens in every cluster that stays, and the old ones deleted",
        hint=istio_mc("uninstall", contexts=todo.going),
    )


def tokens_in_files(todo: Uninstalling) -> tuple[Problem, ...]:
    """The warning that old tokens are kept, because kubeconfigs in files of other clusters contain them."""
    staying = {name: todo.clusters[name] for name in todo.staying}
    kept = read_with_files(staying)
    if not kept:
        return ()
    holders = ", ".join(
        f"{n} ({one.kubeconfig_folder})" for n, one in staying.items() if one.kubeconfig_folder
    )
    return (
        Problem(
            code=Code.TOKENS_KEPT,
            message=f"tokens of {', '.join(kept)} in {', '.join(todo.going)} still work",
            seen=f"istiod reads kubeconfigs with them from files in {holders}",
            expected="new tokens in these files, and the old ones deleted",
            hint=Advice(
                "replace the kubeconfigs in these files; then delete the older token Secrets in "
                f"{SYSTEM_NAMESPACE} of {', '.join(kept)}"
            ),
        ),
    )


def named_in_settings(todo: Uninstalling, listed: Collection[str], file: Path | None) -> tuple[Problem, ...]:
    """The warning that the next install adds a cluster again that leaves: mesh.yaml still names it."""
    gone = ", ".join(name for name in todo.going if name in listed)
    if not (gone and todo.staying):
        return ()
    return (
        Problem(
            code=Code.SETTINGS_NAME_IT,
            message=f"the next install adds {gone} again: it is still in mesh.yaml",
            seen=f"{gone} under clusters in {file}",
            expected="the clusters that stay, and no others",
            hint=Advice(f"remove {gone} from {file}"),
        ),
    )
