"""No module looks for a phrase in a text: such a reason is a type. No text has a banned word.

Texts are for people, and change; no type checker sees that a phrase was reworded, or that it never comes.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import istio_mc

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(istio_mc.__file__).parent
ROOT = Path(__file__).parents[1]
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


# Words that no text for people has

BANNED = re.compile(
    r"\b(mend\w*|(un)?told|anew|whom|likewise|shall|set aside|passed over|(no|some)body|can(not)? be told"
    r"|by hand|of its own(?=[.,;:)]|$)|put right|to know of)\b",
    re.IGNORECASE,
)
"""Words for which Kubernetes, Istio and X.509 have a plainer one, which is in the texts everywhere else."""

PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def literals(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The string literals of a module with their lines, without its docstrings."""
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.lineno, node.value


def test_no_text_of_the_program_has_a_banned_word() -> None:
    found = [
        f"{path.relative_to(SOURCE)}:{line}: {word[0]}"
        for path in sorted(SOURCE.rglob("*.py"))
        for line, text in literals(ast.parse(path.read_text(encoding="utf-8")))
        for word in BANNED.finditer(text)
    ]
    assert found == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_has_a_banned_word(page: Path) -> None:
    """But in quoted commands and output, which the program decides."""
    text = re.sub(r"```.*?```|`[^`]*`|\]\([^)]*\)", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert [match[0] for match in BANNED.finditer(text)] == []


@pytest.mark.parametrize("text", ["3 cannot be told", "Mend it", "written anew", "who answers whom?"])
def test_a_banned_word_is_found(text: str) -> None:
    assert BANNED.search(text)
    assert not BANNED.search("amendment, recommended, the body, somehow")
