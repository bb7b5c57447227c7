"""What fixes a fault: a command that can be pasted unchanged, or advice to a person.

Every command that istio-mc prints is made by one of the functions here: so it names its context, and a shell
reads it as it was meant, whatever a context or a file is called.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class HintType(StrEnum):
    """Whether a hint fixes the fault when it is run unchanged, or a person has to read and decide."""

    COMMAND = "command"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True)
class Command:
    """A command line. As the hint of a Problem it fixes the fault when it is pasted unchanged.

    Attributes:
        argv: The program and its arguments.
        context: Kubeconfig context that it acts on; None: that of its own options, or no cluster at all.
        then: Commands that follow where this one succeeded.
    """

    argv: tuple[str, ...]
    context: str | None = None
    then: tuple[Command, ...] = ()

    def __str__(self) -> str:
        return " && ".join(shlex.join(one.argv) for one in (self, *self.then))


@dataclass(frozen=True, slots=True, init=False)
class Advice:
    """What a person has to read, decide or complete; a command in it need not fix anything.

    Attributes:
        parts: Texts, and the commands between them.
    """

    parts: tuple[str | Command, ...]

    def __init__(self, *parts: str | Command) -> None:
        object.__setattr__(self, "parts", parts)

    def __str__(self) -> str:
        return "".join(map(str, self.parts))


Hint = Command | Advice


def type_of(hint: Hint | None) -> HintType | None:
    """The type of a hint, for JSON; None where there is no hint."""
    if hint is None:
        return None
    return HintType.COMMAND if isinstance(hint, Command) else HintType.MANUAL


def text_of(hint: Hint | None) -> str | None:
    """The text of a hint; None where there is no hint."""
    return None if hint is None else str(hint)


def rewritten(hint: Hint | None, change: Callable[[str], str]) -> Hint | None:
    """The hint with its text changed, such as redacted; a command that is changed is none any more."""
    text = str(hint or "")
    return hint if (changed := change(text)) == text else Advice(changed)


def kubectl(context: str, *arguments: str) -> Command:
    """A call of kubectl in one cluster."""
    return Command(("kubectl", "--context", context, *arguments), context)


def kubectl_config(*arguments: str) -> Command:
    """A call of `kubectl config`, which touches kubeconfig files and no cluster."""
    return Command(("kubectl", "config", *arguments))


def istioctl(context: str, *arguments: str) -> Command:
    """A call of istioctl in one cluster."""
    return Command(("istioctl", "--context", context, *arguments), context)


def istio_mc(*arguments: str, contexts: Iterable[str] = ()) -> Command:
    """A call of istio-mc, with these contexts where any are named."""
    names = ",".join(contexts)
    return Command(("istio-mc", *arguments, *(("--contexts", names) if names else ())))


def on_this_machine(program: str, *arguments: object) -> Command:
    """A call of a program that touches files of this machine and no cluster."""
    return Command((program, *map(str, arguments)))


def in_order(commands: Iterable[Command]) -> Command | None:
    """One command that runs each where those before it succeeded; None where there are none."""
    found = list(commands)
    return replace(found[0], then=tuple(found[1:])) if found else None
