"""verify's results in each form of output: the same results, for people, grep, CI and GitHub."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from rich.cells import cell_len
from rich.console import Console

from istio_mc.checks.catalogue import ALL
from istio_mc.checks.model import Cause, Check, Result, Scope, Severity, Target, Verdict
from istio_mc.domain.hint import Advice, istio_mc, kubectl
from istio_mc.domain.problem import Code, Problem
from istio_mc.ops.verify.verify import VerifyResult
from istio_mc.present.verify import github, short, summary
from istio_mc.present.verify import junit as verify_junit
from istio_mc.present.verify import table as verify_table
from istio_mc.present.verify.summary import PROBLEMS
from tests.support.records import record
from tests.support.world import World

Golden = Callable[[str, str], None]

ANSWERS = record("reach.answers", "the API server answers", Scope.CLUSTER)
RUNS = record("plane.runs", "the gateway runs", Scope.CLUSTER)
OPEN = record("plane.open", "its port is open", Scope.CLUSTER)
SYNCED = record("link.synced", "every istiod has synced every other cluster", Scope.PAIR)
LABELLED = record("link.labelled", "nothing claims one ID twice", Scope.MESH)
STORAGE = record("extra.storage", "there is a default StorageClass", Scope.CLUSTER, Severity.WARNING)

DOWN = Problem(
    code=Code.NOT_READY,
    message="Deployment gateway of kt is not ready",
    cluster="kt",
    seen="scaled to 0 replicas",
    expected="all replicas: updated, and 100% available",
    hint=kubectl("kt", "scale", "deployment", "gateway", "--replicas=1"),
)
REFUSED = Problem(
    code=Code.GATEWAY_REFUSED, message="port 15443 of kt is refused", cluster="kt", seen="refused"
)
SILENT = Problem(
    code=Code.CLUSTER_UNREACHABLE,
    message="API server is not reachable",
    cluster="nhn",
    seen="line one\nline two",
)
NO_STORAGE = Problem(
    code=Code.NO_DEFAULT_STORAGE_CLASS,
    message="there is none",
    seen="none",
    hint=Advice("mark one as default"),
)
PASSED_OVER = Problem(
    code=Code.CONTEXT_SKIPPED, message="dev was passed over", cluster="dev", seen="time, out: 5s"
)

_NHN, _KT = Cause(ANSWERS.id, Target("nhn")), Cause(RUNS.id, Target("kt"))


def ok(of: Check, target: Target, seen: str) -> Result:
    return Result(of, target, Verdict.OK, seen)


def failed(of: Check, target: Target, problem: Problem, *because: Cause) -> Result:
    return Result(of, target, Verdict.FAILED, problem.seen or "", problem, because)


def unknown(of: Check, target: Target, *because: Cause) -> Result:
    return Result(of, target, Verdict.UNKNOWN, "cannot be told", caused_by=because)


def pairs() -> list[Result]:
    names = ("kt", "ncloud", "nhn")
    targets = [Target(one, other) for one in names for other in names if one != other]
    return [
        unknown(SYNCED, target, _NHN)
        if "nhn" in (target.cluster, target.peer)
        else ok(SYNCED, target, "synced")
        for target in targets
    ]


RESULTS = (
    ok(ANSWERS, Target("kt"), "v1.32.3"),
    ok(ANSWERS, Target("ncloud"), "v1.31.0"),
    failed(ANSWERS, Target("nhn"), SILENT),
    failed(RUNS, Target("kt"), DOWN),
    ok(RUNS, Target("ncloud"), "available"),
    unknown(RUNS, Target("nhn"), _NHN),
    failed(OPEN, Target("kt"), REFUSED, _KT),
    ok(OPEN, Target("ncloud"), "15443"),
    unknown(OPEN, Target("nhn"), _NHN),
    *pairs(),
    ok(LABELLED, Target(), "none"),
    failed(STORAGE, Target("kt"), NO_STORAGE),
    ok(STORAGE, Target("ncloud"), "standard"),
    unknown(STORAGE, Target("nhn"), _NHN),
)


def result_of(*results: Result) -> VerifyResult:
    return VerifyResult(World().facts(), results or RESULTS)


FORMS = {"short": "txt", "junit": "xml", "github": "txt"}


@pytest.mark.parametrize("form", FORMS)
def test_the_form_is_as_it_was(golden: Golden, form: str) -> None:
    report = summary.report(result_of(), (PASSED_OVER,))
    golden(f"verify.{form}.{FORMS[form]}", report.formats[form]())


@pytest.mark.parametrize("form", FORMS)
def test_a_run_without_any_result_reports_its_errors_in_the_format(golden: Golden, form: str) -> None:
    golden(f"verify-no-run.{form}.{FORMS[form]}", PROBLEMS[form]((DOWN,), (PASSED_OVER,)))


# For people


def table(result: VerifyResult, *, width: int = 200, show_all: bool = False) -> list[str]:
    out = io.StringIO()
    verify_table.render(result, Console(file=out, width=width, no_color=True), show_all=show_all)
    return out.getvalue().splitlines()


def test_a_topic_that_passed_takes_one_line() -> None:
    lines = table(result_of(*(ok(RUNS, Target(name), "available") for name in ("kt", "ncloud", "nhn"))))
    assert lines == ["√ plane  1 check, 3 clusters", "", "√ 3 passed", "  next:     istio-mc verify"]


def test_a_mesh_without_a_fault_fits_a_terminal_of_80_by_24() -> None:
    names = ("kt", "ncloud", "nhn")
    targets = {
        Scope.MESH: [Target()],
        Scope.CLUSTER: [Target(name) for name in names],
        Scope.PAIR: [Target(one, other) for one in names for other in names if one != other],
    }
    results = [ok(check, target, "well") for check in ALL for target in targets[check.scope]]
    lines = table(result_of(*results), width=80)
    assert len(lines) < 24
    assert max(map(cell_len, lines)) <= 80
    assert lines[-1].split() == ["next:", "istio-mc", "verify", "--deep"]


def test_the_verdict_is_last_coloured_and_names_the_next_command() -> None:
    assert table(result_of())[-2:] == [
        "× 3 failed (2 root causes), 1 warning, 7 unknown, 8 passed",
        "  next:     istio-mc explain cluster-unreachable",
    ]
    fault = failed(RUNS, Target("kt"), DOWN)
    assert table(result_of(fault))[-1] == f"  next:     {DOWN.hint}"
    out = io.StringIO()
    verify_table.render(
        result_of(fault), Console(file=out, width=80, force_terminal=True, color_system="standard")
    )
    assert "\x1b[1;31m× \x1b[0m" in out.getvalue() or "\x1b[1;31m×" in out.getvalue()


HAZARD = record("hazards.defects", "known defects", Scope.CLUSTER, Severity.WARNING)
SHARED = record("services.agree", "equal ports", Scope.MESH, Severity.WARNING)
DEFECT = Problem(code=Code.ISTIO_DEFECTS, message="istiod has 1 known defect", seen="1.31.0")
DIFFERENT = Problem(code=Code.SERVICES_DISAGREE, message="Services differ", seen="other ports")
OF_A_HAZARD = failed(HAZARD, Target("kt"), DEFECT)
OF_A_SERVICE = failed(SHARED, Target(), DIFFERENT)
CLEARED = replace(unknown(OPEN, Target("kt")), clears=istio_mc("sample", "deploy"))
NOT_CLEARED = unknown(RUNS, Target("kt"))
FAULT = failed(RUNS, Target("kt"), DOWN)


@pytest.mark.parametrize(
    ("results", "command"),
    [
        ((OF_A_HAZARD, OF_A_SERVICE, NOT_CLEARED, CLEARED, FAULT), str(DOWN.hint)),
        ((OF_A_HAZARD, OF_A_SERVICE, NOT_CLEARED, CLEARED), "istio-mc sample deploy"),
        ((OF_A_HAZARD, NOT_CLEARED, OF_A_SERVICE), "istio-mc explain services-disagree"),
        ((OF_A_HAZARD, NOT_CLEARED), "istio-mc explain plane.runs"),
        ((OF_A_HAZARD,), "istio-mc explain istio-defects"),
    ],
    ids=["fault", "unknown with a command", "warning", "unknown", "notice"],
)
def test_the_next_command_is_of_what_matters_most(results: tuple[Result, ...], command: str) -> None:
    assert table(result_of(*results))[-1] == f"  next:     {command}"


def test_a_fault_is_printed_in_full_with_its_check() -> None:
    lines = table(result_of(failed(RUNS, Target("kt"), DOWN)))
    begin = lines.index("error[not-ready] kt: Deployment gateway of kt is not ready")
    assert lines[begin + 1 : begin + 6] == [
        "  seen:     scaled to 0 replicas",
        "  expected: all replicas: updated, and 100% available",
        f"  fix:      {DOWN.hint}",
        "  docs:     istio-mc explain not-ready",
        "  check:    plane.runs",
    ]


def test_the_same_fault_of_several_clusters_is_printed_once() -> None:
    down = {
        name: replace(DOWN, message=f"Deployment gateway of {name} is not ready", seen=seen)
        for name, seen in (("kt", "none"), ("ncloud", "1 of 2"), ("nhn", "none"))
    }
    lines = table(result_of(*(failed(RUNS, Target(name), problem) for name, problem in down.items())))
    begin = lines.index(
        "error[not-ready] kt, ncloud, nhn: Deployment gateway of kt, ncloud, nhn is not ready"
    )
    assert lines[begin + 1 : begin + 4] == [
        "  seen:     kt: none",
        "            ncloud: 1 of 2",
        "            nhn: none",
    ]
    assert len([line for line in lines if "not ready" in line]) == 1


def test_a_name_that_a_message_has_more_than_once_is_not_replaced() -> None:
    message = "Deployment istiod of istiod is not ready"
    problems = {
        name: replace(DOWN, message=message.replace("of istiod", f"of {name}")) for name in ("istiod", "kt")
    }
    lines = table(result_of(*(failed(RUNS, Target(name), problem) for name, problem in problems.items())))
    assert f"error[not-ready] istiod: {message}" in lines


def test_what_a_fault_explains_is_named_under_it() -> None:
    lines = table(result_of())
    assert "  explains: 1 failed (plane.open)" in lines
    assert "  explains: 7 unknown (plane.runs, plane.open, link.synced, extra.storage)" in lines
    assert not [line for line in lines if "port 15443 of kt" in line]


def test_unknown_results_without_a_cause_are_printed() -> None:
    lines = table(result_of(unknown(OPEN, Target("kt")), unknown(OPEN, Target("nhn"))))
    assert "unknown[plane.open] kt, nhn: its port is open: cannot be told" in lines


def test_a_cause_that_was_left_out_is_named() -> None:
    lines = table(result_of(unknown(OPEN, Target("kt"), _KT), failed(OPEN, Target("nhn"), REFUSED, _KT)))
    assert "unknown[plane.open] kt: its port is open: cannot be told (because of plane.runs kt)" in lines
    assert "  because:  plane.runs kt" in lines


def test_lines_are_wrapped_between_words_with_a_hanging_indent() -> None:
    seen = "words that go on " * 9
    problem = replace(
        DOWN, seen=seen.strip(), message="a message that needs more than one line of a terminal"
    )
    lines = table(result_of(failed(RUNS, Target("kt"), problem)), width=60)
    assert max(cell_len(line) for line in lines if str(DOWN.hint) not in line) <= 60
    assert [line for line in lines if line.startswith("  seen:     words")]
    assert [line for line in lines if line.startswith((" " * 12 + "words", " " * 12 + "that"))]
    assert f"  fix:      {DOWN.hint}" in lines


# For people, with --all


def test_with_all_a_check_that_passes_everywhere_takes_one_line() -> None:
    passed = [ok(RUNS, Target(name), "available") for name in ("kt", "ncloud", "nhn")]
    assert "  √ kt, ncloud, nhn  the gateway runs (available)" in table(result_of(*passed), show_all=True)


def test_with_all_every_result_is_listed() -> None:
    lines = table(result_of(), show_all=True)
    assert "  × kt  Deployment gateway of kt is not ready (scaled to 0 replicas)  [plane.runs]" in lines
    assert "  × kt  port 15443 of kt is refused (because of plane.runs kt)  [plane.open]" in lines
    assert "error[not-ready] kt: Deployment gateway of kt is not ready" in lines


def test_the_matrix_is_shown_where_something_in_it_is_wrong_and_with_all() -> None:
    title = "remote clusters by istiod"
    assert title not in table(result_of())
    assert title in table(result_of(), show_all=True)
    closed = failed(SYNCED, Target("kt", "ncloud"), Problem(code=Code.NOT_SYNCED, message="m", seen="closed"))
    assert title in table(result_of(closed))


def test_of_many_clusters_there_is_no_matrix() -> None:
    facts = World().facts()
    many = {f"c{number}": next(iter(facts.clusters.values())) for number in range(50)}
    pair = ok(SYNCED, Target("c1", "c2"), "synced")
    object.__setattr__(facts, "clusters", many)
    assert "remote clusters by istiod" not in table(VerifyResult(facts, (pair,)), show_all=True)


def test_no_text_of_a_cluster_moves_the_cursor() -> None:
    lines = table(result_of(ok(ANSWERS, Target("nhn"), "\x1b[2Jv1")), show_all=True)
    assert "  √ nhn  the API server answers (\ufffd[2Jv1)" in lines


def test_no_text_of_a_cluster_begins_a_line() -> None:
    lines = table(result_of(failed(ANSWERS, Target("nhn"), SILENT)))
    assert [line for line in lines if line.startswith("line")] == []


# For grep


def test_each_failed_result_is_one_line() -> None:
    lines = short.results(result_of(), ()).splitlines()
    assert [line.partition(" ")[0] for line in lines] == [
        "error[reach.answers]",
        "error[plane.runs]",
        "error[plane.open]",
        "warning[extra.storage]",
    ]


def test_a_mesh_that_works_is_no_line_at_all() -> None:
    assert short.results(result_of(ok(RUNS, Target("kt"), "available")), ()) == ""


# For GitHub


@pytest.mark.parametrize(
    ("message", "written"),
    [("50% of it", "50%25 of it"), ("one\r\ntwo", "one%0D%0Atwo"), ("a: b, c", "a: b, c")],
)
def test_a_message_is_escaped_as_github_reads_it(message: str, written: str) -> None:
    (line,) = github.problems((Problem(code=Code.DRIFT, message=message),), ()).splitlines()
    assert line == f"::error title=drift::{written}%0Adocs: istio-mc explain drift"


def test_a_title_is_escaped_as_a_property() -> None:
    line = github.problems((Problem(code=Code.DRIFT, message="m", cluster="a:b,c%"),), ())
    assert line == "::error title=drift a%3Ab%2Cc%25::m%0Adocs: istio-mc explain drift\n"


def test_consequences_of_a_root_cause_get_no_annotation() -> None:
    lines = [line for line in github.results(result_of(), ()).splitlines() if line.startswith("::")]
    assert [line.split("::")[1] for line in lines] == [
        "error title=reach.answers nhn",
        "error title=plane.runs kt",
        "warning title=extra.storage kt",
    ]


def test_the_same_fault_of_several_places_is_one_annotation() -> None:
    result = result_of(*(failed(STORAGE, Target(name), NO_STORAGE) for name in ("kt", "nhn")))
    lines = [line for line in github.results(result, ()).splitlines() if line.startswith("::")]
    assert [line.split("::")[1] for line in lines] == ["warning title=extra.storage kt%2C nhn"]


# For CI

COUNTS = {"tests", "failures", "errors", "skipped"}
# The form that Jenkins and GitLab read (junit-10.xsd of the Jenkins xunit plugin): what each element must
# have, may have, and may hold.
SHAPE: dict[str, tuple[set[str], set[str], set[str]]] = {
    "testsuites": (set(), {"name", "time", *COUNTS}, {"testsuite"}),
    "testsuite": ({"name", "tests"}, {"time", "timestamp", "hostname", "id", *COUNTS}, {"testcase"}),
    "testcase": (
        {"name", "classname"},
        {"time", "status", "assertions"},
        {"failure", "error", "skipped", "system-out", "system-err"},
    ),
    "failure": (set(), {"message", "type"}, set()),
    "error": (set(), {"message", "type"}, set()),
    "skipped": (set(), {"message", "type"}, set()),
    "system-out": (set(), set(), set()),
}


def faults(element: ET.Element) -> list[str]:
    must, may, holds = SHAPE[element.tag]
    names = set(element.attrib)
    found = [f"{element.tag} lacks {name}" for name in must - names]
    found += [f"{element.tag} has {name}" for name in names - must - may]
    found += [f"{element.tag} holds {child.tag}" for child in element if child.tag not in holds]
    return found + [fault for child in element if child.tag in SHAPE for fault in faults(child)]


def junit(result: VerifyResult, *warnings: Problem) -> ET.Element:
    text = verify_junit.results(result, warnings)
    return ET.fromstring(text.encode())  # noqa: S314 - our own


@pytest.mark.parametrize("warnings", [(), (PASSED_OVER,)], ids=["plain", "warned"])
def test_the_xml_is_of_the_common_form(warnings: tuple[Problem, ...]) -> None:
    assert faults(junit(result_of(), *warnings)) == []


def test_every_check_and_target_is_a_test_case_of_its_topic() -> None:
    suites = {suite.get("name"): suite for suite in junit(result_of())}
    assert list(suites) == ["reach", "plane", "link", "extra"]
    assert [case.get("name") for case in suites["plane"]][:2] == ["plane.runs kt", "plane.runs ncloud"]


@pytest.mark.parametrize("what", sorted(COUNTS))
def test_the_numbers_of_a_suite_are_those_of_its_cases(what: str) -> None:
    tags = {"failures": "failure", "errors": "error", "skipped": "skipped"}
    for suite in junit(result_of()):
        found = [case for case in suite if what == "tests" or case.find(tags[what]) is not None]
        assert suite.get(what) == str(len(found))


def test_a_fault_shows_seen_expected_and_fix() -> None:
    failure = next(junit(result_of(failed(RUNS, Target("kt"), DOWN))).iter("failure"))
    assert (failure.get("message"), failure.get("type")) == (DOWN.message, DOWN.code)
    assert re.search(f"seen: {DOWN.seen}\nexpected: .*\nfix: {DOWN.hint}\n", failure.text or "")


def test_an_unknown_result_is_skipped_and_names_its_cause() -> None:
    skipped = next(junit(result_of(unknown(RUNS, Target("nhn"), _NHN))).iter("skipped"))
    assert skipped.get("message") == "cannot be told, because of reach.answers nhn"


def test_a_warning_fails_no_case() -> None:
    root = junit(result_of(failed(STORAGE, Target("kt"), NO_STORAGE)))
    assert root.get("failures") == "0"
    assert (
        next(root.iter("system-out")).text == "warning: there is none\nseen: none\nfix: mark one as default\n"
        "docs: istio-mc explain no-default-storage-class"
    )


@pytest.mark.parametrize("odd", ["\x00", "\x1b[31m", "\ufffe", "]]>", "<&>"], ids=ascii)
def test_the_xml_is_valid_for_any_text_of_a_cluster(odd: str) -> None:
    problem = Problem(code=Code.NOT_READY, message=f"said {odd}", seen=odd)
    root = junit(result_of(failed(RUNS, Target("kt"), problem)))
    assert next(root.iter("failure")).get("message", "").startswith("said ")


def test_a_failed_line_states_the_failure_and_never_the_passing_sentence() -> None:
    check = replace(STORAGE, title="default StorageClass", passes="default StorageClass exists")
    lines = table(
        result_of(
            failed(check, Target("kt"), NO_STORAGE),
            ok(check, Target("nhn"), "fast"),
            Result(check, Target("ncloud"), Verdict.UNKNOWN, "not read"),
        ),
        show_all=True,
    )
    assert lines[1:4] == [
        "  √ nhn  default StorageClass exists (fast)",
        "  ‼ kt  there is none  [extra.storage]",
        "  ? ncloud  default StorageClass: not read  [extra.storage]",
    ]
