"""Reads command lines as the programs that they name would, without running any."""

from __future__ import annotations

import json
import re
import shlex
from contextlib import redirect_stdout
from dataclasses import replace
from functools import cache
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer.core import TyperGroup
from typer.exceptions import Exit, TyperException

from istio_mc.domain.gateway.changes import Via
from tests.support.command_line import tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from istio_mc.domain.hint import Command

HERE = Path(__file__).parent


def singular(kind: str) -> str:
    """A kind's name for one object."""
    for ending, one in (("ies", "y"), ("classes", "class"), ("s", "")):
        if kind.endswith(ending):
            return kind.removesuffix(ending) + one
    return kind


_PLURALS = (HERE / "kinds.txt").read_text(encoding="utf-8").split()
KINDS = frozenset({"all", *_PLURALS, *(singular(kind) for kind in _PLURALS)})
"""Kinds of objects as kubectl accepts them, and as hints write them."""

_OF_A_KIND = frozenset(
    {"delete", "describe", "edit", "get", "label", "patch", "rollout restart", "scale", "taint"}
)
_LOCAL = {
    "chmod": re.compile(r"[0-7]{3} \S.*"),
    "cp": re.compile(r"\S+ \S+"),
    "ls": re.compile(r"-l \S+"),
    "mkdir": re.compile(r"-p -m 700 \S+"),
    "mv": re.compile(r"\S+ \S+"),
    "openssl": re.compile(r"(x509|pkey) .*-in \S+.*"),
    "rm": re.compile(r"\S+"),
    "ulimit": re.compile(r"-n [0-9]+"),
}
"""Programs of this machine that hints may name, with what they may be given."""


def faults(command: Command) -> Iterator[str]:
    """What is wrong with a command, and with those that follow it; nothing where all can be pasted."""
    for one in (command, *command.then):
        if fault := _fault(one):
            yield f"{one}: {fault}"


@cache
def _fault(command: Command) -> str:
    alone = replace(command, then=())
    variable = [] if command.kubeconfig is None else [f"KUBECONFIG={command.kubeconfig}"]
    if shlex.split(str(alone)) != [*variable, *command.argv]:
        return "a shell reads it otherwise"
    program, *words = command.argv
    if program == "istio-mc":
        return _istio_mc(tuple(words))
    if program in ("kubectl", "istioctl"):
        return _others(program, words, command.context)
    if program in _LOCAL:
        quoted = " ".join(word.replace(" ", "_") for word in words)
        return "" if _LOCAL[program].fullmatch(quoted) else f"{program} is not to be called so"
    return f"{program} is no program that hints name"


@cache
def _istio_mc(words: tuple[str, ...]) -> str:
    """What Typer says of a command line of our own."""
    from istio_mc.cli.app import app

    command: Any = tree(app)
    name: str | None = "istio-mc"
    parent, rest = None, list(words)
    try:
        while True:
            with redirect_stdout(StringIO()):  # what --help prints
                context = command.make_context(name, rest, parent=parent)
            if not isinstance(command, TyperGroup):
                via = context.params.get("via")
                return "" if via is None or via in list(Via) else f"no such --via: {via}"
            left = [*context._protected_args, *context.args]
            if not left:
                return "names no verb"
            name, command, rest = command.resolve_command(context, left)
            parent = context
    except Exit:  # --help
        return ""
    except TyperException as error:
        return str(error.message)


@cache
def recorded(program: str) -> dict[str, Any]:
    """What a program has, by its own help (see record.py)."""
    found: dict[str, Any] = json.loads((HERE / f"{program}.json").read_text())
    return found


def _others(program: str, words: Sequence[str], context: str | None) -> str:
    """What kubectl or istioctl would say, as far as their help tells."""
    table = recorded(program)
    try:
        before, left = _read(list(words), table["global"], stops=True)
        verb = next(
            (verb for verb in table["commands"] if left[: len(verb.split())] == verb.split()),
            None,
        )
        if verb is None:
            words = " ".join(left[:2])
            return f"no such subcommand, or it is not recorded yet (tests/commands/record.py): {words}"
        after, operands = _read(left[len(verb.split()) :], table["global"] | table["commands"][verb])
    except ValueError as error:
        return str(error)
    if verb.startswith("config "):
        return "names a context, and touches no cluster" if context else ""
    if not context or {**before, **after}.get("--context") != context:
        return "names no context"
    if verb in _OF_A_KIND and not ("--raw" in after or _kinds(operands) <= KINDS):
        return f"no such kind, or none in tests/commands/kinds.txt: {' '.join(operands[:1])}"
    return ""


def _kinds(operands: Sequence[str]) -> set[str]:
    if not operands:
        return {""}
    named = [word for word in operands if "/" in word and "=" not in word] or operands[:1]
    return {kind.partition("/")[0] for word in named for kind in word.split(",")}


def _read(
    words: list[str], flags: dict[str, str], *, stops: bool = False
) -> tuple[dict[str, str], list[str]]:
    """Flags with their values, and the other words, as pflag reads them; `stops` at the first of these.

    Raises:
        ValueError: There is no such flag, or its value does not fit.
    """
    given: dict[str, str] = {}
    operands: list[str] = []
    while words:
        word = words.pop(0)
        if word == "--":
            return given, [*operands, *words]
        if not word.startswith("-") or word == "-":
            operands.append(word)
            if stops:
                return given, [*operands, *words]
            continue
        flag, equals, value = word.partition("=")
        if flag not in flags:
            raise ValueError(f"unknown flag {flag}")
        if not equals and flags[flag] != "bool":
            if not words:
                raise ValueError(f"flag {flag} needs a value")
            value = words.pop(0)
        if flags[flag] == "int" and not re.fullmatch(r"-?\d+", value):
            raise ValueError(f"flag {flag} needs a number")
        given[flag] = value
    return given, operands
