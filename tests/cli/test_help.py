"""`--help`: quick, and with an example for every verb."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any, get_type_hints

import pytest
import typer
from typer.models import OptionInfo
from typer.testing import CliRunner

from istio_mc import __version__
from istio_mc.cli.app import Verbs, app
from istio_mc.cli.edge import GLOBAL_OPTIONS
from tests.support.fake_api import kubeconfig

if TYPE_CHECKING:
    from pathlib import Path

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


def shown(*words: str) -> str:
    """What `--help` prints at 80 columns."""
    return CliRunner().invoke(app, [*words, "--help"], terminal_width=80).stdout


@pytest.mark.parametrize("verb", COMMANDS)
def test_an_example_fits_on_one_terminal_line_and_can_be_pasted(verb: str) -> None:
    block = shown(*verb.split()).partition("Examples:\n")[2].partition("\n\n")[0]
    lines = [line.strip() for line in block.splitlines()]
    assert lines
    assert [line for line in lines if not line.startswith("istio-mc ")] == []


@pytest.mark.parametrize("verb", COMMANDS)
def test_the_help_of_a_verb_fits_a_screen_and_has_examples_before_options(verb: str) -> None:
    lines = shown(*verb.split()).splitlines()
    assert len(lines) <= 30
    assert max(map(len, lines)) <= 80
    order = ("Examples:", "Arguments:", "Options:")
    titles = [line for line in lines if line in order]
    assert titles == [title for title in order if title in titles]


@pytest.mark.parametrize("verb", COMMANDS)
def test_options_of_every_verb_are_on_the_page_of_the_program_alone(verb: str) -> None:
    rows = [
        line.split()[0]
        for line in shown(*verb.split()).partition("\nOptions:\n")[2].splitlines()
        if line.strip()
    ]
    assert set(rows).isdisjoint({"--kubeconfig", "--contexts", "--output,", "-o,", "--timeout", "--no-color"})
    assert "Options of every command: istio-mc --help" in shown(*verb.split())


@pytest.mark.parametrize("words", ["", *COMMANDS, "ca", "sample", "config", "cilium", "tools"])
def test_no_type_of_python_is_shown(words: str) -> None:
    assert not re.search(r"<[a-z]|list\[", shown(*words.split()))


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_value_has_a_placeholder(verb: str) -> None:
    valued = [p for p in COMMANDS[verb].params if not getattr(p, "is_flag", False)]
    assert [p.name for p in valued if not p.metavar] == []


@pytest.mark.parametrize("verb", COMMANDS)
def test_no_placeholder_is_the_options_own_name(verb: str) -> None:
    # Typer before 0.29 takes it for the flag: `--ASN` for `asn`. A flag that is given is Annotated's default.
    hints = get_type_hints(inspect.unwrap(COMMANDS[verb].callback), include_extras=True)
    annotated = [
        (name, option) for name, hint in hints.items() for option in getattr(hint, "__metadata__", ())
    ]
    options = [(name, option) for name, option in annotated if isinstance(option, OptionInfo)]
    own = [name for name, option in options if str(option.metavar).lower() == name and option.default is ...]
    assert own == []


def test_verbs_are_listed_in_groups() -> None:
    text = shown()
    titles = [
        "Mesh:",
        "Inspect:",
        "Certificates:",
        "Settings and tools:",
        "Options, before or after the command:",
    ]
    assert [line for line in text.splitlines() if line in titles] == titles
    assert sorted(name for names in Verbs.titles.values() for name in names) == sorted(Verbs.verbs)
    assert [line for line in text.splitlines() if len(line) > 80] == []


def test_help_is_coloured_on_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured = CliRunner().invoke(app, ["link", "--help"], color=True).stdout
    assert "\x1b[1mOptions:\x1b[0m" in coloured
    assert "\x1b" not in shown("link")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in CliRunner().invoke(app, ["link", "--help"], color=True).stdout


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_option_has_a_description(verb: str) -> None:
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


def test_the_version_is_printed_without_a_verb() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.stdout) == (0, f"istio-mc {__version__}\n")


def test_the_global_options_are_those_of_every_verb() -> None:
    root = typer.main.get_command(app)
    own = {"version", "install_completion", "show_completion"}
    assert {parameter.name for parameter in root.params} == GLOBAL_OPTIONS | own


def test_the_version_has_a_verb_too() -> None:
    done = CliRunner().invoke(app, ["version", "-o", "json"])
    assert json.loads(done.stdout)["data"]["version"] == __version__
    assert CliRunner().invoke(app, ["version"]).stdout.startswith(f"istio-mc {__version__} (Python ")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "pwsh"])
def test_each_shell_has_a_completion_script(shell: str) -> None:
    done = CliRunner().invoke(app, ["completion", shell])
    assert done.exit_code == 0
    assert (
        f"complete_{shell.replace('pwsh', 'powershell')}" in done.stdout or f"complete_{shell}" in done.stdout
    )
    assert "_ISTIO_MC_COMPLETE" in done.stdout


def test_a_shell_without_completion_is_refused() -> None:
    done = CliRunner().invoke(app, ["completion", "tcsh"])
    assert done.exit_code == 2
    assert "error[usage]: SHELL: " in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("-o", "json", "ca", "show"), ("ca", "-o", "json", "show"), ("ca", "show", "-o", "json"),
        ("ca", "-o", "yaml", "show", "-o", "json"), ("-o", "yaml", "ca", "-o", "json", "show"),
    ],
)  # fmt: skip
def test_options_of_every_verb_may_stand_anywhere(words: tuple[str, ...], tmp_path: Path) -> None:
    done = CliRunner().invoke(app, [*words, "--certs-dir", str(tmp_path / "none")])
    assert json.loads(done.stdout)["command"] == "ca show"


def test_context_is_accepted_for_contexts(tmp_path: Path) -> None:
    document = kubeconfig({"kt": "https://kt.example:6443", "nhn": "https://nhn.example:6443"})
    (tmp_path / "config").write_text(json.dumps(document))
    words = ["contexts", "--offline", "--kubeconfig", str(tmp_path / "config"), "-o", "json"]
    done = CliRunner().invoke(app, [*words, "--context", "nhn"])
    assert [one["name"] for one in json.loads(done.stdout)["data"]["contexts"]] == ["nhn"]


@pytest.mark.parametrize("value", ["client", "server", "true"])
def test_a_dry_run_with_a_value_is_answered_with_what_to_write(value: str) -> None:
    done = CliRunner().invoke(app, ["link", f"--dry-run={value}"])
    assert (done.exit_code, done.stdout) == (2, "")
    assert "error[usage]: --dry-run: takes no value; write --dry-run\n" in done.stderr
