"""No module looks for a phrase in a text: such a reason is a type. No text and no name has a banned word.

Texts are for people, and change; no type checker sees that a phrase was reworded, or that it never comes.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import istio_mc
from tests.support.sources import parsed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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


def test_no_module_searches_a_text_for_a_phrase() -> None:
    found = [
        f"{name}:{place}"
        for path in sorted(SOURCE.rglob("*.py"))
        if not (name := path.relative_to(SOURCE).as_posix()).startswith(tuple(READS_OTHERS_TEXTS))
        for place in phrases(parsed(path))
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
        for line, text in literals(parsed(path))
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


# The length of messages

MESSAGE = 100
VALUE = "v" * 14
"""A value in a message: names of clusters and versions are shorter, names of pods are longer."""
OTHER_TEXTS = _TEXTS - {"reason", "why"}


def message_texts(node: ast.expr) -> list[str]:
    """The texts that an expression can give, with VALUE where a value is put in."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.IfExp():
            return message_texts(node.body) + message_texts(node.orelse)
        case ast.BinOp(op=ast.Add()):
            return [a + b for a in message_texts(node.left) for b in message_texts(node.right)]
        case ast.JoinedStr():
            texts = [""]
            for part in node.values:
                value = part.value if isinstance(part, ast.FormattedValue) else part
                parts = [VALUE] if isinstance(value, ast.BinOp) else message_texts(value)
                texts = [before + text for before in texts for text in parts]
            return texts
        case _:
            return [VALUE]


def messages(tree: ast.AST) -> Iterator[ast.expr]:
    """The expression of each message: of Problems, and of what Problems are made from."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from (keyword.value for keyword in node.keywords if keyword.arg == "message")


def too_long(tree: ast.AST) -> Iterator[str]:
    """The messages that are longer than a line."""
    for message in messages(tree):
        yield from (text for text in message_texts(message) if len(text) > MESSAGE)


def with_another_text(tree: ast.AST) -> Iterator[str]:
    """The messages that have the text of another problem in them: no one knows how long they become."""
    for message in messages(tree):
        values = (part.value for part in ast.walk(message) if isinstance(part, ast.FormattedValue))
        if any(isinstance(value, ast.Attribute) and value.attr in OTHER_TEXTS for value in values):
            yield ast.unparse(message)


def test_the_message_of_a_problem_is_at_most_a_line() -> None:
    found = [
        f"{path.relative_to(SOURCE)}: {text}"
        for path in sorted(SOURCE.rglob("*.py"))
        for text in too_long(parsed(path))
    ]
    assert found == []


def test_no_message_has_another_message_in_it() -> None:
    found = {
        f"{path.relative_to(SOURCE).as_posix()}: {text}"
        for path in sorted(SOURCE.rglob("*.py"))
        for text in with_another_text(parsed(path))
    }
    assert found == set()


def test_a_message_that_is_too_long_is_found() -> None:
    words = "word " * 19
    for form in (
        f'Problem(code=c, message="{words}and eleven")',
        f'Problem(code=c, message=f"{{name}} {words}")',
        f'ProblemError.of(code=c, message="no" if x else f"{words}" + "and eleven")',
    ):
        assert list(too_long(ast.parse(form))), form
    assert not list(too_long(ast.parse(f'Problem(code=c, message="{words}", seen="{words}{words}")')))
    assert list(with_another_text(ast.parse('Problem(code=c, message=f"broken: {hop.message}")')))


# Words that no name has

BANNED_PARTS = frozenset(
    [
        "anew",
        "asked",
        "asking",
        "asks",
        "doomed",
        "likewise",
        "mend",
        "mended",
        "mending",
        "mends",
        "nobody",
        "said",
        "saying",
        "says",
        "shall",
        "somebody",
        "tell",
        "telling",
        "tells",
        "told",
        "tried",
        "untold",
        "wanted",
        "whom",
    ]
)
"""Parts of a name for which the glossary has a plainer word: reported, read, again, repaired, no one."""

CODE = [
    path
    for folder in ("src", "tests", "scripts", "lab", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
]

_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_ANY_PART = re.compile("|".join(sorted(BANNED_PARTS)))  # IGNORECASE is nine times as slow
_NO_NAMES = re.compile(
    r"""\"{3}(?:\\.|[^\\])*?\"{3}|'{3}(?:\\.|[^\\])*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|\#[^\n]*""",
    re.DOTALL,
)
"""Strings and comments."""


def named(tree: ast.AST) -> Iterator[str]:
    """The names that a module gives: of modules, classes, functions, parameters, attributes and variables."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.arg(arg=name) | ast.alias(asname=str(name)) | ast.ExceptHandler(name=str(name)):
                yield name
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield name
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name


def banned_names(names: Iterable[str]) -> list[str]:
    """Those that have a banned part."""
    return sorted({name for name in names if BANNED_PARTS & {part.lower() for part in _PART.findall(name)}})


def names_of(path: Path) -> list[str]:
    """The names that a file gives; its own alone where its text has no banned part anywhere."""
    text = path.read_text(encoding="utf-8")
    return [path.stem, *(named(ast.parse(text)) if _ANY_PART.search(_NO_NAMES.sub("", text).lower()) else ())]


def test_no_name_has_a_banned_part() -> None:
    names = {f"{path.relative_to(ROOT)}": names_of(path) for path in sorted(CODE)}
    assert {path: banned for path, every in names.items() if (banned := banned_names(every))} == {}


@pytest.mark.parametrize(
    "code",
    [
        "def is_told(): ...",
        "class WhomAsked: ...",
        "def f(*, MENDED_S): ...",
        "with a as tells: ...",
        "self.said = 1",
        "import a as anew",
        "try: ...\nexcept E as wanted: ...",
        "match a:\n    case [*tried]: ...",
    ],
)
def test_a_banned_part_is_found_in_every_kind_of_name(code: str) -> None:
    assert len(banned_names(named(ast.parse(code)))) == 1


def test_a_part_is_a_whole_word() -> None:
    assert banned_names(["amended", "tellurium", "essays", "unwantedness"]) == []
