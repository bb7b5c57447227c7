"""The documentation says what the program does: quoted help, anchors, links, commands, targets."""

from __future__ import annotations

import ast
import re
import shlex
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer
from typer.testing import CliRunner

from istio_mc.checks.catalogue import EVERY, PREFLIGHT
from istio_mc.cli import last_resort
from istio_mc.cli.app import app
from istio_mc.domain.problem import Code
from scripts import checks_page, codes_page, commands_page, explain_page, pictures, releases_page
from tests.support.sources import parsed

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
CHECKS = [*EVERY, *PREFLIGHT]
TROUBLESHOOTING = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
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


@cache
def sources() -> dict[str, list[ast.AST]]:
    """Every node of each module, each read once."""
    paths = sorted((ROOT / "src").rglob("*.py"))
    return {named(path): [*ast.walk(parsed(path))] for path in paths}


def references() -> dict[str, str]:
    """Each page, or `page.md#section`, to which the program refers, with a place that does."""
    found = {
        node.value: source
        for source, nodes in sources().items()
        for node in nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and ANCHOR.match(node.value)
    }
    return found | {check.docs: check.id for check in CHECKS} | {code.docs: code for code in Code}


def used_codes() -> set[str]:
    """Names of the codes that some Problem has."""
    return {
        node.attr
        for nodes in sources().values()
        for node in nodes
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Code"
    }


@cache
def sections(page: str) -> dict[str, str]:
    """The text of each section of a page, by its anchor."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    parts = re.split(r"^#{1,6} (.*)$", text, flags=re.MULTILINE)
    return {slug(heading): body for heading, body in zip(parts[1::2], parts[2::2], strict=True)}


def is_there(reference: str) -> bool:
    page, _, anchor = reference.partition("#")
    path = ROOT / "docs" / page
    return path.is_file() and (not anchor or anchor in anchors(path))


def is_explained(code: Code) -> bool:
    page, _, section = code.docs.partition("#")
    return section == code or f"`{code}`" in sections(page)[section]


def test_each_page_and_section_that_the_program_names_exists() -> None:
    assert {text: place for text, place in references().items() if not is_there(text)} == {}


def test_the_section_of_each_code_explains_it() -> None:
    assert {code.value: code.docs for code in Code if not is_explained(code)} == {}


def test_each_code_is_that_of_a_problem_and_named_as_its_value() -> None:
    used = used_codes()
    assert [code.value for code in Code if code.name not in used] == []
    assert [code.value for code in Code if code.name != code.upper().replace("-", "_")] == []


def test_each_section_explains_a_code_or_a_check_that_exists() -> None:
    headings = re.findall(r"^## ([a-z0-9-]+)$", TROUBLESHOOTING, re.MULTILINE)
    leading = {reference.partition("#")[2] for reference in references()}
    assert [heading for heading in headings if heading not in leading | set(Code) | {"left"}] == []


def _messages() -> Iterator[re.Pattern[str]]:
    """Every text of the program as a pattern, with anything in the place of its fields."""
    for nodes in sources().values():
        parts = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
        for node in nodes:
            if isinstance(node, ast.JoinedStr):
                texts = [part.value if isinstance(part, ast.Constant) else None for part in node.values]
                if sum(len(str(text)) for text in texts if text) >= _LEAST:
                    yield re.compile(
                        "".join(".+?" if text is None else re.escape(str(text)) for text in texts)
                    )
            elif (
                isinstance(node, ast.Constant) and id(node) not in parts and " " in (text := str(node.value))
            ):
                yield re.compile(re.sub(r"\\\{[^}]*\\\}", ".+?", re.escape(text)))


_LEAST = 9
_QUOTE = re.compile(r"^> (?:error|warning)\[[\w-]+\](?: [^:]+)?: (.*)$", re.MULTILINE)


def test_each_quoted_error_is_one_that_the_program_prints() -> None:
    messages = set(_messages())
    quoted = _QUOTE.findall(TROUBLESHOOTING)
    assert len(quoted) > 100
    # One that is cut short has no message to match.
    whole = [quote for quote in quoted if not quote.endswith("…")]
    unknown = [quote for quote in whole if not any(message.fullmatch(quote) for message in messages)]
    assert unknown == []


def test_each_code_in_a_table_of_codes_exists() -> None:
    tables = re.findall(r"^\| code \|.*\n\|[-|]+\n((?:\|.*\n)+)", TROUBLESHOOTING, re.MULTILINE)
    cells = [row.split("|")[1] for table in tables for row in table.splitlines()]
    listed = [code for cell in cells for code in re.findall(r"`([^`]+)`", cell)]
    assert len(listed) > 30
    assert set(listed) <= set(Code)


def test_an_import_failure_is_printed_with_the_code_of_an_internal_error() -> None:
    assert (Code.INTERNAL, Code.INTERNAL.docs) == (last_resort.CODE, last_resort.DOCS)


def test_every_check_names_its_documentation() -> None:
    assert [check.id for check in CHECKS if not check.docs] == []


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


def test_the_list_of_error_codes_is_up_to_date() -> None:
    assert codes_page.PAGE.read_text(encoding="utf-8") == codes_page.page(), "make docs"


def test_the_help_of_every_command_is_up_to_date() -> None:
    assert commands_page.PAGE.read_text(encoding="utf-8") == commands_page.page(), "make docs"


def test_the_picture_of_a_run_is_what_the_program_prints() -> None:
    assert pictures.RUN.read_text(encoding="utf-8") == pictures.run_picture(), "make docs"


def test_what_explain_prints_is_up_to_date() -> None:
    assert explain_page.PAGE.read_text(encoding="utf-8") == explain_page.page(), "make docs"


def test_the_page_of_releases_is_up_to_date() -> None:
    assert releases_page.PAGE.read_text(encoding="utf-8") == releases_page.page(), "make docs"


def quoted_help() -> list[tuple[str, str, str]]:
    return [
        (named(page), arguments, text)
        for page in PAGES
        for arguments, text in HELP.findall(page.read_text(encoding="utf-8"))
    ]


def test_the_help_of_the_program_is_quoted() -> None:
    assert ("docs/commands.md", "--help") in {quoted[:2] for quoted in quoted_help()}


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


def test_there_are_commands_to_check() -> None:
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
def test_make_help_lists_every_target(target: str) -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{target}:.* ## \S", text, re.MULTILINE)


def test_the_readmes_name_the_labs_mesh_yaml_where_they_name_the_lab() -> None:
    for page in ("README.md", "README.ko.md"):
        (paragraph,) = [
            part for part in (ROOT / page).read_text(encoding="utf-8").split("\n\n") if "-m lab env" in part
        ]
        assert "`ISTIO_MC_CONFIG`" in paragraph
