"""What the user's own patterns match goes; one that cannot be used is refused before anything is read."""

from __future__ import annotations

import pytest

from istio_mc.domain.bundle import File
from istio_mc.domain.problem import InputError
from istio_mc.ops.bundle import OwnPatterns


def test_what_a_pattern_matches_goes_and_is_counted() -> None:
    own = OwnPatterns.of(["cust-[0-9]+", "(?i)acme"])

    text = own.text("cust-17 of ACME, and Acme's cust-4")

    assert text == (
        "[redacted: own pattern] of [redacted: own pattern], "
        "and [redacted: own pattern]'s [redacted: own pattern]"
    )
    assert own.counts == {"own pattern": 4}


def test_matches_side_by_side_become_one() -> None:
    assert OwnPatterns.of(["."]).text("abc\nde") == "[redacted: own pattern]\n[redacted: own pattern]"


def test_a_pattern_matches_at_each_line() -> None:
    assert OwnPatterns.of(["^host: .*$"]).text("a\nhost: x y\nb") == "a\n[redacted: own pattern]\nb"


@pytest.mark.parametrize("pattern", ["x*", "(?=a)", "^", "$"])
def test_a_pattern_with_empty_matches_removes_nothing(pattern: str) -> None:
    assert OwnPatterns.of([pattern]).text("abc") == "abc"


def test_names_of_files_are_redacted_and_stay_distinct() -> None:
    own = OwnPatterns.of(["pod-[a-z]"])

    found = own.files([File("logs/pod-a/x.log", "of pod-a"), File("logs/pod-b/x.log", "b")])

    assert [file.path for file in found] == ["logs/redacted/x.log", "logs/redacted/x.log-2"]
    assert found[0].text == "of [redacted: own pattern]"


def test_all_invalid_patterns_are_reported_together_by_position_and_without_their_text() -> None:
    with pytest.raises(InputError) as caught:
        OwnPatterns.of(["hunter2(", "fine", "se[same"])

    first, second = caught.value.problems
    assert first.message == "--redact: invalid regular expression (number 1 of this option)"
    assert first.seen == "missing ), unterminated subpattern at position 7"
    assert second.seen == "unterminated character set at position 2"
    assert "hunter2" not in str(caught.value.problems)


@pytest.mark.parametrize("pattern", ["(a+)+$", r"(\w+\s?)*=", "(x+x+)+y", "(.*,)*z", "(b|b)*c"])
def test_a_pattern_that_takes_for_ever_is_refused(pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("istio_mc.ops.bundle._TRIAL_S", 0.2)
    with pytest.raises(InputError, match="takes too long"):
        OwnPatterns.of([pattern])


def test_a_pattern_that_turns_out_to_take_for_ever_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    own = OwnPatterns.of(["(?:q|aq|qa)*!"])
    monkeypatch.setattr("istio_mc.ops.bundle._FILE_S", 0.2)

    with pytest.raises(InputError, match="takes too long") as caught:
        own.text("qaq" * 40, where="x.log")

    assert caught.value.problems[0].seen == "more than 0.2 s for x.log"
