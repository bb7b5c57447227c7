"""JSON that others wrote is data, or is none: nothing in it ends the program."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from istio_mc.domain import jsontext, yamltext


def test_a_document_is_plain_data() -> None:
    assert jsontext.load(b'{"a": [1, null]}') == {"a": [1, None]}


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"a":' * 100_000, "1" * 10_000])
def test_what_cannot_be_read_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        jsontext.load(text)


@pytest.mark.parametrize("text", ["[" * 100_000, "- " * 5_000 + "x"])
def test_yaml_that_is_nested_too_deeply_is_none(text: str) -> None:
    with pytest.raises(yaml.YAMLError):
        yamltext.load(text)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(values, st.booleans())
def test_a_document_is_indented_as_python_does(document: object, ascii_only: bool) -> None:  # noqa: FBT001 - hypothesis gives it
    expected = json.dumps(document, indent=2, ensure_ascii=ascii_only)
    assert "".join(jsontext.pieces(document, ascii_only=ascii_only)) == expected


@given(st.dictionaries(st.text(), st.lists(values, max_size=4), max_size=3), st.integers(255, 513))
@pytest.mark.thorough
def test_a_long_list_is_made_and_written_in_pieces(document: dict[str, object], length: int) -> None:
    numbers = range(length)
    long = document | {"long": jsontext.Made(lambda number: {"number": number}, numbers)}
    expected = json.dumps(document | {"long": [{"number": number} for number in numbers]}, indent=2)

    pieces = list(jsontext.pieces(long, ascii_only=True))

    assert "".join(pieces) == expected
    assert max(map(len, pieces)) < len(expected)


def test_items_are_made_as_they_are_read() -> None:
    made: list[int] = []

    def make(number: int) -> int:
        made.append(number)
        return -number

    items = jsontext.Made(make, [1, 2, 3])
    assert (len(items), made) == (3, [])
    assert (items[1], list(items[1:]), list(items)) == (-2, [-2, -3], [-1, -2, -3])
