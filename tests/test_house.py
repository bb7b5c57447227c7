"""The house: how its modules are cut."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import istio_mc
from tests.support.sources import parsed

if TYPE_CHECKING:
    from collections.abc import Iterator

LINES = 600
PAGE = Path(__file__).parents[1] / "ARCHITECTURE.md"


def test_no_module_is_longer_than_can_be_read_at_once() -> None:
    source = Path(istio_mc.__file__).parent
    lengths = {
        str(file.relative_to(source)): len(file.read_text("utf-8").splitlines())
        for file in source.rglob("*.py")
    }
    assert {name: lines for name, lines in lengths.items() if lines > LINES} == {}


def test_each_function_that_the_architecture_names_is_in_the_module_it_names() -> None:
    source = Path(istio_mc.__file__).parent
    named = re.findall(r"`(\w+)`(?: and `(\w+)`)? \(`([\w/]+\.py)`\)", PAGE.read_text("utf-8"))
    assert len(named) > 20
    missing = [
        f"{name} in {module}"
        for *names, module in named
        for name in filter(None, names)
        if not re.search(rf"^(?:def|class) {name}\b", (source / module).read_text("utf-8"), re.MULTILINE)
    ]
    assert missing == []


def modules(folder: str) -> Iterator[tuple[str, ast.Module]]:
    """The modules below a folder of the package, by their path in it."""
    source = Path(istio_mc.__file__).parent
    for file in sorted((source / folder).rglob("*.py")):
        yield str(file.relative_to(source)), parsed(file)


def _written(node: ast.AST) -> Iterator[ast.expr]:
    """What a statement assigns to, or deletes."""
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign | ast.Delete):
        targets = node.targets
    elif isinstance(node, ast.AugAssign | ast.AnnAssign):
        targets = [node.target]
    for target in targets:
        yield from target.elts if isinstance(target, ast.Tuple) else [target]


def _attribute_of_another(target: ast.expr) -> str:
    """The attribute of another object that is written, or written into; "" where it is none."""
    while isinstance(target, ast.Subscript):
        target = target.value
    if not isinstance(target, ast.Attribute):
        return ""
    owner = target.value
    return "" if isinstance(owner, ast.Name) and owner.id == "self" else ast.unparse(target)


def test_no_module_writes_into_an_object_of_another() -> None:
    """Runs, clusters, settings and clients are written by their own methods, if at all."""
    written = {
        f"{name}: {attribute}"
        for name, tree in modules("ops")
        for node in ast.walk(tree)
        for target in _written(node)
        if (attribute := _attribute_of_another(target))
    }
    assert written == {"ops/session/run.py: late.daemon"}  # a timer has it no other way


CHANGING = {"append", "extend", "insert", "pop", "popitem", "update", "clear", "setdefault", "remove", "add"}


def test_no_module_changes_a_session() -> None:
    changed = {
        f"{name}: {ast.unparse(node.func)}"
        for folder in ("ops", "cli", "present")
        for name, tree in modules(folder)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in CHANGING
        and re.search(r"\bsession\.", ast.unparse(node.func))
    }
    assert changed == set()


DOING = {
    "progress", "step", "queue", "waiting", "apply", "create", "patch", "delete", "write", "make_folder",
    "make_private_folder", "mark_unusable",
}  # fmt: skip


def _calls(tree: ast.AST) -> Iterator[str]:
    """The names of what is called, without what it is called on."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func).rpartition(".")[2]


def _plans() -> Iterator[tuple[str, ast.FunctionDef]]:
    """The functions that plan, and the modules they are in."""
    for name, tree in modules("ops"):
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef):
                continue
            if name == PLANNING or re.match(r"_?plan(?:_|ned|$)", node.name):
                yield name, node


def test_a_plan_is_a_function_of_what_was_read() -> None:
    """It writes no file, changes no cluster, reports no progress."""
    does = {
        f"{name}: {function.name} calls {call}"
        for name, function in _plans()
        for call in _calls(function)
        if call in DOING or call.startswith("write_")
    } | {
        f"{name}: {function.name} gets {argument.arg}"
        for name, function in _plans()
        for argument in (*function.args.args, *function.args.kwonlyargs)
        if argument.arg in {"session", "run", "kube", "store", "progress"}
    }
    assert does == set()


PLANNING = "ops/install/planning.py"


def test_the_plan_of_an_install_works_with_no_session_and_no_gateway() -> None:
    (tree,) = (tree for name, tree in modules("ops") if name == PLANNING)
    imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name for name in imported if re.match(r"istio_mc\.(?:gateways|ops\.session)", name)} == set()


def test_work_on_all_clusters_at_once_is_done_in_one_place() -> None:
    users = {
        name
        for folder in ("ops", "gateways", "cli")
        for name, tree in modules(folder)
        if "fan_out" in set(_calls(tree))
    }
    assert users == {"ops/session/clusters.py"}


def test_nothing_sleeps_in_a_loop_but_the_one_that_waits() -> None:
    loops = {
        name
        for folder in ("ops", "checks", "present")
        for name, tree in modules(folder)
        for node in ast.walk(tree)
        if isinstance(node, ast.While | ast.For) and "sleep" in set(_calls(node))
    }
    assert loops == {"ops/status.py"}  # --watch waits for nothing: it shows the mesh every few seconds
