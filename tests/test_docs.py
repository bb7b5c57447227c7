"""The documentation says what the program does: quoted help, anchors, links, commands, targets."""

from __future__ import annotations

import ast
import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer
from typer.testing import CliRunner

from istio_mc.checks.catalogue import ALL, PREFLIGHT
from istio_mc.cli.app import app
from istio_mc.domain.istio.pod_faults import Cause
from istio_mc.domain.kube.refusal import Reason
from istio_mc.domain.problem import SECTION_OF
from scripts import checks_page, releases_page

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").rglob("*.md")])
FENCE = re.compile(r"^\s*```.*?$(.*?)^\s*```", re.MULTILINE | re.DOTALL)
HELP = re.compile(r"<!-- help: istio-mc (.*?) -->\n```\n(.*?)```", re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")
ANCHOR = re.compile(r"^([a-z][a-z-]*\.md)(?:#(.*))?$")
A_VALUE_OF_ITS_OWN = "x"


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def slug(heading: str) -> str:
    """GitHub's anchor of a heading: lower case, punctuation gone, spaces to hyphens."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


@cache
def anchors(page: Path) -> set[str]:
    prose = FENCE.sub("", page.read_text(encoding="utf-8"))
    return {slug(line.lstrip("#")) for line in prose.splitlines() if re.match(r"#{1,6} ", line)}


# What the program refers to


class Facts(NamedTuple):
    """What a module says of the documentation.

    Attributes:
        references: Every `page.md#anchor` in it; what an f-string fills in is `*`.
        codes: The codes of its Problems.
        unsaid: Those of them that do not say themselves where they are explained.
    """

    references: frozenset[str]
    codes: frozenset[str]
    unsaid: frozenset[str]


@cache
def facts() -> dict[Path, Facts]:
    """All modules, each read once."""
    return {source: facts_of(ast.parse(source.read_text(encoding="utf-8"))) for source in SOURCES}


def facts_of(tree: ast.Module) -> Facts:
    texts, codes, unsaid = set(), set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            texts.add(node.value)
        elif isinstance(node, ast.JoinedStr):
            parts = (str(v.value) if isinstance(v, ast.Constant) else "*" for v in node.values)
            texts.add("".join(parts))
        elif keywords := getattr(node, "keywords", ()):
            given = {keyword.arg: keyword.value for keyword in keywords}
            code = given.get("code")
            if "message" in given and isinstance(code, ast.Constant):
                codes.add(str(code.value))
                if "docs" not in given:
                    unsaid.add(str(code.value))
    return Facts(frozenset(filter(ANCHOR.match, texts)), frozenset(codes), frozenset(unsaid))


def references() -> dict[str, str]:
    """Each `page.md#anchor` of the sources, with a module that has it."""
    found = {text: named(source) for source, one in facts().items() for text in sorted(one.references)}
    for check in [*ALL, *PREFLIGHT]:
        if check.docs:
            found[check.docs] = f"check {check.id}"
    return found


def is_there(reference: str) -> bool:
    page, _, anchor = reference.partition("#")
    path = ROOT / "docs" / page
    return path.is_file() and (not anchor or anchor in anchors(path))


def test_the_sources_refer_to_the_documentation_at_all() -> None:
    assert len(references()) > 30


def test_each_page_and_section_an_error_names_is_there() -> None:
    whole = {text: source for text, source in references().items() if "*" not in text}
    assert {text: source for text, source in whole.items() if not is_there(text)} == {}


def test_each_reason_of_a_refused_request_or_a_failing_pod_has_its_section() -> None:
    reasons = [*Reason, *(cause for cause in Cause if cause is not Cause.REFUSED)]
    assert {reason.value for reason in reasons} <= SECTION_OF.keys()


def codes() -> dict[str, str]:
    """Each code of a Problem that stands in the sources, with the module that has it."""
    return {code: named(source) for source, one in facts().items() for code in sorted(one.codes)}


def test_each_code_of_an_error_is_explained() -> None:
    pages = [page for page in PAGES if page.parent.name == "docs"]
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    explained = {anchor for page in pages for anchor in anchors(page)}
    missing = {code: at for code, at in codes().items() if code not in explained and f"`{code}`" not in text}
    assert missing == {}


def unsaid() -> dict[str, str]:
    """Codes of problems that do not say themselves where they are explained, but for those of checks."""
    return {
        code: named(source)
        for source, one in facts().items()
        if source.parent.name != "checks"  # a check says it, see below
        for code in sorted(one.unsaid)
    }


def test_each_error_leads_to_a_section() -> None:
    """Where one does not: give docs, or put it into domain/problem.py."""
    assert {code: source for code, source in unsaid().items() if code not in SECTION_OF} == {}


def test_the_section_that_an_error_leads_to_explains_its_code() -> None:
    page = ROOT / "docs/troubleshooting.md"
    text = page.read_text(encoding="utf-8")
    parts = re.split(r"^#{1,6} (.*)$", text, flags=re.MULTILINE)
    sections = {slug(heading): body for heading, body in zip(parts[1::2], parts[2::2], strict=True)}
    missing = {code: section for code, section in SECTION_OF.items() if section not in sections}
    assert missing == {}
    unexplained = {
        code: section
        for code, section in SECTION_OF.items()
        if section != code and f"`{code}`" not in sections[section]
    }
    assert unexplained == {}


def test_every_check_says_where_it_is_explained() -> None:
    assert [check.id for check in [*ALL, *PREFLIGHT] if not check.docs] == []


# The pages themselves


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    broken = []
    for target in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and there.suffix == ".md" and anchor not in anchors(there)):
            broken.append(target)
    assert broken == []


def test_the_list_of_checks_is_up_to_date() -> None:
    assert checks_page.PAGE.read_text(encoding="utf-8") == checks_page.page(), "make docs"


def test_the_page_of_releases_is_up_to_date() -> None:
    assert releases_page.PAGE.read_text(encoding="utf-8") == releases_page.page(), "make docs"


def quoted_help() -> list[tuple[str, str, str]]:
    return [
        (named(page), arguments, text)
        for page in PAGES
        for arguments, text in HELP.findall(page.read_text(encoding="utf-8"))
    ]


def test_the_readme_quotes_the_help_of_the_program() -> None:
    assert ("README.md", "--help") in {quoted[:2] for quoted in quoted_help()}


@pytest.mark.parametrize(("page", "arguments", "text"), quoted_help(), ids=lambda part: str(part)[:24])
def test_quoted_help_is_what_the_program_prints(page: str, arguments: str, text: str) -> None:
    # A terminal of 80 columns: two are left free.
    done = CliRunner().invoke(app, shlex.split(arguments), prog_name="istio-mc", terminal_width=78)
    assert done.exit_code == 0
    assert text == done.stdout, page


# Commands


def commands(page: Path) -> list[str]:
    """Every `istio-mc …` of a page: lines of code blocks, and code within lines."""
    text = page.read_text(encoding="utf-8")
    without_help = HELP.sub("", text)
    blocks = "\n".join(FENCE.findall(without_help)).replace("\\\n", " ")
    lines = re.findall(r"(?:^|[|$(:]|\brun:)[ \t]*(istio-mc [^|\n]*)", blocks, re.MULTILINE)
    inline = re.findall(r"`(istio-mc [^`\n]+)`", FENCE.sub("", without_help))
    return [re.split(r"\s#|\s[>&]|\s{3,}", line)[0].strip() for line in [*lines, *inline]]


QUOTED = [(named(page), line) for page in PAGES for line in dict.fromkeys(commands(page))]
TREE: Any = typer.main.get_command(app)


def fault(line: str) -> str | None:
    """Why a command line is none of this program's; None: it is one."""
    words = shlex.split(line.replace("…", A_VALUE_OF_ITS_OWN))[1:]
    command = TREE
    path: list[str] = []
    while words:
        word = words.pop(0)
        if word.startswith("-") and word != "-":
            name, _, inline_value = word.partition("=")
            option = next((p for p in command.params if name in (*p.opts, *p.secondary_opts)), None)
            if option is None and name not in ("--help", "-h"):
                return f"{' '.join(path) or 'istio-mc'} has no option {name}"
            if option is not None and not option.is_flag and not inline_value:
                if not words:
                    return f"{name} wants a value"
                words.pop(0)
        elif hasattr(command, "commands"):
            if word not in command.commands:
                return f"no verb {word}"
            command = command.commands[word]
            path.append(word)
        elif not any(p.param_type_name == "argument" for p in command.params):
            return f"{' '.join(path)} takes no argument {word}"
    return None


def test_there_are_commands_to_look_at() -> None:
    assert len([line for page, line in QUOTED if page == "README.md"]) > 10


def test_each_quoted_command_is_one_of_the_program() -> None:
    assert [(page, line, why) for page, line in QUOTED if (why := fault(line)) is not None] == []


@pytest.mark.parametrize("line", ["istio-mc instal", "istio-mc verify --waits 5m", "istio-mc link kt"])
def test_a_command_that_is_none_is_found(line: str) -> None:
    assert fault(line) is not None


def test_every_verb_is_in_the_readme() -> None:
    table = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Verbs")[2]
    missing = []
    for name, command in TREE.commands.items():
        verbs = [f"{name} {inner}" for inner in getattr(command, "commands", ())] or [name]
        missing += [verb for verb in verbs if f"`{verb}`" not in table]
    assert missing == []


TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_make_target_that_is_quoted_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    code = [*FENCE.findall(text), *re.findall(r"`([^`\n]+)`", FENCE.sub("", text))]
    quoted = {name for part in code for name in re.findall(r"^\s*make ([a-z-]+)", part, re.MULTILINE)}
    assert quoted - TARGETS == set()


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_make_help_tells_every_target(target: str) -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{target}:.* ## \S", text, re.MULTILINE)
