"""leave: the clusters that stay forget one that goes, and take back the keys it held."""

from __future__ import annotations

import secrets as random
import time
from typing import TYPE_CHECKING

from istio_mc.domain.events import Event, State
from istio_mc.domain.gateway.address import managed_gateway
from istio_mc.domain.hint import Advice, istio_mc
from istio_mc.domain.istio import documents
from istio_mc.domain.kube import objects
from istio_mc.domain.links.remote_secrets import remote_secrets_of
from istio_mc.domain.links.remote_secrets import removed as removed_of
from istio_mc.domain.links.state import (
    ReaderToken,
    is_reader_token,
    link_step,
    read_with_files,
    read_with_secrets,
    remote_secrets,
    required_by,
)
from istio_mc.domain.mesh import SYSTEM_NAMESPACE, Cluster
from istio_mc.domain.problem import Code, Problem
from istio_mc.ops.install.wait import wait_ready
from istio_mc.ops.link import mint, remove
from istio_mc.ops.session import topology

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from istio_mc.domain.links.remote_secrets import RemoteSecret
    from istio_mc.gateways.host.parallel import Failures
    from istio_mc.ops.session.session import Session
    from istio_mc.ops.uninstall.plan import Uninstalling

_STEP = "forget"
_PROPAGATION_S = 1.0


def forget(session: Session, todo: Uninstalling) -> tuple[dict[str, tuple[str, ...]], Failures]:
    """Has the clusters that stay forget those that go, with new reader tokens for those that others read.

    A reader token reads every Secret of its cluster and never expires, so one that a cluster took with
    it must not live on. The new one is given out first, and the old one is deleted only when every
    istiod has synced with the new: no link is ever down.

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
    suffix = random.token_hex(4)
    tokens, without_token = session.clusters.each(
        lambda name: mint(session, staying[name], _STEP, suffix), read_with_secrets(staying)
    )
    failures |= without_token
    _, unlinked = session.clusters.each(
        lambda name: _distribute(session, name, staying, tokens, remote_secrets_of(todo.observed[name])),
        staying,
    )
    failures |= unlinked
    # istiod takes a changed Secret up by a watch: what it tells before that is still of the old token.
    time.sleep(min(_PROPAGATION_S, session.run.remaining_s))
    mesh = topology.mesh_of(session.settings)
    _, unsynced = session.clusters.each(
        lambda name: wait_ready(session, mesh, staying[name], [c for n, c in staying.items() if n != name]),
        staying,
    )
    failures |= unsynced
    if not failures and not todo.absent:
        _, undone = session.clusters.each(
            lambda name: _drop_old_tokens(session, staying[name], suffix, removed[name]),
            [name for name in staying if name not in read_with_files(staying)],
        )
        failures |= undone
    for name in staying:
        session.run.progress(Event(name, _STEP, State.FAILED if name in failures else State.DONE))
    return {name: tuple(what) for name, what in removed.items()}, failures


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


def _distribute(
    session: Session,
    name: str,
    staying: Mapping[str, Cluster],
    tokens: Mapping[str, ReaderToken],
    present: Collection[RemoteSecret],
) -> None:
    kube = session.clusters.kubes[name]
    step = link_step(required_by(staying[name], remote_secrets(staying, tokens)), present)
    for secret in step.documents if step else ():
        kube.apply(secret)


def _drop_old_tokens(session: Session, cluster: Cluster, suffix: str, removed: list[str]) -> None:
    kube = session.clusters.kubes[cluster.context]
    current = documents.reader_token_secret(suffix, cluster.reader)["metadata"]["name"]
    old = [
        secret["metadata"]["name"]
        for secret in kube.list(objects.SECRET, SYSTEM_NAMESPACE)
        if is_reader_token(secret, cluster.reader) and secret["metadata"]["name"] != current
    ]
    for secret in old:
        kube.delete(objects.SECRET, secret, SYSTEM_NAMESPACE)
        removed.append(f"Secret {SYSTEM_NAMESPACE}/{secret} (reader token, replaced)")
