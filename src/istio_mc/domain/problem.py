"""What went wrong, as a value: carried to the edge, and turned into text, JSON and an exit code there."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from istio_mc.domain.explained import docs_of

if TYPE_CHECKING:
    from collections.abc import Iterable

_PROGRAMS = ("istio-mc", "istioctl", "kubectl", "cp", "chmod")
TO_FILL_IN = frozenset({"ADDRESS", "CONTEXT", "DIR", "FOLDER", "IMAGE", "NAME"})
"""What a person has to put in stands so in a hint. Other words in capitals may be names of clusters."""

_TO_FILL_IN = re.compile(rf"(?<![\w$./-])(?:{'|'.join(sorted(TO_FILL_IN))})(?![\w./:=-])|…|\.\.\.")


# What shows more, and leaves the mending to whoever reads it.
_ONLY_SHOWS = {
    "kubectl": frozenset({"get", "describe", "logs", "auth", "top", "events"}),
    "istioctl": frozenset({"proxy-config", "proxy-status", "analyze", "remote-clusters"}),
    "istio-mc": frozenset({"verify", "contexts", "status", "list", "show", "--dry-run", "--help"}),
}


class HintType(StrEnum):
    """Whether a hint mends when it is run as it stands, or a person has to see and decide."""

    COMMAND = "command"
    MANUAL = "manual"


def to_quote(names: Iterable[str]) -> tuple[str, ...]:
    """The names that a shell would take apart, the longest first."""
    return tuple(sorted((name for name in names if shlex.quote(name) != name), key=len, reverse=True))


def quoted(hint: str, names: tuple[str, ...]) -> str:
    """A hint with quotes around these names, where they stand alone or in a list, and have none yet."""
    if not names:
        return hint
    alone = re.compile(rf"(?<![^\s,=])(?:{'|'.join(map(re.escape, names))})(?![^\s,=])")
    return alone.sub(lambda name: shlex.quote(name[0]), hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One fault or warning that a person can act on.

    Attributes:
        code: Stable kebab-case name of the kind of fault, part of the JSON contract.
        message: One sentence that says what is wrong.
        cluster: Context name of the cluster concerned, or None where the whole mesh is.
        seen: What was found.
        expected: What should have been found.
        hint: What mends it, a command where there is one; in it, the name of the cluster is put in quotes
            where a shell would take it apart.
        docs: Anchor in the documentation, such as `troubleshooting.md#unreachable`; where none is given, the
            section that explains the code.
    """

    code: str
    message: str
    cluster: str | None = None
    seen: str | None = None
    expected: str | None = None
    hint: str | None = None
    docs: str | None = None

    def __post_init__(self) -> None:
        if self.docs is None:
            object.__setattr__(self, "docs", docs_of(self.code))
        if self.hint and self.cluster and (odd := to_quote([self.cluster])):
            object.__setattr__(self, "hint", quoted(self.hint, odd))

    @property
    def hint_type(self) -> HintType | None:
        """Whether the hint is a command that mends, word for word; None where there is no hint."""
        if not self.hint:
            return None
        words = self.hint.split()
        words = words[1:] if words[0].startswith("KUBECONFIG=") else words
        program = words[0].rpartition("/")[2] if words else ""
        whole = "\n" not in self.hint and not _TO_FILL_IN.search(self.hint)
        mends = not _ONLY_SHOWS.get(program, frozenset()).intersection(words) and "|" not in words
        return HintType.COMMAND if program in _PROGRAMS and whole and mends else HintType.MANUAL

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
