"""What went wrong, as a value: carried to the edge, and turned into text, JSON and an exit code there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from istio_mc.domain.explained import docs_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from istio_mc.domain.hint import Hint


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One fault or warning that a person can act on.

    Attributes:
        code: Stable kebab-case name of the kind of fault, part of the JSON contract.
        message: One sentence that says what is wrong.
        cluster: Context name of the cluster concerned, or None where the whole mesh is.
        seen: What was found.
        expected: What should have been found.
        hint: What fixes it: a command that can be pasted unchanged, or advice.
        docs: Anchor in the documentation, such as `troubleshooting.md#unreachable`; where none is given, the
            section that explains the code.
    """

    code: str
    message: str
    cluster: str | None = None
    seen: str | None = None
    expected: str | None = None
    hint: Hint | None = None
    docs: str | None = None

    def __post_init__(self) -> None:
        if self.docs is None:
            object.__setattr__(self, "docs", docs_of(self.code))

    def on(self, cluster: str) -> Problem:
        """The same problem, said of a cluster."""
        return replace(self, cluster=cluster)


class ProblemError(Exception):
    """Something failed: carries every Problem found, so that none is told one at a time.

    Attributes:
        problems: What stands in the way.
        warnings: What was found with them, and does not.
    """

    def __init__(self, *problems: Problem, warnings: Iterable[Problem] = ()) -> None:
        super().__init__("; ".join(problem.message for problem in problems))
        self.problems = problems
        self.warnings = tuple(warnings)


class InputError(ProblemError):
    """What the user gave cannot be used: exit code 2, and nothing was touched."""
