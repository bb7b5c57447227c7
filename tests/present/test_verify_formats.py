"""verify's results in each form of output: the same results, for people, grep, CI and GitHub."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from istio_mc.checks.model import Cause, Check, Result, Scope, Severity, Target, Verdict
from istio_mc.domain.codes import Code
from istio_mc.domain.hint import Advice, kubectl
from istio_mc.domain.problem import Problem
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
    code=Code.CLUSTER_UNREACHABLE, message="nhn cannot be reached", cluster="nhn", seen="line one\nline two"
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


def told(*results: Result) -> VerifyResult:
    return VerifyResult(World().facts(), results or RESULTS)


FORMS = {"short": "txt", "junit": "xml", "github": "txt"}


@pytest.mark.parametrize("form", FORMS)
def test_the_form_is_as_it_was(golden: Golden, form: str) -> None:
    report = summary.report(told(), (PASSED_OVER,))
    golden(f"verify.{form}.{FORMS[form]}", report.formats[form]())


@pytest.mark.parametrize("form", FORMS)
def test_a_run_without_any_result_tells_its_errors_in_the_form(golden: Golden, form: str) -> None:
    golden(f"verify-no-run.{form}.{FORMS[form]}", PROBLEMS[form]((DOWN,), (PASSED_OVER,)))


# For people


def table(result: VerifyResult) -> list[str]:
    out = io.StringIO()
    verify_table.render(result, Console(file=out, width=200, no_color=True))
    return out.getvalue().splitlines()


def test_what_is_well_everywhere_takes_one_line() -> None:
    lines = table(told(*(ok(RUNS, Target(name), "available") for name in ("kt", "ncloud", "nhn"))))
    assert "  √ kt, ncloud, nhn  the gateway runs (available)" in lines


def test_what_reads_the_same_of_several_places_takes_one_line() -> None:
    lines = table(told(*(failed(STORAGE, Target(name), NO_STORAGE) for name in ("kt", "ncloud", "nhn"))))
    assert "  ‼ kt, ncloud, nhn  there is none  [extra.storage]" in lines


def test_a_fault_that_explains_others_stands_alone() -> None:
    causes = [failed(RUNS, Target(name), DOWN) for name in ("kt", "ncloud")]
    lines = table(told(*causes, failed(OPEN, Target("kt"), REFUSED, _KT)))
    assert [line for line in lines if "is not ready" in line] == [
        "  × kt  Deployment gateway of kt is not ready (scaled to 0 replicas)  [plane.runs]",
        "  × ncloud  Deployment gateway of kt is not ready (scaled to 0 replicas)  [plane.runs]",
    ]


def test_what_a_fault_explains_is_folded_under_it() -> None:
    lines = table(told())
    cause = lines.index("  × kt  Deployment gateway of kt is not ready (scaled to 0 replicas)  [plane.runs]")
    assert lines[cause + 1] == "      because of it 1 more failed (plane.open)"
    assert not [line for line in lines if line.startswith("  × kt  its port is open")]


def test_what_cannot_be_told_is_folded_under_its_cause_too() -> None:
    assert (
        "      because of it 7 cannot be told (plane.runs, plane.open, link.synced, extra.storage)"
        in table(told())
    )


def test_what_cannot_be_told_and_has_no_cause_is_told_where_it_belongs() -> None:
    lines = table(told(unknown(OPEN, Target("kt"))))
    assert "  ? kt  its port is open: cannot be told  [plane.open]" in lines


def test_a_cause_that_was_not_told_folds_nothing() -> None:
    lines = table(told(unknown(OPEN, Target("kt"), _KT)))
    assert "  ? kt  its port is open: cannot be told (because of plane.runs kt)  [plane.open]" in lines


def test_the_last_line_tells_how_many_faults_are_the_root() -> None:
    assert table(told())[-1] == "8 passed, 3 failed (2 of them the root), 1 to know of, 7 cannot be told"


def test_of_many_clusters_there_is_no_matrix() -> None:
    facts = World().facts()
    many = {f"c{number}": next(iter(facts.clusters.values())) for number in range(50)}
    pair = ok(SYNCED, Target("c1", "c2"), "synced")
    object.__setattr__(facts, "clusters", many)
    assert "whom each istiod sees" not in table(VerifyResult(facts, (pair,)))


def test_no_text_of_a_cluster_moves_the_cursor() -> None:
    lines = table(told(ok(ANSWERS, Target("nhn"), "\x1b[2Jv1")))
    assert "  √ nhn  the API server answers (\ufffd[2Jv1)" in lines


def test_no_text_of_a_cluster_begins_a_line() -> None:
    lines = table(told(failed(ANSWERS, Target("nhn"), SILENT)))
    assert "  × nhn  nhn cannot be reached (line one line two)  [reach.answers]" in lines


# For grep


def test_each_failed_result_is_one_line() -> None:
    lines = short.results(told(), ()).splitlines()
    assert [line.partition(" ")[0] for line in lines] == [
        "error[reach.answers]",
        "error[plane.runs]",
        "error[plane.open]",
        "warning[extra.storage]",
    ]


def test_a_mesh_that_works_is_no_line_at_all() -> None:
    assert short.results(told(ok(RUNS, Target("kt"), "available")), ()) == ""


# For GitHub


@pytest.mark.parametrize(
    ("said", "written"),
    [("50% of it", "50%25 of it"), ("one\r\ntwo", "one%0D%0Atwo"), ("a: b, c", "a: b, c")],
)
def test_a_message_is_escaped_as_github_reads_it(said: str, written: str) -> None:
    (line,) = github.problems((Problem(code=Code.DRIFT, message=said),), ()).splitlines()
    assert line == f"::error title=drift::{written}"


def test_a_title_is_escaped_as_a_property() -> None:
    line = github.problems((Problem(code=Code.DRIFT, message="m", cluster="a:b,c%"),), ())
    assert line == "::error title=drift a%3Ab%2Cc%25::m\n"


def test_what_a_root_cause_explains_is_no_annotation_of_its_own() -> None:
    lines = [line for line in github.results(told(), ()).splitlines() if line.startswith("::")]
    assert [line.split("::")[1] for line in lines] == [
        "error title=reach.answers nhn",
        "error title=plane.runs kt",
        "warning title=extra.storage kt",
    ]


def test_what_is_told_of_several_places_alike_is_one_annotation() -> None:
    result = told(*(failed(STORAGE, Target(name), NO_STORAGE) for name in ("kt", "nhn")))
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
    assert faults(junit(told(), *warnings)) == []


def test_every_check_and_target_is_a_test_case_of_its_topic() -> None:
    suites = {suite.get("name"): suite for suite in junit(told())}
    assert list(suites) == ["reach", "plane", "link", "extra"]
    assert [case.get("name") for case in suites["plane"]][:2] == ["plane.runs kt", "plane.runs ncloud"]


@pytest.mark.parametrize("what", sorted(COUNTS))
def test_the_numbers_of_a_suite_are_those_of_its_cases(what: str) -> None:
    tags = {"failures": "failure", "errors": "error", "skipped": "skipped"}
    for suite in junit(told()):
        found = [case for case in suite if what == "tests" or case.find(tags[what]) is not None]
        assert suite.get(what) == str(len(found))


def test_a_fault_tells_seen_expected_and_what_mends_it() -> None:
    failure = next(junit(told(failed(RUNS, Target("kt"), DOWN))).iter("failure"))
    assert (failure.get("message"), failure.get("type")) == (DOWN.message, DOWN.code)
    assert re.search(f"seen: {DOWN.seen}\nexpected: .*\ntry: {DOWN.hint}\n", failure.text or "")


def test_what_cannot_be_told_is_skipped_and_names_its_cause() -> None:
    skipped = next(junit(told(unknown(RUNS, Target("nhn"), _NHN))).iter("skipped"))
    assert skipped.get("message") == "cannot be told, because of reach.answers nhn"


def test_a_warning_fails_no_case() -> None:
    root = junit(told(failed(STORAGE, Target("kt"), NO_STORAGE)))
    assert root.get("failures") == "0"
    assert (
        next(root.iter("system-out")).text == "warning: there is none\nseen: none\ntry: mark one as default\n"
        "see: docs/troubleshooting.md#storage-default"
    )


@pytest.mark.parametrize("odd", ["\x00", "\x1b[31m", "\ufffe", "]]>", "<&>"], ids=ascii)
def test_whatever_a_cluster_says_the_xml_can_be_read(odd: str) -> None:
    problem = Problem(code=Code.NOT_READY, message=f"said {odd}", seen=odd)
    root = junit(told(failed(RUNS, Target("kt"), problem)))
    assert next(root.iter("failure")).get("message", "").startswith("said ")


def test_a_failed_line_states_the_failure_and_never_what_is_true_when_it_passes() -> None:
    check = replace(STORAGE, title="default StorageClass", passes="default StorageClass exists")
    lines = table(
        told(
            failed(check, Target("kt"), NO_STORAGE),
            ok(check, Target("nhn"), "fast"),
            Result(check, Target("ncloud"), Verdict.UNKNOWN, "not read"),
        )
    )
    assert lines[1:4] == [
        "  √ nhn  default StorageClass exists (fast)",
        "  ‼ kt  there is none  [extra.storage]",
        "  ? ncloud  default StorageClass: not read  [extra.storage]",
    ]
