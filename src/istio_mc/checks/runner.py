"""Runs every check on every target, in dependency order, and assigns root causes."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from istio_mc.checks.model import OBSERVED, Cause, Check, Result, Scope, Target, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from istio_mc.checks.model import Facts, Finding

_NotOk = dict[str, dict[Target, Result]]
"""The results that are not ok, by check and target."""


def run(checks: Sequence[Check], facts: Facts) -> list[Result]:
    """The results, in the order of the checks and of their targets.

    A check comes after those it needs and those that explain it. It is unknown if a check it needs did not
    pass for the target, for either cluster of a pair, or for the mesh; a check of the whole mesh is unknown
    if a check it needs did not pass for any cluster. A failed check has the failed checks that explain it as
    its causes, down to the root cause; if a part of it is explained by none of them, it is a root cause. A
    check that is unknown by itself is no cause.
    """
    results: list[Result] = []
    not_ok: _NotOk = {}
    # Results of thousands of pairs share their targets.
    places = {scope: tuple(targets(scope, facts)) for scope in {check.scope for check in checks}}
    for check in checks:
        # There are many pairs, and nearly always all checks can run.
        blocked = _may_lack(check, facts, not_ok)
        for target in places[check.scope]:
            causes = _lacking(check, target, facts, not_ok) if blocked else ()
            result = (
                Result(check, target, Verdict.UNKNOWN, seen="", caused_by=causes)
                if causes
                else _evaluate(check, target, facts, not_ok)
            )
            results.append(result)
            if result.verdict is Verdict.FAILED or result.caused_by:
                not_ok.setdefault(check.id, {})[target] = result
    return results


def targets(scope: Scope, facts: Facts) -> Iterator[Target]:
    """The targets of a scope."""
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
    """The checks chosen by id or topic, and the unknown names in `only` and `skip`."""
    checks = list(checks)
    only, skip = set(only), set(skip)
    known = {check.id for check in checks} | {check.topic for check in checks}
    left = [check for check in checks if not {check.id, check.topic} & skip]
    desired = [check for check in left if not only or {check.id, check.topic} & only]
    chosen = with_needs(checks, desired) if only else desired
    return [check for check in chosen if check in left], sorted((only | skip) - known)


def nearest(unknown: Iterable[str], checks: Iterable[Check]) -> list[str]:
    """The ids and topics closest to the unknown names, in their order."""
    known = {name: None for check in checks for name in (check.topic, check.id)}
    meant = [difflib.get_close_matches(name.lower(), known, n=1) for name in unknown]
    return list(dict.fromkeys(name for names in meant for name in names))


def with_needs(checks: Sequence[Check], chosen: Iterable[Check]) -> list[Check]:
    """The chosen checks and all they need, in the order of `checks`."""
    needed = {check.id for check in chosen}
    for check in reversed(checks):
        if check.id in needed:
            needed |= set(check.needs) | ({OBSERVED} if check.reads else set())
    return [check for check in checks if check.id in needed]


def relevant(results: Iterable[Result], chosen: Iterable[Check]) -> list[Result]:
    """The results of the chosen checks, and those that explain one of them.

    So an unreachable cluster is reported even if `--skip access` skips the check that finds it.
    """
    results = list(results)
    ids = {check.id for check in chosen}
    causes = {cause for result in results if result.check.id in ids for cause in result.caused_by}
    return [
        result
        for result in results
        if result.check.id in ids or Cause(result.check.id, result.target) in causes
    ]


def _may_lack(check: Check, facts: Facts, not_ok: _NotOk) -> bool:
    """Whether a check or an observation that a check needs failed for any target."""
    return any(needed in not_ok for needed in check.needs) or (
        not check.reports_failures and any(facts.failures.get(observation) for observation in check.reads)
    )


def _lacking(check: Check, target: Target, facts: Facts, not_ok: _NotOk) -> tuple[Cause, ...]:
    """The causes why a check is unknown for a target; empty if it can run."""
    causes: dict[Cause, None] = {}
    for needed in check.needs:
        failed = not_ok.get(needed, {})
        if target == Target():
            nowhere = bool(failed) and all(place in failed for place in _places(facts))
            places = list(failed) if nowhere or target in failed else []
        else:
            places = [Target(target.cluster), Target(target.peer), Target()]
            places = list(dict.fromkeys([target, *places]))
        causes |= _first(needed, failed, places)
    if not check.reports_failures:
        unread = [
            Target(name)
            for name in (target.cluster, target.peer)
            if name and any(facts.failed(observation, name) for observation in check.reads)
        ]
        causes |= _first(OBSERVED, not_ok.get(OBSERVED, {}), unread)
    return tuple(causes)


def _explaining(check: Check, target: Target, finding: Finding, not_ok: _NotOk) -> tuple[Cause, ...]:
    """The failed checks that explain a fault of a target."""
    causes: dict[Cause, None] = {}
    explaining = set()
    for other in check.because:
        explanations = {
            place: result
            for place, result in not_ok.get(other, {}).items()
            if result.is_error and _overlap(place, target)
        }
        if explanations and (finding.parts is None or any(other in part for part in finding.parts)):
            explaining.add(other)
            causes |= _first(other, explanations, list(explanations))
    if any(part.isdisjoint(explaining) for part in finding.parts or ()):
        return ()
    return tuple(causes)


def _first(check_id: str, results: Mapping[Target, Result], places: Iterable[Target]) -> dict[Cause, None]:
    causes: dict[Cause, None] = {}
    for place in places:
        if result := results.get(place):
            causes |= dict.fromkeys(result.caused_by or (Cause(check_id, place),))
    return causes


def _overlap(cause: Target, target: Target) -> bool:
    """Whether a fault of one target can cause that of another.

    The mesh overlaps with everything; a cluster with its pairs; a pair with that of the same clusters.
    """
    mine, theirs = _clusters(target), _clusters(cause)
    return not mine or not theirs or mine <= theirs or theirs <= mine


def _clusters(target: Target) -> set[str]:
    return {name for name in (target.cluster, target.peer) if name}


def _places(facts: Facts) -> list[Target]:
    return [Target(name) for name in facts.clusters] or [Target()]


def _evaluate(check: Check, target: Target, facts: Facts, not_ok: _NotOk) -> Result:
    finding = check.evaluate(facts, target)
    if finding.problem is None:
        verdict = Verdict.UNKNOWN if finding.unknown else Verdict.OK
        return Result(check, target, verdict, finding.seen, clears=finding.clears)
    problem = finding.problem
    if problem.cluster is None and target.cluster:
        problem = problem.on(target.cluster)
    causes = _explaining(check, target, finding, not_ok)
    return Result(check, target, Verdict.FAILED, finding.seen, problem, causes, finding.is_raised)
