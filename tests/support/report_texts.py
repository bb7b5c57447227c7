"""The English texts of checks, as the sources write them: what `istio-mc report` has to have in Korean.

A text with fields, such as `f"no Secret {namespace}/cacerts"`, is a template: `no Secret {0}/cacerts`.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from istio_mc.checks.catalogue import EVERY, PREFLIGHT
from tests.support.sources import parsed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SOURCE = Path(__file__).parents[2] / "src" / "istio_mc"

IN_FULL = (
    "checks",
    "domain/istio/discovery",
    "domain/istio/hazards",
    "domain/istio/releases",
    "domain/kube/diff",
    "domain/links/silence",
    "domain/this_machine",
    "domain/traffic/data_path",
)
"""Modules and packages each text of which is printed, what was seen among them."""

OF_PROBLEMS = (
    "domain/identity",
    "domain/istio/pod_faults",
    "domain/istio/revision",
    "domain/kube/objects",
    "domain/kube/refusal",
    "domain/naming",
    "domain/pki/cacerts",
    "domain/pki/chain",
    "domain/pki/pem",
    "domain/trace",
    "gateways/host/parallel",
    "gateways/istio/data_path",
    "gateways/istio/istiod",
    "gateways/istio/proxies",
    "gateways/kube/credentials",
    "gateways/kube/endpoint",
    "gateways/kube/errors",
    "gateways/kube/http_proxy",
    "ops/session/topology",
    "ops/verify",
)
"""Modules and packages whose Problems become the outcome of a check: message, expected and hint are printed.

`seen` is there what a cluster, a program or a file says, in its own words.
"""

NOT_IN_THE_REPORT = (
    "cli",
    "present",
    "domain/bundle",
    "domain/cilium",
    "domain/gateway",
    "domain/istio/choice",
    "domain/kube/kubeconfig",
    "domain/kube/kubeconfig_schema",
    "domain/lease",
    "domain/links/state",
    "domain/pki/certificates",
    "domain/problem",
    "domain/redaction",
    "domain/settings",
    "domain/tools",
    "domain/upgrade",
    "gateways/host/ca_store",
    "gateways/host/descriptors",
    "gateways/host/files",
    "gateways/host/process",
    "gateways/host/settings_file",
    "gateways/host/temporary",
    "gateways/istio/istioctl",
    "gateways/kube/kubeconfig",
    "gateways/tools",
    "ops/addons",
    "ops/address",
    "ops/bundle",
    "ops/ca",
    "ops/cilium",
    "ops/config",
    "ops/explain",
    "ops/handout",
    "ops/install",
    "ops/link",
    "ops/rotation",
    "ops/sample",
    "ops/session/inputs",
    "ops/session/istio_documents",
    "ops/session/istio_version",
    "ops/session/rights",
    "ops/session/session",
    "ops/tools",
    "ops/trace",
    "ops/uninstall",
    "ops/upgrade",
)
"""Modules and packages with Problems of other verbs, or that end a run before there is a report."""

_COMMANDS = frozenset(
    {
        "kubectl",
        "istioctl",
        "istio_mc",
        "kubectl_config",
        "on_this_machine",
        "Command",
        "in_order",
        "restart_istiod",
    }
)
_LOOKUPS = frozenset(
    {
        "compile",
        "endswith",
        "find",
        "fullmatch",
        "getattr",
        "has",
        "isinstance",
        "isoformat",
        "labels_of",
        "lstrip",
        "match",
        "of",
        "partition",
        "pop",
        "removeprefix",
        "removesuffix",
        "replace",
        "rpartition",
        "rstrip",
        "search",
        "split",
        "startswith",
        "strftime",
        "strip",
        "sub",
    }
)
_PRINTED = ("title", "passes", "message", "seen", "expected", "hint")
_OF_THE_REFERENCE = ("looks_at", "usual_cause", "fix")
"""Texts of checks that only docs/checks.md has."""

_FIELD = re.compile(r"\{\w*\}")
_WORD = re.compile(r"[A-Za-z]{2,}")
_PHRASE = re.compile(r"[a-z]{2,} [a-z]{2,}")
_DEEPEST = 8

_Names = dict[str, list[ast.expr]]


def module_name(path: Path) -> str:
    """A module as the lists above name it: `domain/pki/chain`."""
    return str(path.relative_to(SOURCE).with_suffix(""))


def is_in(module: str, packages: tuple[str, ...]) -> bool:
    """Whether a module is one of these, or in a package that is."""
    return any(module == package or module.startswith(f"{package}/") for package in packages)


def modules() -> list[Path]:
    """Every module of the program."""
    return sorted(SOURCE.rglob("*.py"))


@cache
def templates() -> Mapping[str, str]:
    """Each template that the report can print, with a module that has it."""
    found: dict[str, str] = {}
    records = {str(value) for check in (*EVERY, *PREFLIGHT) for value in _texts_of(check).values()}
    for path in modules():
        name = module_name(path)
        if is_in(name, IN_FULL):
            texts = [*printed(path, _PRINTED), *phrases(path)]
        elif is_in(name, OF_PROBLEMS):
            texts = [*printed(path, ("message", "expected", "hint"))]
            texts += phrases(path) if name in _TABLES else []
        else:
            continue
        for text in texts:
            if text not in records and text not in _OF_THE_RELEASES_FILE:
                found.setdefault(text, name)
    return found


_OF_THE_RELEASES_FILE = (
    "no key {0}",
    "{0} is not a date such as 2026-11-28",
    '{0} is not a minor version such as "1.26"',
    "{0} is not a month such as 2026-08",
    "{0} is not a version such as 1.26.0",
)
"""Faults of the table of releases, which no release of istio-mc has."""

_TABLES = ("domain/istio/pod_faults", "domain/kube/refusal")
"""Modules whose Problems are made from a table of texts."""


def _texts_of(check: object) -> Mapping[str, object]:
    fields = ("title", "passes", "looks_at", "usual_cause", "fix")
    return {name: getattr(check, name) for name in fields}


def makes_problems(path: Path) -> bool:
    """Whether a module makes Problems."""
    return "message=" in path.read_text(encoding="utf-8") and any(
        isinstance(node, ast.Call) and {"code", "message"} <= {word.arg for word in node.keywords}
        for node in ast.walk(parsed(path))
    )


def is_text(template: str) -> bool:
    """Whether a template has words of its own; a name, such as `cilium-config`, has none."""
    literal = _FIELD.sub("", template)
    return bool(_WORD.search(literal)) and not (
        " " not in literal.strip() and re.search(r"[A-Z/_=.-]", literal)
    )


def printed(path: Path, keywords: tuple[str, ...]) -> Iterator[str]:
    """The texts that a module gives to Problems, Advice and Findings."""
    tree = parsed(path)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    of_module = _assigned(list(ast.walk(tree)))
    of_module |= {f"{function.name}()": _returned(function) for function in functions}
    for function in functions:
        names = of_module | _assigned(list(ast.walk(function)))
        for node in ast.walk(function):
            if isinstance(node, ast.Call):
                yield from _of_call(node, names, keywords)


def _of_call(call: ast.Call, names: _Names, keywords: tuple[str, ...]) -> Iterator[str]:
    name = _called(call)
    given: list[ast.expr] = []
    if name == "Finding" and "seen" in keywords:
        given += call.args[:1]
    if name == "Advice" or (name == "of" and isinstance(call.func, ast.Attribute) and _is_error(call.func)):
        given += call.args
    if {"code", "message"} & {word.arg for word in call.keywords} or name == "replace":
        given += [word.value for word in call.keywords if word.arg in keywords]
    for expression in given:
        yield from filter(is_text, _leaves(expression, names, 0))


def _is_error(function: ast.Attribute) -> bool:
    return isinstance(function.value, ast.Name) and function.value.id.endswith("Error")


def phrases(path: Path) -> Iterator[str]:
    """Each text of a module with two words, but those of docstrings, commands and patterns."""
    tree = parsed(path)
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(id(node.value))
        elif isinstance(node, ast.Call) and _called(node) in _COMMANDS | {"compile"}:
            skipped |= {id(inner) for inner in ast.walk(node)}
        elif isinstance(node, ast.keyword) and node.arg in _OF_THE_REFERENCE:
            skipped |= {id(inner) for inner in ast.walk(node.value)}
        elif isinstance(node, ast.Tuple) and any(_is_pattern(one) for one in node.elts):
            skipped |= {id(inner) for inner in ast.walk(node)}
        elif isinstance(node, ast.JoinedStr | ast.BinOp):
            skipped |= _literals_within(node)
    for node in ast.walk(tree):
        if id(node) in skipped or not isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp):
            continue
        template = template_of(node)
        if template and _PHRASE.search(_FIELD.sub("", template)):
            yield template


def _literals_within(node: ast.expr) -> set[int]:
    """The literals that are part of a longer text."""
    if isinstance(node, ast.JoinedStr):
        return {id(part) for part in node.values}
    sides = (node.left, node.right) if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add) else ()
    return {id(side) for side in sides if isinstance(side, ast.Constant | ast.JoinedStr | ast.BinOp)}


def _is_pattern(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Reason"


def _called(call: ast.Call) -> str:
    if isinstance(call.func, ast.Name):
        return call.func.id
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def _returned(function: ast.FunctionDef) -> list[ast.expr]:
    return [node.value for node in ast.walk(function) if isinstance(node, ast.Return) and node.value]


def _assigned(nodes: list[ast.stmt] | list[ast.AST]) -> _Names:
    names: _Names = {}
    for node in nodes:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            names.setdefault(node.targets[0].id, []).append(node.value)
        elif isinstance(node, ast.AnnAssign) and node.value and isinstance(node.target, ast.Name):
            names.setdefault(node.target.id, []).append(node.value)
    return names


def template_of(node: ast.expr) -> str | None:
    """The template of a literal, and of literals and values in a row; None where it is neither."""
    parts = _parts(node)
    if not any(isinstance(part, str) for part in parts):
        return None
    text, count = "", 0
    for part in parts:
        if isinstance(part, str):
            text += part
        else:
            text, count = f"{text}{{{count}}}", count + 1
    return text


def _parts(node: ast.expr) -> list[str | ast.expr]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.JoinedStr):
        return [
            str(part.value) if isinstance(part, ast.Constant) else part
            for part in node.values
            if isinstance(part, ast.Constant | ast.FormattedValue)
        ]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [*_parts(node.left), *_parts(node.right)]
    return [node]


def _leaves(node: ast.expr, names: _Names, depth: int) -> Iterator[str]:
    """Every template that can be in the value of an expression."""
    if depth > _DEEPEST:
        return
    if (template := template_of(node)) is not None:
        yield template
    for inner, known in _inner(node, names):
        yield from _leaves(inner, known, depth + 1)


def _inner(node: ast.expr, names: _Names) -> Iterator[tuple[ast.expr, _Names]]:
    name = (
        node.id if isinstance(node, ast.Name) else f"{_called(node)}()" if isinstance(node, ast.Call) else ""
    )
    if name in names:
        others = {other: values for other, values in names.items() if other != name}
        yield from ((value, others) for value in names[name])
    if not isinstance(node, ast.Name):
        yield from ((part, names) for part in _values_of(node))


def _values_of(node: ast.expr) -> list[ast.expr]:
    """The expressions that can be, or be in, the value of another."""
    values: list[ast.expr] = []
    match node:
        case ast.JoinedStr(values=parts):
            values = [part.value for part in parts if isinstance(part, ast.FormattedValue)]
        case ast.BinOp():
            rest = [part for part in _parts(node) if isinstance(part, ast.expr) and part is not node]
            values = [part.value if isinstance(part, ast.FormattedValue) else part for part in rest]
        case ast.IfExp(body=one, orelse=other):
            values = [one, other]
        case ast.BoolOp(values=parts) | ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Dict(values=parts):
            values = parts
        case ast.GeneratorExp(elt=one) | ast.ListComp(elt=one):
            values = [one]
        case ast.Subscript(value=one) | ast.Starred(value=one):
            values = [one]
        case ast.Call():
            values = _arguments(node)
    return values


def _arguments(call: ast.Call) -> list[ast.expr]:
    name = _called(call)
    if name in _COMMANDS | _LOOKUPS | {"Finding", "Problem"}:
        return []
    if name == "get":
        return call.args[1:]
    return [*call.args, *(word.value for word in call.keywords)]
