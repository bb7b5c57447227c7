"""Records of checks for tests of what is done with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.checks.model import Check, Facts, Finding, Scope, Severity, Target

if TYPE_CHECKING:
    from collections.abc import Callable


def never(_facts: Facts, _target: Target) -> Finding:
    raise AssertionError("this check is not asked")


def record(
    check_id: str,
    title: str = "",
    scope: Scope = Scope.CLUSTER,
    severity: Severity = Severity.ERROR,
    evaluate: Callable[[Facts, Target], Finding] = never,
    *,
    needs: tuple[str, ...] = (),
    because: tuple[str, ...] = (),
) -> Check:
    """A check of the topic that its ID begins with."""
    return Check(
        id=check_id,
        title=title,
        passes=title,
        looks_at="",
        usual_cause="",
        fix="",
        severity=severity,
        scope=scope,
        evaluate=evaluate,
        needs=needs,
        because=because,
    )
