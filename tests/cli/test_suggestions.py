"""What a mistyped verb or option is answered with: never something that removes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from istio_mc.cli.app import Verbs
from istio_mc.cli.commands import REMOVING_OPTIONS, REMOVING_VERBS
from tests.cli.test_help import COMMANDS
from tests.conftest import Ran
from tests.support.marks import in_thorough

Run = Callable[..., Ran]

QUICK = ("install", "uninstall")
QUICK_OF_GROUPS = ("sample remove", "cilium revert")
SLOW_OF_GROUPS = [verb for verb in COMMANDS if " " in verb and verb not in QUICK_OF_GROUPS]

PROMPT_WITHOUT_REMOVING = {"address", "addons default-storage", "link", "cilium fix", "upgrade"}
"""Verbs with --yes that remove something only where another option says so, or nothing at all."""


def mistyped(name: str) -> set[str]:
    """A name with a letter left out, doubled, or swapped with the next; in capitals; with more letters."""
    typos = {name.capitalize(), name.upper(), f"{name}x", f"un{name}"}
    for place in range(len(name)):
        typos.add(name[:place] + name[place + 1 :])
        typos.add(name[:place] + name[place] + name[place:])
        typos.add(name[:place] + name[place : place + 2][::-1] + name[place + 2 :])
    return {typo for typo in typos if typo and typo != name}


def suggested(done: Ran) -> str:
    """What stands after the error itself."""
    (message,) = [str(error["message"]) for error in done.envelope["errors"]]
    return message.partition("did you mean")[2]


@pytest.mark.parametrize("verb", [*QUICK, *in_thorough(*(verb for verb in Verbs.verbs if verb not in QUICK))])
def test_a_command_that_removes_is_never_suggested_for_a_mistyped_one(istio_mc: Run, verb: str) -> None:
    for typo in mistyped(verb) - set(Verbs.verbs):
        assert "uninstall" not in suggested(istio_mc(typo, "-o", "json")), typo


@pytest.mark.parametrize(
    "verb",
    [*QUICK_OF_GROUPS, *in_thorough(*(one for one in COMMANDS if " " in one and one not in QUICK_OF_GROUPS))],
)
def test_nor_is_one_of_a_group(istio_mc: Run, verb: str) -> None:
    group, _, name = verb.partition(" ")
    for typo in mistyped(name) - {one.partition(" ")[2] for one in COMMANDS}:
        suggestion = suggested(istio_mc(group, typo, "-o", "json"))
        assert [removing for removing in REMOVING_VERBS if removing in suggestion] == [], typo


@pytest.mark.parametrize("option", sorted(REMOVING_OPTIONS))
def test_an_option_that_removes_is_never_suggested_for_a_mistyped_one(istio_mc: Run, option: str) -> None:
    verb = next(verb for verb, command in COMMANDS.items() if any(option in p.opts for p in command.params))
    for typo in mistyped(option.removeprefix("--")):
        assert option not in suggested(istio_mc(*verb.split(), f"--{typo}", "-o", "json")), typo


@pytest.mark.parametrize(
    ("line", "suggestion"),
    [
        ("instal", 'no such command "instal"; did you mean install?'),
        ("Install", 'no such command "Install"; did you mean install?'),
        ("verfy", 'no such command "verfy"; did you mean verify?'),
        ("sample tset", 'no such command "tset"; did you mean test?'),
        ("verify --onyl", "--onyl: no such option; did you mean --only?"),
        ("uninstall --purge-c", "--purge-c: no such option"),
        ("uninstal", 'no such command "uninstal"'),
        ("sample remov", 'no such command "remov"'),
        ("cilium rever", 'no such command "rever"'),
    ],
)
def test_only_the_probably_meant_name_is_suggested_or_none(istio_mc: Run, line: str, suggestion: str) -> None:
    done = istio_mc(*line.split(), "-o", "json")
    assert done.code == 2
    assert [error["message"] for error in done.envelope["errors"]] == [suggestion]


def test_every_verb_with_a_prompt_is_listed_as_removing() -> None:
    with_prompt = {verb for verb, command in COMMANDS.items() if takes(command, "--yes")}
    removing = {verb for verb in COMMANDS if verb.rpartition(" ")[2] in REMOVING_VERBS}
    assert with_prompt == removing | PROMPT_WITHOUT_REMOVING


def takes(command: Any, option: str) -> bool:  # noqa: ANN401 - Typer's Click is its own
    return any(option in parameter.opts for parameter in command.params)
