"""verify as JUnit XML: a test suite for each topic, a test case for each check and target.

The format is the one that Jenkins, GitLab and others read: `testsuites/testsuite/testcase`, with `failure`,
`error` or `skipped` in a case that did not pass.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from istio_mc.checks.model import Verdict
from istio_mc.present.output.problems import details

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from istio_mc.checks.model import Result
    from istio_mc.domain.problem import Problem
    from istio_mc.ops.verify.verify import VerifyResult

_NAME = "istio-mc verify"
_RUN = "run"
# XML 1.0, section 2.2: what is not of these cannot be written, not even escaped.
_NO_XML = "[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"  # slow to compile, and seldom needed


def results(result: VerifyResult, warnings: Iterable[Problem]) -> str:
    """Every result; what cannot be told is skipped, and a warning is said in the output of its case."""
    topics = dict.fromkeys(each.check.topic for each in result.results)
    suites = [
        _suite(topic, [_case(one) for one in result.results if one.check.topic == topic]) for topic in topics
    ]
    return _text([_suite(_RUN, _warned(warnings)), *suites])


def problems(errors: Iterable[Problem], warnings: Iterable[Problem]) -> str:
    """A suite for the run, with an error for each problem: no check was asked."""
    cases = []
    for problem in errors:
        case = _new(_RUN, problem.code)
        _put(case, "error", problem, ())
        cases.append(case)
    return _text([_suite(_RUN, [*cases, *_warned(warnings)])])


def _warned(warnings: Iterable[Problem]) -> list[ET.Element]:
    cases = []
    for warning in warnings:
        case = _new(_RUN, f"{warning.code} {warning.cluster}" if warning.cluster else warning.code)
        ET.SubElement(case, "system-out").text = _clean(f"warning: {_details(warning)}")
        cases.append(case)
    return cases


def _case(result: Result) -> ET.Element:
    case = _new(result.check.topic, f"{result.check.id} {result.target}")
    because = [str(cause) for cause in result.caused_by]
    if result.problem and result.is_error:
        _put(case, "failure", result.problem, because)
    elif result.problem:
        ET.SubElement(case, "system-out").text = _clean(f"warning: {_details(result.problem)}")
    elif result.verdict is Verdict.UNKNOWN:
        text = f"{result.seen}, because of {', '.join(because)}" if because else result.seen
        ET.SubElement(case, "skipped", message=_clean(text))
    elif result.seen:
        ET.SubElement(case, "system-out").text = _clean(result.seen)
    return case


def _new(topic: str, name: str) -> ET.Element:
    return ET.Element("testcase", classname=f"istio-mc.{topic}", name=_clean(name), time="0")


def _put(case: ET.Element, kind: str, problem: Problem, because: Sequence[str]) -> None:
    element = ET.SubElement(case, kind, message=_clean(problem.message), type=problem.code)
    more = f"\nbecause of: {', '.join(because)}" if because else ""
    element.text = _clean(_details(problem) + more)


def _details(problem: Problem) -> str:
    return "\n".join([problem.message, *(f"{label}: {value}" for label, value in details(problem))])


def _suite(name: str, cases: Sequence[ET.Element]) -> ET.Element:
    suite = ET.Element("testsuite", {"name": name, **_counts(cases), "time": "0"})
    suite.extend(cases)
    return suite


def _counts(cases: Sequence[ET.Element]) -> dict[str, str]:
    def having(tag: str) -> str:
        return str(sum(case.find(tag) is not None for case in cases))

    return {
        "tests": str(len(cases)),
        "failures": having("failure"),
        "errors": having("error"),
        "skipped": having("skipped"),
    }


def _text(suites: Sequence[ET.Element]) -> str:
    nonempty = [suite for suite in suites if len(suite)]
    every = [case for suite in nonempty for case in suite]
    root = ET.Element("testsuites", {"name": _NAME, **_counts(every)})
    root.extend(nonempty)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _clean(text: str) -> str:
    return re.sub(_NO_XML, "\ufffd", text)
