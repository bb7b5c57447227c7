"""The user's own patterns: what they match is in no file of a bundle, and in no file's name."""

from __future__ import annotations

import pytest

from istio_mc.domain.bundle import File
from istio_mc.domain.problem import InputError
from istio_mc.domain.redaction.redactor import OWN, mark
from istio_mc.ops.bundle import OwnPatterns

FILES = (
    File("kt/acme-1.log", "acme-1 and acme-22 run", "read in part"),
    File("kt/acme-2.log", "nothing"),
    File("kt/other.log", "nothing"),
)


def test_matches_are_removed_from_names_and_contents_and_file_names_stay_unique() -> None:
    own = OwnPatterns.of(["acme-[0-9]+"])
    found = own.files(FILES)
    assert [file.path for file in found] == ["kt/redacted.log", "kt/redacted.log-2", "kt/other.log"]
    assert found[0].text == f"{mark(OWN)} and {mark(OWN)} run"
    assert [file.note for file in found] == ["read in part", "", ""]
    assert own.counts[OWN] == 4


def test_without_any_all_files_are_left_unchanged() -> None:
    own = OwnPatterns.of([])
    assert own.files(FILES) == FILES
    assert (own.text("acme-1"), sum(own.counts.values())) == ("acme-1", 0)


def test_all_that_are_no_regular_expressions_are_refused_at_once() -> None:
    with pytest.raises(InputError) as error:
        OwnPatterns.of(["(", "fine", "["])
    assert len(error.value.problems) == 2


def test_a_slow_pattern_is_rejected_before_the_first_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("istio_mc.ops.bundle._TRIAL_S", 0.05)
    with pytest.raises(InputError) as error:
        OwnPatterns.of(["(a+)+$", "([a-z]+)*#"])
    assert error.value.problems


def test_a_pattern_that_is_slow_on_a_file_is_rejected_with_the_files_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = OwnPatterns.of(["x"])
    monkeypatch.setattr("istio_mc.ops.bundle._FILE_S", 0.05)

    def endless(*_: object) -> tuple[str, int]:
        while True:
            pass

    monkeypatch.setattr("istio_mc.ops.bundle.without", endless)
    with pytest.raises(InputError) as error:
        own.files(FILES)
    (problem,) = error.value.problems
    assert "kt/acme-1.log" in str(problem)
