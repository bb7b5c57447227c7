"""What fixes a fault: a command that can be pasted unchanged, or advice to a person.

Every command that istio-mc prints is made by one of the functions here: so it names its context, and a shell
reads it as it was meant, whatever a context or a file is called.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import chain
from pathlib import Path
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
        context: Kubeconfig context that it acts on; None: that of its own options, or no cluster at all.
    """

    argv: tuple[str, ...]
    context: str | None = None
    then: tuple[Command, ...] = ()
    kubeconfig: str | None = None

    def __str__(self) -> str:
        variable = "" if self.kubeconfig is None else f"KUBECONFIG={shlex.quote(self.kubeconfig)} "
        return " && ".join([variable + shlex.join(self.argv), *map(str, self.then)])


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


def rewritten(hint: Hint | None, change: Callable[[str], str]) -> Hint | None:
    """The hint with its text changed, such as redacted; a command that is changed is none any more."""
    text = str(hint or "")
    return hint if (changed := change(text)) == text else Advice(changed)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Options of a run that its hints need too: without them they would act on other clusters."""

    kubeconfig: str | None = None
    config: str | None = None


_READ_ONCE = ("/dev/fd/", "/proc/")
"""Where the files begin that a shell makes for `--kubeconfig <(…)`: there is none when a hint is pasted."""

_WITHOUT_KUBECONFIG = frozenset({"ca", "explain", "tools"})
"""Verbs of istio-mc whose hints touch no cluster."""


def with_options(hint: Hint | None, options: RunOptions) -> Hint | None:
    """The hint, with the run's options in every command of it."""
    if hint is None or options == RunOptions():
        return hint
    if isinstance(hint, Advice):
        return Advice(*(_with(part, options) if isinstance(part, Command) else part for part in hint.parts))
    changed = _with(hint, options)
    if changed.argv[0] in _OF_CLUSTERS and (options.kubeconfig or "").startswith(_READ_ONCE):
        return Advice("with the kubeconfig of this run: ", changed)
    return changed


_OF_CLUSTERS = frozenset({"istio-mc", "istioctl", "kubectl"})


def _with(command: Command, options: RunOptions) -> Command:
    then = tuple(_with(one, options) for one in command.then)
    kubeconfig = None if (options.kubeconfig or "").startswith(_READ_ONCE) else options.kubeconfig
    if command.argv[0] != "istio-mc":
        named = kubeconfig if command.argv[0] in _OF_CLUSTERS else None
        return replace(command, then=then, kubeconfig=named)
    words = command.argv[1:]
    desired = {} if "--help" in words else {"--config": options.config}
    if words[:1] and words[0] not in _WITHOUT_KUBECONFIG:
        desired["--kubeconfig"] = kubeconfig
    lacking = (
        (name, value) for name, value in desired.items() if value is not None and not _is_set(name, words)
    )
    return replace(command, argv=(*command.argv, *chain.from_iterable(lacking)), then=then)


def _is_set(name: str, words: Iterable[str]) -> bool:
    return any(word == name or word.startswith(f"{name}=") for word in words)


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


def on_this_machine(program: str, *arguments: str | Path) -> Command:
    """A call of a program that touches files of this machine and no cluster."""
    # A path that begins with a dash would be read as an option.
    words = (
        f"./{word}" if isinstance(word, Path) and str(word).startswith("-") else str(word)
        for word in arguments
    )
    return Command((program, *words))


def in_order(commands: Iterable[Command]) -> Command | None:
    """One command that runs each where those before it succeeded; None where there are none."""
    ordered = list(commands)
    return replace(ordered[0], then=tuple(ordered[1:])) if ordered else None
