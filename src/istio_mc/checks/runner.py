"""Asks every check of every target, in the order of their dependencies."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from istio_mc.checks.model import Check, Facts, Result, Scope, Target, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence


def run(checks: Sequence[Check], facts: Facts) -> list[Result]:
    """The results, in the order of the checks and of their targets.

    A check stands after those it needs. Where one of these did not pass for the target, for either
    cluster of a pair, or for the mesh, this one is unknown and says because of what. A check of the whole
    mesh is unknown where one it needs did not pass for any cluster.
    """
    results: list[Result] = []
    not_ok: dict[tuple[str, Target], Result] = {}
    for check in checks:
        for target in targets(check.scope, facts):
            causes = _causes(check, target, facts, not_ok)
            result = (
                Result(check, target, Verdict.UNKNOWN, seen="cannot be told", caused_by=causes)
                if causes
                else _ask(check, target, facts)
            )
            results.append(result)
            if result.verdict is not Verdict.OK:
                not_ok[check.id, target] = result
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
    wanted = {check.id for check in checks if not only or {check.id, check.topic} & only}
    needed = _with_needs(checks, wanted) if only else wanted
    chosen = [check for check in checks if check.id in needed and not {check.id, check.topic} & skip]
    return chosen, sorted((only | skip) - known)


def _with_needs(checks: Sequence[Check], wanted: set[str]) -> set[str]:
    needed = set(wanted)
    for check in reversed(checks):
        if check.id in needed:
            needed |= set(check.needs)
    return needed


def _causes(
    check: Check, target: Target, facts: Facts, not_ok: Mapping[tuple[str, Target], Result]
) -> tuple[str, ...]:
    if target == Target():
        nowhere = (
            needed for needed in check.needs if all((needed, place) in not_ok for place in _places(facts))
        )
        return tuple(needed for needed in check.needs if (needed, target) in not_ok) or tuple(nowhere)
    around = dict.fromkeys((target, Target(target.cluster), Target(target.peer), Target()))
    roots: dict[str, None] = {}
    for needed in check.needs:
        for place in around:
            if found := not_ok.get((needed, place)):
                roots |= dict.fromkeys(found.caused_by or (needed,))
    return tuple(roots)


def _places(facts: Facts) -> list[Target]:
    return [Target(name) for name in facts.clusters] or [Target()]


def _ask(check: Check, target: Target, facts: Facts) -> Result:
    finding = check.ask(facts, target)
    if finding.problem is None:
        return Result(check, target, Verdict.OK, finding.seen)
    problem = replace(
        finding.problem,
        hint=finding.problem.hint or check.hint or None,
        docs=finding.problem.docs or check.docs or None,
        cluster=finding.problem.cluster or target.cluster,
    )
    return Result(check, target, Verdict.FAILED, finding.seen, problem)
