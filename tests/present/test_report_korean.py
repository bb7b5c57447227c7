"""`istio-mc report --lang ko`: every text that the page can have is there in Korean."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import yaml

from istio_mc.checks.catalogue import EVERY
from istio_mc.checks.model import Result, Target, Verdict
from istio_mc.domain.hint import Advice, kubectl
from istio_mc.domain.problem import Code, Problem
from istio_mc.domain.translation import Catalogue, Language
from istio_mc.present.html.page import STYLE, page
from istio_mc.present.output.language import catalogue
from tests.present.test_report_html import NOW, OWN, PAGES, Element, broken, many, read, verified, whole
from tests.support import report_texts
from tests.support.report_texts import IN_FULL, NOT_IN_THE_REPORT, OF_PROBLEMS, SOURCE
from tests.support.sources import parsed
from tests.support.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from istio_mc.ops.verify.verify import VerifyResult

HANGUL = re.compile("[가-힣]")
FIELD = re.compile(r"\{\w*\}")
PROSE = re.compile(r"(?<![\w./-])[a-z]{2,} [a-z]{2,}(?![\w./-])")
CHANGING_PARTICLE = re.compile(r"\}(?:은|는|이|가|을|를|과|와|으로|로)(?![가-힣])")
"""Particles whose form depends on the last letter of the word before them, which a field's value decides."""


def korean() -> Catalogue:
    made = catalogue(Language.KO)
    assert made
    return made


KOREAN = korean()


_RELEASES = yaml.safe_load((SOURCE / "data" / "releases.yaml").read_text(encoding="utf-8"))
EFFECTS = [
    *(f"{{0}}: {one['effect']} ({{1}})" for one in _RELEASES["defects"]),
    *(f"{{0}}, Istio {{1}}: {one['effect']}" for one in _RELEASES["gatewayAPICRDs"]),
]
"""Lines of the report whose sentence is in the release table."""


# The catalogue


def test_each_effect_in_the_release_table_is_translated() -> None:
    assert [text for text in EFFECTS if text not in KOREAN.texts] == []


def test_each_text_of_a_check_is_translated() -> None:
    missing = {text: module for text, module in report_texts.templates().items() if text not in KOREAN.texts}
    assert missing == {}, "translate them in src/istio_mc/data/report.ko.json"


def test_each_title_and_each_sentence_of_a_check_that_passes_is_translated() -> None:
    assert {check.id: {"title", "passes"} for check in EVERY} == {
        check: texts.keys() for check, texts in KOREAN.checks.items()
    }


def test_each_module_with_problems_is_listed_as_in_the_report_or_not() -> None:
    lists = (*IN_FULL, *OF_PROBLEMS, *NOT_IN_THE_REPORT)
    making = [
        report_texts.module_name(path) for path in report_texts.modules() if report_texts.makes_problems(path)
    ]
    assert [module for module in making if not report_texts.is_in(module, lists)] == []


def literals() -> Iterator[str]:
    for path in report_texts.modules():
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.expr) and (template := report_texts.template_of(node)):
                yield template


@pytest.mark.thorough
def test_no_translation_is_of_a_text_that_is_gone() -> None:
    written = set(literals())
    joined = {
        "{0} and {1} more",
        "{0}: istiod {1} {2}",
        "{0} ahead",
        "{0} behind",
        "{0}: pods of Service {1} have the label of another network ({2})",
    }  # texts that two modules make together
    assert [text for text in KOREAN.texts if text not in written | joined | set(EFFECTS)] == []
    assert [text for text in KOREAN.page if text not in written and not text.startswith("{count} ")] == []


def pairs() -> dict[str, str]:
    of_checks = {
        english: KOREAN.checks[check.id][name]
        for check in EVERY
        for name, english in (("title", check.title), ("passes", check.passes))
    }
    return {**KOREAN.page, **KOREAN.texts, **of_checks}


def test_each_field_of_a_translation_is_one_of_the_text() -> None:
    assert [
        english
        for english, text in pairs().items()
        if not set(FIELD.findall(text)) <= set(FIELD.findall(english))
    ] == []


def test_no_particle_depends_on_the_value_before_it() -> None:
    texts = [*pairs().values(), *KOREAN.counts.values()]
    assert [text for text in texts if CHANGING_PARTICLE.search(text)] == []


def test_each_translation_is_korean() -> None:
    """Names, such as `API server`, have no sentence in them; what has one is in Korean."""
    closing = ")"  # Korean has the sentence before the command that stands in the parentheses
    english = [one for one, text in pairs().items() if PROSE.search(one) and not HANGUL.search(text)]
    assert [one for one in english if pairs()[one] != closing] == []


def test_space_at_the_ends_of_a_part_of_an_advice_is_kept() -> None:
    assert [
        english
        for english, text in KOREAN.texts.items()
        if english.endswith(": ") and not text.endswith((": ", " "))
    ] == []


def test_one_thing_has_one_word() -> None:
    """The words of docs/ko/glossary.md, which Kubernetes' Korean documentation has."""
    never = (
        "컨텍스트명",
        "네임 스페이스",
        "씨크릿",
        "쿠버네티스",
        "게이트 웨이",
        "포드",
        "인증기관",
        "싸이드카",
    )
    assert [(word, text) for text in pairs().values() for word in never if word in text] == []


# What is made of it


@pytest.mark.parametrize(
    ("english", "in_korean"),
    [
        ("remote secret for nhn is missing", "nhn의 원격 시크릿이 없음"),
        ("istiod has not synced kt, nhn and 3 more", "istiod가 kt, nhn 외 3개 클러스터를 동기화하지 않음"),
        ("no Cilium; missing; 15443, 15021 missing", "Cilium 없음; 없음; 15443, 15021 없음"),
        ("connection to gateway port 15443 timed out", "게이트웨이 포트 15443 연결 시간 초과"),
        ("API server certificate of kt is not trusted: issued for other names",
         "kt의 API 서버 인증서를 신뢰할 수 없음: 다른 이름으로 발급됨"),
        ("kt: no StorageClass\nnhn: slow, fast", "kt: StorageClass 없음\nnhn: slow, fast"),
        ("2 services not reachable from all clusters, 1 root cause",
         "일부 클러스터에서 도달할 수 없음: 서비스 2개, 근본 원인 1개"),
        ("1.31.0 (kt, nhn): istiod loses memory with each replaced remote secret (fixed in 1.31.1)",
         "1.31.0 (kt, nhn): 원격 시크릿을 교체할 때마다 istiod의 메모리가 누수됨 (1.31.1에서 수정됨)"),
        ("tcproutes 1.2 (kt), Istio 1.31.0: istiod ignores TCPRoutes",
         "tcproutes 1.2 (kt), Istio 1.31.0: istiod가 TCPRoute를 무시함"),
        ("nhn: pods of Service sample/reviews have the label of another network (kt → nhn)",
         "nhn: 서비스 sample/reviews의 파드에 다른 네트워크의 레이블이 있음 (kt → nhn)"),
        ("nhn: pods of Service a/b have the label of another network (kt → nhn, ncloud → nhn)",
         "nhn: 서비스 a/b의 파드에 다른 네트워크의 레이블이 있음 (kt → nhn, ncloud → nhn)"),
        ("kt: Service a/b is not exported to namespace istio-system (ncloud → kt, nhn → kt)",
         "kt: 서비스 a/b의 내보내기 대상에 없는 네임스페이스: istio-system (ncloud → kt, nhn → kt)"),
        ("2 istiods", "istiod 2개"),
        ("; otherwise: ", "; 그렇지 않다면: "),
        ("dial tcp 10.0.0.1:6443: no route to host", "dial tcp 10.0.0.1:6443: no route to host"),
        ("", ""),
    ],
)  # fmt: skip
def test_a_text_with_values_is_translated_by_its_template(english: str, in_korean: str) -> None:
    assert KOREAN.translate(english) == in_korean


def faults() -> VerifyResult:
    """Every kind of fault that the tests of checks have at hand, of three clusters."""
    world = World()
    world.find("kt", "Deployment", "istiod")["spec"]["replicas"] = 0
    world.remove("ncloud", "Secret", "cacerts")
    world.remove("nhn", "Gateway", "cross-network-gateway")
    world.remove("kt", "Secret", "istio-remote-secret-nhn-nks")
    world.status("ncloud", "kt", "closed")
    return verified(world.facts())


def advised() -> VerifyResult:
    advice = Advice("search its log for ", "kt-k2p", ": ", kubectl("kt", "logs", "istiod"))
    problem = Problem(code=Code.NOT_SYNCED, message="istiod has not synced kt", seen="closed", hint=advice)
    result = many(2)
    return replace(
        result, results=(*result.results, Result(OWN, Target("cluster-01"), Verdict.FAILED, "x", problem))
    )


TREES: dict[str, Callable[[], VerifyResult]] = {**PAGES, "faults": faults, "advised": advised}
del TREES["hostile"]  # its names are prose


@pytest.fixture(params=TREES, scope="module")
def shown(request: pytest.FixtureRequest) -> Element:
    return read(page(TREES[request.param](), NOW, Language.KO))


def visible(element: Element) -> Iterator[str]:
    """The texts of a page but for code, which is the same in every language."""
    if element.name in {"style", "code", "pre"}:
        return
    for name in ("aria-label", "title", "data-label"):
        if (value := element.attributes.get(name)) and element.name != "meta":
            yield value
    for child in element.children:
        if isinstance(child, str):
            yield child
        else:
            yield from visible(child)


AS_IT_IS = (
    "connection refused",
    "istio-mc report",
    "istio-mc verify",
    "no answer",
    "it has one",
    "does not see",
)
"""Commands, the words of a network, and what the results made by tests have."""


RESULT = re.compile(r"^(?:\S+ → \S+: )?[\w-]+\.[\w-]+(?: [\w-]+)?: ")
"""A check's ID and its target before what was seen."""


def test_the_page_has_no_english_sentence(shown: Element) -> None:
    texts = [RESULT.sub("", text) for text in visible(shown) if not any(mark in text for mark in AS_IT_IS)]
    assert [text for text in texts if PROSE.search(text)] == []


def test_the_page_names_its_language(shown: Element) -> None:
    assert shown.all("html")[0].attributes["lang"] == "ko"


def test_lines_break_between_korean_words_only() -> None:
    assert "body:lang(ko){line-height:1.6;word-break:keep-all}" in STYLE


def test_commands_codes_and_anchors_are_the_same_in_both_languages() -> None:
    def same(language: Language) -> list[str]:
        tree = read(page(broken(), NOW, language))
        return [e.text for name in ("code", "pre") for e in tree.all(name)] + [
            str(e.attributes["id"]) for e in tree.walk() if "id" in e.attributes
        ]

    assert same(Language.KO) == same(Language.EN)


def test_a_page_is_english_where_no_language_is_given() -> None:
    text = page(whole(), NOW)
    assert '<html lang="en">' in text
    assert not HANGUL.search(text)


def test_the_catalogue_is_read_only_for_a_language_that_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("istio_mc.present.output.language.resources", None)
    assert catalogue(Language.EN) is None


def test_the_catalogue_is_a_file_of_the_package() -> None:
    assert (SOURCE / "data" / "report.ko.json").is_file()
