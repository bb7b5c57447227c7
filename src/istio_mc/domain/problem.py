"""What went wrong, as a value: carried to the edge, and turned into text, JSON and an exit code there."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One fault or warning that a person can act on.

    Attributes:
        code: Stable kebab-case name of the kind of fault, part of the JSON contract.
        message: One sentence that says what is wrong.
        cluster: Context name of the cluster concerned, or None where the whole mesh is.
        seen: What was found.
        expected: What should have been found.
        hint: What mends it, a command where there is one.
        docs: Anchor in the documentation, such as `troubleshooting.md#unreachable`.
    """

    code: str
    message: str
    cluster: str | None = None
    seen: str | None = None
    expected: str | None = None
    hint: str | None = None
    docs: str | None = None

    def on(self, cluster: str) -> Problem:
        """The same problem, said of a cluster."""
        return replace(self, cluster=cluster)


class ProblemError(Exception):
    """Something failed: carries every Problem found, so that none is told one at a time."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("; ".join(problem.message for problem in problems))
        self.problems = problems


class InputError(ProblemError):
    """What the user gave cannot be used: exit code 2, and nothing was touched."""
