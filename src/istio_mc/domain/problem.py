"""What went wrong, as a value: carried to the edge, and turned into text, JSON and an exit code there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from istio_mc.domain.codes import section_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from istio_mc.domain.codes import Code
    from istio_mc.domain.hint import Hint


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One fault or warning that a person can act on.

    Attributes:
        code: The kind of fault, part of the JSON contract.
        cluster: Context name of the cluster concerned, or None where the whole mesh is.
        hint: What fixes it: a command that can be pasted unchanged, or advice.
        docs: Page and section that explain it; where none is given, those of the code.
        requests: What was requested, where a cluster refused it for a reason that concerns other requests
            too, such as a missing right.
    """

    code: Code
    message: str
    cluster: str | None = None
    seen: str | None = None
    expected: str | None = None
    hint: Hint | None = None
    docs: str = ""
    requests: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.docs:
            object.__setattr__(self, "docs", self.code.docs)

    @property
    def topic(self) -> str:
        """The name under which `istio-mc explain` has the section that explains it."""
        return self.code.value if self.docs == self.code.docs else section_name(self.docs)

    def on(self, cluster: str) -> Problem:
        """The same problem, said of a cluster."""
        return replace(self, cluster=cluster)


class ProblemError(Exception):
    """Something failed: carries every Problem found, so that none is told one at a time."""

    def __init__(self, *problems: Problem, warnings: Iterable[Problem] = ()) -> None:
        super().__init__("; ".join(problem.message for problem in problems))
        self.problems = problems
        self.warnings = tuple(warnings)


class InputError(ProblemError):
    """What the user gave cannot be used: exit code 2, and nothing was touched."""
