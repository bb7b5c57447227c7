"""bundle: what verify finds, with the logs and objects that explain it, secrets taken out, for a ticket."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING

from istio_mc.checks.catalogue import ALL
from istio_mc.domain import objects
from istio_mc.domain.bundle import Collected, File, begun, fitting, left_out, room_of_each
from istio_mc.domain.hint import rewritten
from istio_mc.domain.redaction.known import of_kubeconfig, of_secrets
from istio_mc.domain.redaction.redactor import Redactor
from istio_mc.domain.tarball import packed
from istio_mc.ops import bundle_parts
from istio_mc.ops.verify import look

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from istio_mc.checks.model import Facts
    from istio_mc.domain.problem import Problem
    from istio_mc.ops.bundle_parts import Logs
    from istio_mc.ops.own_patterns import OwnPatterns
    from istio_mc.ops.session import Session
    from istio_mc.ops.verify import VerifyResult

_STEP = "bundle"
_READ_TIMEOUT_S = 15.0
_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class Gathered:
    """All that goes into a bundle, but for its index and what verify found, which present writes.

    Attributes:
        verified: What verify found, secrets taken out.
        made: When.
        clusters: What was collected of each cluster that answered, by context.
        unreachable: Those that did not answer, and why.
        settings: mesh.yaml; None where there is none.
        folders: The folder of each of these clusters.
        redactor: What takes secrets out of all that is of no single cluster.
        own: What takes out what the user's own patterns match.
    """

    verified: VerifyResult
    made: datetime
    clusters: Mapping[str, Collected]
    unreachable: Mapping[str, tuple[Problem, ...]]
    settings: File | None
    folders: Mapping[str, str]
    redactor: Redactor = field(repr=False)
    own: OwnPatterns


def gather(session: Session, now: datetime, logs: Logs, own: OwnPatterns) -> Gathered:
    """Verifies the mesh, and asks every cluster that answers for what explains it; changes nothing."""
    verified = look(session, ALL, now)
    facts = verified.facts
    secret = _secrets(session, facts)
    redactor = Redactor.knowing(secret)
    room = room_of_each(len(facts.clusters))

    def collect(name: str) -> Collected:
        with session.step(name, _STEP, "reading"):
            return read(name)

    def read(name: str) -> Collected:
        kube = session.kubes[name]
        kube.read_timeout_s = min(kube.read_timeout_s, _READ_TIMEOUT_S)
        apart = Redactor(known=redactor.known)
        found = bundle_parts.known(facts, name, apart)
        asks, missing = bundle_parts.asks(kube, facts.observed[name], logs, apart)
        more, unknown = bundle_parts.configuration(kube, apart)
        came, failed = bundle_parts.answers([*asks, *more], name, session.progress)
        kept, too_much = fitting([*found, *came], room)
        return Collected(
            tuple(kept),
            (*missing, *unknown, *failed, *(left_out(file) for file in too_much)),
            apart.counts,
        )

    collected, failed = session.each(facts.observed, collect)
    collected = {name: _hiding(own, one, room) for name, one in collected.items()}
    shown = _redacted(verified, lambda text: own.text(redactor.text(text)))
    settings = _settings(session, redactor)
    return Gathered(
        verified=shown,
        made=now,
        clusters=collected,
        unreachable={**shown.facts.unreachable, **failed},
        settings=own.files([settings])[0] if settings else None,
        folders=folders(collected, own.path),
        redactor=redactor,
        own=own,
    )


def archive(gathered: Gathered, folder: str, about: Sequence[File]) -> bytes:
    """The bytes of the bundle: a folder for each cluster, and what is about all of them above.

    Args:
        gathered: What was collected.
        folder: The folder that all is in.
        about: Files of no single cluster: index, what verify found, the page.
    """
    everything = [*about, *([gathered.settings] if gathered.settings else [])]
    for name, collected in gathered.clusters.items():
        everything += [File(f"{gathered.folders[name]}/{file.path}", file.text) for file in collected.files]
    return packed(folder, everything, gathered.made)


def folders(contexts: Iterable[str], hidden: Callable[[str], str] = str) -> dict[str, str]:
    """A folder for each context: whatever it is called, it stays within the bundle, and no two share one."""
    found: dict[str, str] = {}
    for context in contexts:
        safe = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in hidden(context))
        folder = f"clusters/{safe.lstrip('.')[:_LONGEST_NAME] or '_'}"
        taken = set(found.values())
        names = (folder, *(f"{folder}-{number}" for number in range(2, len(found) + 3)))
        found[context] = next(name for name in names if name not in taken)
    return found


def redactions(gathered: Gathered) -> dict[str, int]:
    """How many secrets of each kind were taken out, in all."""
    total = gathered.redactor.counts + gathered.own.counts
    for collected in gathered.clusters.values():
        total.update(collected.redactions)
    return dict(sorted(total.items()))


def _hiding(own: OwnPatterns, collected: Collected, room: int) -> Collected:
    """What was collected of a cluster, without what the user's own patterns match."""
    kept, too_much = fitting(own.files(collected.files), room)
    missing = (*collected.missing, *(left_out(file) for file in too_much))
    return replace(collected, files=tuple(kept), missing=missing)


def _redacted(verified: VerifyResult, hide: Callable[[str], str]) -> VerifyResult:
    """What was found, its texts looked through: each once, for results repeat them."""
    once = cache(hide)

    def problem_of(problem: Problem) -> Problem:
        texts = {name: getattr(problem, name) for name in ("message", "seen", "expected")}
        redacted = {name: once(text) if text else text for name, text in texts.items()}
        return replace(problem, **redacted, hint=rewritten(problem.hint, once))

    results = tuple(
        replace(
            result, seen=once(result.seen), problem=problem_of(result.problem) if result.problem else None
        )
        for result in verified.results
    )
    unreachable = {name: tuple(map(problem_of, why)) for name, why in verified.facts.unreachable.items()}
    return replace(verified, facts=replace(verified.facts, unreachable=unreachable), results=results)


def _secrets(session: Session, facts: Facts) -> set[str]:
    """What is secret in any of the clusters, and in this run's kubeconfig: it may stand in another's logs."""
    public = _public(facts)
    found: set[str] = set()
    for observed in facts.observed.values():
        found |= of_secrets(observed.of(objects.SECRET), public)
    for kube in session.kubes.values():
        found |= of_kubeconfig(kube.kubeconfig)
    return found


def _public(facts: Facts) -> Collection[str]:
    """Words that a Secret may hold and that all may know."""
    found = {facts.mesh.mesh_id, facts.mesh.version}
    for name, cluster in facts.clusters.items():
        found |= {name, cluster.cluster_id, cluster.network, cluster.api_server.server}
    for observed in facts.observed.values():
        for item in observed.objects.values():
            found |= {item["metadata"]["name"], str(item["metadata"].get("namespace"))}
    return found


def _settings(session: Session, redactor: Redactor) -> File | None:
    if session.settings.file is None:
        return None
    try:
        text = session.read(session.settings.file).decode(errors="replace")
    except OSError:
        return None
    return begun("mesh.yaml", redactor.text(text))
