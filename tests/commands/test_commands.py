"""Every command in the source: made by the functions of domain/hint.py, and one that its program accepts.

Commands that tests make, with all their values, are read after each test (`_pasted` in tests/conftest.py);
here are those that no test reaches.
"""

from __future__ import annotations

import ast
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer

import istio_mc
from istio_mc.cli import edge
from istio_mc.cli.app import Verbs, app
from istio_mc.domain import hint
from istio_mc.domain.hint import Advice, Command, in_order, kubectl, on_this_machine
from istio_mc.domain.problem import Code, Problem
from tests import commands
from tests.commands.parse import faults, recorded
from tests.support.sources import parsed

SOURCE = Path(istio_mc.__file__).parent
MAKERS = ("kubectl", "kubectl_config", "istioctl", "istio_mc", "on_this_machine")
HINTS = ("Advice", "Explained", "_or_other_address")
LOOKED_AT = frozenset({*MAKERS, *HINTS, "Command"})
_STAND_IN = "1"
_VERBS = {
    "istio-mc": set(Verbs.verbs),
    **{
        program: {verb.split()[0] for verb in recorded(program)["commands"]}
        for program in ("kubectl", "istioctl")
    },
}
_A_COMMAND = re.compile(
    "|".join(rf"{re.escape(name)} (?:-|(?:{'|'.join(verbs)})\b)" for name, verbs in _VERBS.items())
)


@pytest.fixture(autouse=True)
def _pasted() -> None:
    """What is made here on purpose need not be right."""


class Module(NamedTuple):
    """What of a module is looked at here.

    Attributes:
        name: Its path.
        imported: What it imports from domain/hint.py.
        calls: Calls of functions by their names.
        hints: The values of arguments that are named `hint`.
        texts: Its texts, but for docstrings: those at which a command begins.
    """

    name: str
    imported: frozenset[str]
    calls: tuple[ast.Call, ...]
    hints: tuple[ast.expr, ...]
    texts: tuple[ast.Constant, ...]


@cache
def modules() -> tuple[Module, ...]:
    """Every module of the program, but the one that makes commands; each is read once."""
    paths = [path for path in sorted(SOURCE.rglob("*.py")) if path != Path(hint.__file__)]
    return tuple(module(str(path.relative_to(SOURCE)), parsed(path)) for path in paths)


def module(name: str, tree: ast.Module) -> Module:
    imported: set[str] = set()
    calls, hints, texts, docstrings = [], [], [], set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and node.body:
            if isinstance(node.body[0], ast.Expr):
                docstrings.add(id(node.body[0].value))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in LOOKED_AT:
            calls.append(node)
        elif isinstance(node, ast.ImportFrom) and node.module == "istio_mc.domain.hint":
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.keyword) and node.arg == "hint":
            hints.append(node.value)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _A_COMMAND.match(node.value):
            texts.append(node)
    kept = [text for text in texts if id(text) not in docstrings]
    return Module(name, frozenset(imported), tuple(calls), tuple(hints), tuple(kept))


def as_written(call: ast.Call) -> Command:
    """The command that a call makes, with a stand-in for each value that is known at run time only."""
    assert isinstance(call.func, ast.Name)
    given = [_word(argument) for argument in call.args if not isinstance(argument, ast.Starred)]
    keywords = {"contexts": ["kt"]} if call.keywords else {}
    made: Command = getattr(hint, call.func.id)(*given, **keywords)
    return made


def _word(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else _STAND_IN for part in node.values
        )
    if isinstance(node, ast.IfExp):
        return _word(node.body)
    return _STAND_IN


def written() -> list[tuple[str, ast.Call]]:
    """The place of each call that makes a command, where something can be read without running it."""
    return [
        (f"{one.name}:{call.lineno}", call)
        for one in modules()
        for call in one.calls
        if isinstance(call.func, ast.Name) and call.func.id in one.imported.intersection(MAKERS)
        if not all(isinstance(argument, ast.Starred) for argument in call.args)
    ]


_KNOWN_AT_RUN_TIME = re.compile(rf"no such (?:kind|command|--via).* '?{_STAND_IN}", re.IGNORECASE)


def faults_as_written(call: ast.Call) -> list[str]:
    found = [fault for fault in faults(as_written(call)) if not _KNOWN_AT_RUN_TIME.search(fault)]
    if any(isinstance(argument, ast.Starred) for argument in call.args):
        found = [fault for fault in found if re.search("unknown flag|No such option|names no context", fault)]
    return found


def test_each_is_accepted_by_its_program() -> None:
    assert len(written()) > 100
    assert {place: why for place, call in written() if (why := faults_as_written(call))} == {}


def test_no_module_makes_a_command_otherwise() -> None:
    made = [
        f"{one.name}:{call.lineno}"
        for one in modules()
        if "Command" in one.imported
        for call in one.calls
        if isinstance(call.func, ast.Name) and call.func.id == "Command"
    ]
    assert made == []


def test_no_text_of_a_hint_has_a_command_written_into_it() -> None:
    written = [
        f"{one.name}:{call.lineno}: {text.value!r}"
        for one in modules()
        for call in one.calls
        if isinstance(call.func, ast.Name) and call.func.id in HINTS
        for text in ast.walk(call)
        if isinstance(text, ast.Constant) and isinstance(text.value, str)
        if _A_COMMAND.search(text.value)
    ]
    assert written == []


def test_no_other_text_of_the_program_is_a_command_with_options() -> None:
    """Apart from what `--help` shows, which is read in tests/test_docs.py."""
    written = [
        f"{one.name}:{text.lineno}: {text.value!r}"
        for one in modules()
        for text in one.texts
        if " -" in str(text.value)
    ]
    assert written == []


def test_every_hint_is_made_as_a_command_or_as_advice() -> None:
    """Types are checked for the source; this is for what gets past them, such as `Any`."""
    texts = [
        f"{one.name}:{value.lineno}"
        for one in modules()
        for value in one.hints
        if isinstance(value, (ast.JoinedStr, ast.BinOp))
        or (isinstance(value, ast.Constant) and value.value is not None)
    ]
    assert texts == []


class TestTheReader:
    """What reads the commands finds what is wrong with them."""

    @pytest.mark.parametrize(
        ("argv", "fault"),
        [
            (("kubectl", "taint", "nodes", "-l", "a=b", "c=d:NoSchedule"), "names no context"),
            (("kubectl", "--context", "kt", "get", "pods", "--no-such"), "unknown flag --no-such"),
            (
                ("kubectl", "--context", "kt", "get", "podds"),
                "no such kind, or none in tests/commands/kinds.txt: podds",
            ),
            (("kubectl", "--context", "kt", "purge", "pods"), "no such subcommand"),
            (("kubectl", "--context"), "flag --context needs a value"),
            (
                ("istioctl", "--context", "kt", "proxy-config", "listeners", "x", "--port", ""),
                "needs a number",
            ),
            (("istio-mc", "install", "(it", "puts", "them", "there)"), "unexpected extra argument"),
            (("istio-mc", "instal"), "no such command"),
            (("istio-mc", "link", "--contexts"), "requires an argument"),
            (("istio-mc", "link", "--contexts", "k,,t"), "empty item in"),
            (("istio-mc", "address", "--set", "kt=a", "--via", "tunnel"), "no such --via"),
            (("rm", "-rf", "/", "x"), "not to be called so"),
            (("curl", "x"), "no program that hints name"),
        ],
    )
    def test_a_command_that_its_program_refuses(self, argv: tuple[str, ...], fault: str) -> None:
        found = list(faults(Command(argv, "kt" if "--context" in argv else None)))
        assert len(found) == 1
        assert fault in found[0]

    def test_each_command_of_several_is_read(self) -> None:
        both = in_order([kubectl("kt", "get", "pods"), on_this_machine("curl", "x")])
        assert both
        assert len(list(faults(both))) == 1

    @pytest.mark.parametrize(
        ("made", "fault"),
        [
            (hint.istio_mc("address", "--set", "kt=ADDRESS"), "fill in"),
            (hint.istio_mc("install", contexts=["CONTEXT"]), "fill in"),
            (kubectl("kt", "get", "pods"), "only shows"),
        ],
    )
    def test_a_hint_that_fixes_nothing(self, made: Command, fault: str) -> None:
        found = commands.faults_of(commands.Made([], [made]))
        assert len(found) == 1
        assert fault in found[0]

    def test_what_a_test_makes_is_collected(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with commands.watched(monkeypatch) as made:
            command = hint.istio_mc("install", contexts=["kt"])
            Problem(code=Code.DRIFT, message="m", hint=command)
            Problem(code=Code.DRIFT, message="m", hint=Advice("see ", kubectl("kt", "get", "pods")))
        assert made.hints == [command]
        assert [one.argv[0] for one in made.commands] == ["istio-mc", "kubectl"]


ODD_NAMES = [
    "my cluster",
    "kt's",
    'a"b',
    "$(id)",
    "`id`",
    "a;b",
    "a&b",
    "KT",
    "KT (old)",
    "-kt",
    "--kt",
    "고양이",
    "a\\b",
]


class TestOddNames:
    """Contexts are named by people and by clouds: whatever they are called, a command means them."""

    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_a_shell_passes_them_on_unchanged(self, name: str) -> None:
        made = hint.istio_mc("address", "--set", f"{name}=203.0.113.7", contexts=["kt", name])
        done = subprocess.run(
            ["sh", "-c", f'show() {{ printf "%s\\n" "$@"; }}; show {made}'],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        assert tuple(done.stdout.splitlines()) == made.argv

    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_istio_mc_reads_the_same_names(self, name: str) -> None:
        words = hint.istio_mc("install", "--replace-ca", name, contexts=["kt", name]).argv[1:]
        command: Any = typer.main.get_command(app)
        context = command.make_context("istio-mc", list(words))
        _, verb, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        given = verb.make_context("install", rest, parent=context).params
        assert edge.each(given["contexts"]) == ("kt", name)
        assert edge.each(given["replace_ca"]) == (name,)

    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_kubectl_and_istioctl_read_the_same_context(self, name: str) -> None:
        pods = kubectl(name, "-n", "istio-system", "get", "pods")
        listeners = hint.istioctl(name, "proxy-config", "listeners", "web.shop", "--port", "15443")
        assert [*faults(pods), *faults(listeners)] == []

    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_values_that_begin_with_them_are_values(self, name: str) -> None:
        assert list(faults(hint.istio_mc("link", "--api-server", f"{name}=https://203.0.113.7:6443"))) == []

    def test_files_that_begin_with_a_dash_are_no_options(self) -> None:
        assert str(on_this_machine("rm", Path("-rf"))) == "rm ./-rf"
