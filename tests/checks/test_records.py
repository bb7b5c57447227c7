"""Every check is told in words: what it looks at, why it usually fails, and what fixes that."""

from __future__ import annotations

from istio_mc.checks.catalogue import EVERY, PREFLIGHT


def test_each_part_is_a_clause_that_fits_into_a_sentence() -> None:
    parts = {
        f"{check.id} {name}": getattr(check, name)
        for check in (*EVERY, *PREFLIGHT)
        for name in ("title", "passes", "looks_at", "usual_cause", "fix")
    }
    assert {name: text for name, text in parts.items() if not text or text != text.strip().rstrip(".")} == {}


def test_a_title_is_neutral_and_short() -> None:
    """It is shown for every outcome: a noun phrase of at most five words, without a claim."""
    claims = {"is", "are", "has", "have", "can", "may", "no", "not", "every", "the"}
    titles = {check.id: check.title.split() for check in (*EVERY, *PREFLIGHT)}
    assert {name: words for name, words in titles.items() if len(words) > 5 or claims & {*words}} == {}


def test_a_passed_check_has_its_own_sentence() -> None:
    checks = (*EVERY, *PREFLIGHT)
    assert [check.id for check in checks if check.passes == check.title or len(check.passes) > 80] == []


def test_a_check_of_verify_and_install_is_described_once() -> None:
    checks = (*EVERY, *PREFLIGHT)
    words = {
        (check.id, check.title, check.passes, check.looks_at, check.usual_cause, check.fix)
        for check in checks
    }
    assert sorted(check_id for check_id, *_ in words) == sorted({check.id for check in checks})
