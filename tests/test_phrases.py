"""A reason on which code depends is a type: no module looks for a phrase in a text.

Texts are for people, and change; no type checker sees that a phrase was reworded, or that it never comes.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import istio_mc

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(istio_mc.__file__).parent
READS_OTHERS_TEXTS = {
    "domain/redaction": "secrets are looked for in any text",
    "domain/goyaml.py": "PyYAML tells its errors apart by their words alone",
    "domain/istio/pod_faults.py": "kubelet and controllers give some reasons in an event's message alone",
    "domain/kube/refusal.py": "API servers give some reasons in a Status's message alone",
    "domain/istio/status.py": "the HPA's controller gives a missing Metrics API in a message alone",
}
"""Modules, or folders of them, that read texts of other programs, and why these have no type."""

_PHRASE = re.compile(r"[A-Za-z'] +[A-Za-z']")
_TEXTS = frozenset({"detail", "expected", "hint", "message", "reason", "seen", "why"})
"""What texts for people are called here: no words are looked for in them."""

_SEARCHES = frozenset({"count", "endswith", "find", "index", "rfind", "startswith"})


def phrases(tree: ast.AST) -> Iterator[str]:
    """The places of a module that ask whether a text has a phrase in it, or is one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            searched = [node.left, *node.comparators]
            letters = not isinstance(node.left, ast.Constant) or re.search("[A-Za-z]", str(node.left.value))
            if letters and any(
                isinstance(op, (ast.In, ast.NotIn)) and _is_text(held) for op, held in _held(node)
            ):
                yield f"{node.lineno}: {ast.unparse(node)}"
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in _SEARCHES
        ):
            searched = node.args
        elif isinstance(node, ast.MatchValue):
            searched = [node.value]
        else:
            continue
        for part in searched:
            texts = part.elts if isinstance(part, (ast.Tuple, ast.Set, ast.List)) else [part]
            if any(isinstance(text, ast.Constant) and _PHRASE.search(str(text.value)) for text in texts):
                yield f"{getattr(node, 'lineno', 0)}: {ast.unparse(node)}"


def _held(node: ast.Compare) -> Iterator[tuple[ast.cmpop, ast.expr]]:
    return zip(node.ops, node.comparators, strict=True)


def _is_text(node: ast.expr) -> bool:
    if isinstance(node, ast.Name):
        return node.id in ("message", "reason")  # other names are those of sets and mappings, too
    return isinstance(node, ast.Attribute) and node.attr in _TEXTS


def test_no_module_looks_for_a_phrase_in_a_text() -> None:
    found = [
        f"{name}:{place}"
        for path in sorted(SOURCE.rglob("*.py"))
        if not (name := path.relative_to(SOURCE).as_posix()).startswith(tuple(READS_OTHERS_TEXTS))
        for place in phrases(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert found == []


def test_the_search_finds_each_form() -> None:
    for form in (
        'any("another revision" in left.why for left in found)',
        'seen.startswith("certificate verify")',
        'text == "no such host"',
        'text in ("timed out", "refused")',
        "GATEWAY in reason",
    ):
        assert list(phrases(ast.parse(form))), form
    assert not list(phrases(ast.parse('outcome == "failed" or kind in {"Pod", "Service"}')))
