"""The commands that istio-mc prints, read as the programs that they name would read them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from istio_mc.domain.hint import Command
from istio_mc.domain.problem import Problem
from tests.commands.parse import faults

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

TO_FILL_IN = frozenset({"ADDRESS", "CONTEXT", "DIR", "FILE", "FOLDER", "IMAGE", "NAME"})
"""What a person has to put in has these names; a hint that is a command has none of them."""
ONLY_SHOW = {
    "kubectl": frozenset(
        {"get", "describe", "logs", "auth", "edit", "events", "exec", "api-resources", "top", "version"}
    ),
    "istioctl": frozenset({"analyze", "proxy-config", "proxy-status", "remote-clusters", "version"}),
    "istio-mc": frozenset({"contexts", "status", "list", "show", "--help"}),
    "ls": frozenset({"-l"}),
    "openssl": frozenset({"x509", "pkey"}),
}


class Made(NamedTuple):
    """The commands made in a test, and those of them that are hints of a Problem."""

    commands: list[Command]
    hints: list[Command]


@contextmanager
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[Made]:
    """Collects what is made within the block."""
    made = Made([], [])
    make_command, make_problem = Command.__init__, Problem.__init__

    def command(self: Command, *args: Any, **kwargs: Any) -> None:
        make_command(self, *args, **kwargs)
        made.commands.append(self)

    def problem(self: Problem, *args: Any, **kwargs: Any) -> None:
        make_problem(self, *args, **kwargs)
        if isinstance(self.hint, Command):
            made.hints.append(self.hint)

    with monkeypatch.context() as patch:
        patch.setattr(Command, "__init__", command)
        patch.setattr(Problem, "__init__", problem)
        yield made


def faults_of(made: Made) -> list[str]:
    """What is wrong with the commands, each fault once."""
    found = [fault for one in set(made.commands) for fault in faults(one)]
    for hint in set(made.hints):
        for one in (hint, *hint.then):
            words = {part for word in one.argv for part in word.replace("=", ",").split(",")}
            if words & TO_FILL_IN:
                found.append(f"{one}: a person has to fill in something")
            if ONLY_SHOW.get(one.argv[0], frozenset()) & set(one.argv[1:]):
                found.append(f"{one}: only shows something")
    return sorted(found)
