"""`istio-mc explain`: each code and each check, from the installed package alone."""

from __future__ import annotations

import ast
import shlex
import subprocess
import sys
from collections.abc import Callable

import pytest
from rich.cells import cell_len

from istio_mc.checks.catalogue import EVERY, PREFLIGHT
from istio_mc.domain.problem import Code, Problem
from istio_mc.ops import explain as op
from istio_mc.present import explain as present
from istio_mc.present.output import problems, terminal
from tests.conftest import Ran
from tests.test_docs import sources

Run = Callable[..., Ran]

CHECK_IDS = sorted({check.id for check in (*EVERY, *PREFLIGHT)})


def named_sections() -> set[str]:
    """Sections that the program names, those of Problems that have another than their code among them."""
    return {
        node.value
        for nodes in sources().values()
        for node in nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and ".md#" in node.value
        if not any(char.isspace() for char in node.value) and not node.value.endswith("#")
    }


def test_each_code_is_explained() -> None:
    found = {code: op.explain(code.value) for code in Code}
    right = {code: (op.TopicType.CODE, code.docs) for code in Code}
    assert {code: (one.type, one.docs) for code, one in found.items()} == right
    assert [code for code, one in found.items() if code.value not in one.text] == []


def test_each_check_is_explained() -> None:
    found = {check_id: op.explain(check_id) for check_id in CHECK_IDS}
    assert [name for name, one in found.items() if one.type is not op.TopicType.CHECK] == []
    assert [name for name, one in found.items() if not (one.check["fix"] and one.text)] == []


def test_the_docs_line_of_a_problem_is_a_command_that_finds_its_section() -> None:
    wrong = {}
    for reference in ("exit-codes.md", *named_sections()):
        problem = Problem(code=Code.USAGE, message="any", docs=reference)
        program, verb, topic = shlex.split(problems.docs(problem))
        assert (program, verb) == ("istio-mc", "explain")
        found = op.explain(topic)
        if reference not in (found.docs, Code(topic).docs if topic in list(Code) else found.docs):
            wrong[reference] = found.docs
    assert len(named_sections()) > 1
    assert wrong == {}


def test_a_code_in_a_table_is_explained_without_the_other_rows(istio_mc: Run) -> None:
    shown = istio_mc("explain", "context-unknown").out
    assert "no such context" in shown
    assert "kubeconfig-missing" not in shown


def test_a_check_shows_its_record_before_the_section(istio_mc: Run) -> None:
    shown = istio_mc("explain", "link.synced").out
    assert shown.index("usual cause:") < shown.index("not-synced")


def test_for_programs(istio_mc: Run) -> None:
    data = istio_mc("explain", "link.synced", "-o", "json").envelope["data"]
    assert data["docs"] == "troubleshooting.md#not-synced"
    assert data["check"]["severity"] == "error"
    assert data["text"].startswith("## not-synced")
    listed = istio_mc("explain", "-o", "json").envelope["data"]
    assert listed["codes"] == sorted(Code)
    assert [check["id"] for check in listed["checks"]] == CHECK_IDS


def test_without_a_name_all_are_listed(istio_mc: Run) -> None:
    words = istio_mc("explain").out.split()
    assert {*CHECK_IDS, *Code} <= set(words)


def test_an_unknown_name_is_answered_with_the_nearest(istio_mc: Run) -> None:
    done = istio_mc("explain", "cluster-unreachabel")
    assert done.code == 2
    assert 'CODE: no error code or check "cluster-unreachabel"; did you mean cluster-unreachable' in done.err
    assert "istio-mc explain cluster-unreachable\n" in done.err
    assert istio_mc("explain", "zzzz").code == 2


@pytest.mark.parametrize("width", [40, 80])
def test_prose_is_wrapped_between_words(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    text = "## one\n\nWords " + "that go on and on " * 20 + "[to](there.md).\n\n- an item " + "of words " * 20
    found = op.Explanation("one", op.TopicType.CODE, "page.md#one", text)
    present.report(found).render(terminal.console())
    lines = capsys.readouterr().out.splitlines()
    assert max(map(cell_len, lines)) <= width
    assert " ".join(" ".join(lines).split()) == " ".join(
        text.removeprefix("## ").replace("[to](there.md)", "to").split()
    )


def test_code_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    command = "kubectl --context kt -n istio-system get pods --selector app=istiod -o yaml"
    text = f"Run\n\n```\n# comment\n{command}\n```\n\nor `{command}`."
    present.report(op.Explanation("one", op.TopicType.CODE, "page.md#one", text)).render(terminal.console())
    assert capsys.readouterr().out.splitlines()[2:] == [
        "    # comment",
        f"    {command}",
        "",
        "or",
        f"{command}.",
        "",
    ]


def test_it_loads_nothing_that_speaks_to_clusters() -> None:
    code = (
        "import atexit, sys\n"
        "sys.argv = ['istio-mc', 'explain', 'link.synced']\n"
        "heavy = ('kubernetes', 'cryptography', 'httpx', 'urllib3')\n"
        "atexit.register(lambda: print('LOADED', [n for n in heavy if n in sys.modules], flush=True))\n"
        "from istio_mc.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "LOADED []"
