"""Asks every check of every target, in the order of their dependencies, and finds what explains what."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from istio_mc.checks.model import OBSERVED, Cause, Check, Result, Scope, Target, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from istio_mc.checks.model import Facts, Finding

_Found = dict[str, dict[Target, Result]]
"""The results that are not ok, by check and target."""


def run(checks: Sequence[Check], facts: Facts) -> list[Result]:
    """The results, in the order of the checks and of their targets.

    A check stands after those it needs and those that explain it. One that can tell nothing of a target by
    itself is no cause of anything. Where one it needs did not pass for the
    target, for either cluster of a pair, or for the mesh, this one is unknown and says because of what. A
    check of the whole mesh is unknown where one it needs did not pass for any cluster. A check that fails
    where one that explains it failed too names that one as the cause; causes are followed to the first. Where
    it failed in several parts and one of them is explained by nothing, it has a fault of its own.
    """
    results: list[Result] = []
    not_ok: _Found = {}
    for check in checks:
        # Nearly always nothing stands in the way of a check anywhere, and there are many pairs.
        hindered = _may_lack(check, facts, not_ok)
        for target in targets(check.scope, facts):
            causes = _lacking(check, target, facts, not_ok) if hindered else ()
            result = (
                Result(check, target, Verdict.UNKNOWN, seen="cannot be told", caused_by=causes)
                if causes
                else _ask(check, target, facts, not_ok)
            )
            results.append(result)
            if result.verdict is Verdict.FAILED or result.caused_by:
                not_ok.setdefault(check.id, {})[target] = result
    return results


def targets(scope: Scope, facts: Facts) -> Iterator[Target]:
    """What a check of a scope is asked of."""
    if scope is Scope.MESH:
        yield Target()
        return
    for name in facts.clusters:
        if scope is Scope.CLUSTER:
            yield Target(name)
        else:
            yield from (Target(name, peer) for peer in facts.clusters if peer != name)


def select(
    checks: Iterable[Check], *, only: Iterable[str] = (), skip: Iterable[str] = ()
) -> tuple[list[Check], list[str]]:
    """The checks chosen by id or topic, and the names among `only` and `skip` that no check has."""
    checks = list(checks)
    only, skip = set(only), set(skip)
    known = {check.id for check in checks} | {check.topic for check in checks}
    left = [check for check in checks if not {check.id, check.topic} & skip]
    wanted = [check for check in left if not only or {check.id, check.topic} & only]
    chosen = with_needs(checks, wanted) if only else wanted
    return [check for check in chosen if check in left], sorted((only | skip) - known)


def nearest(unknown: Iterable[str], checks: Iterable[Check]) -> list[str]:
    """The ids and topics that were meant, as far as that can be guessed, in the order of `unknown`."""
    known = {name: None for check in checks for name in (check.topic, check.id)}
    meant = [difflib.get_close_matches(name.lower(), known, n=1) for name in unknown]
    return list(dict.fromkeys(name for names in meant for name in names))


def with_needs(checks: Sequence[Check], chosen: Iterable[Check]) -> list[Check]:
    """The chosen checks and all they need, in the order of `checks`, which holds them all."""
    needed = {check.id for check in chosen}
    for check in reversed(checks):
        if check.id in needed:
            needed |= set(check.needs) | ({OBSERVED} if check.reads else set())
    return [check for check in checks if check.id in needed]


def told(results: Iterable[Result], wanted: Iterable[Check]) -> list[Result]:
    """The results of the wanted checks, and those that explain one of them.

    So a cluster that is down is told though `--skip access` leaves out the check that finds it: what
    cannot be told because of it is no success.
    """
    results = list(results)
    ids = {check.id for check in wanted}
    causes = {cause for result in results if result.check.id in ids for cause in result.caused_by}
    return [
        result
        for result in results
        if result.check.id in ids or Cause(result.check.id, result.target) in causes
    ]


def _may_lack(check: Check, facts: Facts, not_ok: _Found) -> bool:
    """Whether something that a check needs or reads is amiss for any target."""
    return any(needed in not_ok for needed in check.needs) or (
        not check.tells_failures and any(facts.failures.get(observation) for observation in check.reads)
    )


def _lacking(check: Check, target: Target, facts: Facts, not_ok: _Found) -> tuple[Cause, ...]:
    """Why a target cannot be asked: what it needs and is not so."""
    causes: dict[Cause, None] = {}
    for needed in check.needs:
        found = not_ok.get(needed, {})
        if target == Target():
            nowhere = bool(found) and all(place in found for place in _places(facts))
            places = list(found) if nowhere or target in found else []
        else:
            places = [Target(target.cluster), Target(target.peer), Target()]
            places = list(dict.fromkeys([target, *places]))
        causes |= _first(needed, found, places)
    if not check.tells_failures:
        unread = [
            Target(name)
            for name in (target.cluster, target.peer)
            if name and any(facts.failed(observation, name) for observation in check.reads)
        ]
        causes |= _first(OBSERVED, not_ok.get(OBSERVED, {}), unread)
    return tuple(causes)


def _explaining(check: Check, target: Target, finding: Finding, not_ok: _Found) -> tuple[Cause, ...]:
    """What explains a fault: a failed check of those it may come of, where the two speak of one place."""
    causes: dict[Cause, None] = {}
    explaining = set()
    for other in check.because:
        found = {
            place: result
            for place, result in not_ok.get(other, {}).items()
            if result.is_error and _overlap(place, target)
        }
        if found and (finding.parts is None or any(other in part for part in finding.parts)):
            explaining.add(other)
            causes |= _first(other, found, list(found))
    if any(part.isdisjoint(explaining) for part in finding.parts or ()):
        return ()
    return tuple(causes)


def _first(check_id: str, found: Mapping[Target, Result], places: Iterable[Target]) -> dict[Cause, None]:
    causes: dict[Cause, None] = {}
    for place in places:
        if result := found.get(place):
            causes |= dict.fromkeys(result.caused_by or (Cause(check_id, place),))
    return causes


def _overlap(cause: Target, target: Target) -> bool:
    """Whether a fault of one place can be the fault of another.

    The mesh is everywhere; a cluster lies in each of its pairs; two pairs must be of the same clusters.
    """
    mine, theirs = _clusters(target), _clusters(cause)
    return not mine or not theirs or mine <= theirs or theirs <= mine


def _clusters(target: Target) -> set[str]:
    return {name for name in (target.cluster, target.peer) if name}


def _places(facts: Facts) -> list[Target]:
    return [Target(name) for name in facts.clusters] or [Target()]


def _ask(check: Check, target: Target, facts: Facts, not_ok: _Found) -> Result:
    finding = check.ask(facts, target)
    if finding.problem is None:
        return Result(check, target, Verdict.UNKNOWN if finding.unknown else Verdict.OK, finding.seen)
    problem = finding.problem
    if problem.cluster is None and target.cluster:
        problem = problem.on(target.cluster)
    causes = _explaining(check, target, finding, not_ok)
    return Result(check, target, Verdict.FAILED, finding.seen, problem, causes)
