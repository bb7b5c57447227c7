"""`--help`: quick, and with an example for every verb."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from istio_mc import __version__
from istio_mc.cli.app import app

HEAVY = ("kubernetes", "rich", "httpx", "cryptography", "pydantic", "urllib3", "yaml")


def commands() -> dict[str, Any]:
    """Every verb, by what is typed for it."""
    found: dict[str, Any] = {}

    def walk(command: Any, words: tuple[str, ...]) -> None:  # noqa: ANN401 - Typer's Click is its own
        inner = getattr(command, "commands", None)
        if inner is None:
            found[" ".join(words)] = command
            return
        for name, child in inner.items():
            walk(child, (*words, name))

    walk(typer.main.get_command(app), ())
    return found


COMMANDS = commands()


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_verb_has_examples_of_itself(verb: str) -> None:
    text = COMMANDS[verb].help
    examples = [line.strip() for line in text.partition("Examples:")[2].splitlines() if line.strip()]
    assert examples
    assert [line for line in examples if not line.startswith(f"istio-mc {verb}")] == []


@pytest.mark.parametrize("verb", COMMANDS)
def test_an_example_stands_on_one_line_of_a_terminal_and_can_be_pasted(verb: str) -> None:
    shown = CliRunner().invoke(app, [*verb.split(), "--help"], terminal_width=80).stdout
    block = shown.partition("Examples:")[2].partition("\nOptions:")[0].partition("\nArguments:")[0]
    lines = [line.strip() for line in block.splitlines() if line.strip()]
    assert [line for line in lines if not line.startswith("istio-mc ")] == []


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_option_says_what_it_does(verb: str) -> None:
    bare = [p.name for p in COMMANDS[verb].params if p.param_type_name == "option" and not p.help]
    assert bare == []


@pytest.mark.parametrize("verb", COMMANDS)
def test_a_shell_offers_contexts_wherever_one_is_named(verb: str) -> None:
    named = [p for p in COMMANDS[verb].params if str(p.metavar).startswith(("CONTEXT", "A,B"))]
    assert [p.name for p in named if p._custom_shell_complete is None] == []


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_verb_takes_the_global_options(verb: str) -> None:
    names = {option for parameter in COMMANDS[verb].params for option in parameter.opts}
    assert {
        "--kubeconfig", "--contexts", "--config", "--output", "--timeout", "--concurrency", "--verbose",
        "--no-progress", "--no-color",
    } <= names  # fmt: skip


def test_help_loads_nothing_that_only_a_running_verb_needs() -> None:
    code = (
        "import atexit, sys\n"
        "sys.argv = ['istio-mc', '--help']\n"
        f"heavy = {HEAVY!r}\n"
        "atexit.register(lambda: print('LOADED', [n for n in heavy if n in sys.modules], flush=True))\n"
        "from istio_mc.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "LOADED []"
    assert "istio-mc install --contexts kt,ncloud,nhn" in done.stdout


@pytest.mark.parametrize("words", [[], ["ca"], ["sample"], ["config"], ["cilium"], ["tools"]])
def test_the_list_of_verbs_cuts_no_sentence_off(words: list[str]) -> None:
    shown = CliRunner().invoke(app, [*words, "--help"], terminal_width=78).stdout
    assert [line for line in shown.partition("Commands:")[2].splitlines() if line.endswith("...")] == []


def test_the_version_is_told_without_a_verb() -> None:
    told = CliRunner().invoke(app, ["--version"])
    assert (told.exit_code, told.stdout) == (0, f"istio-mc {__version__}\n")
