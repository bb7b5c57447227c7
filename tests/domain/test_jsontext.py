"""JSON that others wrote is data, or is none: nothing in it ends the program."""

from __future__ import annotations

import pytest
import yaml

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
