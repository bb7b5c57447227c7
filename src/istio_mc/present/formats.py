"""The forms of output that one verb has beside table, JSON and YAML."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.present import verify_github, verify_junit, verify_short

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from istio_mc.domain.problem import Problem

PROBLEMS: Mapping[str, Callable[[Iterable[Problem], Iterable[Problem]], str]] = {
    "short": verify_short.problems,
    "junit": verify_junit.problems,
    "github": verify_github.problems,
}
"""How errors and warnings are told in each form where a run came to no result."""

SAYS_ALL = ("short", "github")
"""Forms in which people read every error and warning: they are not told them again on standard error."""
