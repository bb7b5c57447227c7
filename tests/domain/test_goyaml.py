"""YAML read by the rules of sigs.k8s.io/yaml, as kubectl, istioctl and istiod read it.

What is expected here is what `kubectl config view` of version 1.32.3 reads of the same bytes.
"""

from __future__ import annotations

import pytest

from istio_mc.domain import goyaml


def read(text: str | bytes) -> object:
    return goyaml.load(text if isinstance(text, bytes) else text.encode()).value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # Numbers that PyYAML takes for strings, and the other way round.
        ("12e4", 120000.0),
        ("1e3", 1000.0),
        ("0o17", 15),
        ("017", 15),
        ("08", 8.0),
        ("0x1F", 31),
        ("0b101", 5),
        ("-0b11", -3),
        ("1_000", 1000),
        ("1_0.5", 10.5),
        (".5", 0.5),
        ("+.5e1", 5.0),
        ("1:30", "1:30"),
        ("1e999", "1e999"),
        ("0x", "0x"),
        ("18446744073709551615", 2**64 - 1),
        ("18446744073709551616", float(2**64)),
        ("=", "="),
        ("._5", "._5"),
        ("2026-01-01", "2026-01-01"),
        # Booleans and nothing.
        ("y", True),
        ("Off", False),
        ("tRUE", "tRUE"),
        ("~", None),
        ("NULL", None),
        ("nUll", "nUll"),
        # Tags.
        ("!!str 12", "12"),
        ('!!int "12"', 12),
        ("!!float 1", 1.0),
        ("!other 12", "12"),
        ("! 12", "12"),
        ("!!binary aGk=", "hi"),
        ("!!python/object:os.system x", "x"),
        ("!!timestamp 2026-01-01", "2026-01-01"),
        # Documents.
        ("", None),
        ("# nothing\n", None),
        ("a: 1\n---\n[", {"a": 1}),
        ("a: 1\n...\n", {"a": 1}),
        ("\ufeffa: 1\n", {"a": 1}),
        ("a: é\n".encode("utf-16"), {"a": "é"}),
        ("a: 1\r\nb: 2\r\n", {"a": 1, "b": 2}),
        ('{\n\t"a":\t1\n}', {"a": 1}),
        ("%YAML 1.1\n---\na: 1\n", {"a": 1}),
        # Keys.
        ("{1: a, 1.5: b, yes: c, 2026-01-01: d}", {"1": "a", "1.5": "b", "true": "c", "2026-01-01": "d"}),
        ("a: 1\na: 2\n", {"a": 2}),
        # Anchors, and merges that override what stands before them.
        ("a: &x {k: 1}\nb: *x\n", {"a": {"k": 1}, "b": {"k": 1}}),
        ("a: &x {k: 1}\nb: {k: 2, <<: *x}\n", {"a": {"k": 1}, "b": {"k": 1}}),
        ("a: &x {k: 1}\nb: {<<: *x, k: 2}\n", {"a": {"k": 1}, "b": {"k": 2}}),
        ("{<<: [{k: 1, l: 1}, {k: 2, m: 2}]}", {"k": 1, "l": 1, "m": 2}),
        ('{"<<": {k: 1}}', {"<<": {"k": 1}}),
        ("a: &x 1\nb: &x 2\nc: *x\n", {"a": 1, "b": 2, "c": 2}),
    ],
)
def test_values_are_those_that_go_reads(text: str | bytes, value: object) -> None:
    found = read(text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("a: 1\nb:\n\t- x\n", 3, 1),
        ("a: *x\n", 1, 4),
        ("a: &x\n  b: *x\n", 2, 6),
        ("? [k]\n: 1\n", 1, 3),
        ("? {k: 1}\n: 1\n", 1, 3),
        ("~: 1\n", 1, 1),
        ("{18446744073709551615: 1}", 1, 2),
        ("a: .inf\n", 1, 4),
        ("a: .NaN\n", 1, 4),
        ("a: !!int x\n", 1, 4),
        ("a: !!null x\n", 1, 4),
        ("a: !!timestamp x\n", 1, 4),
        ("a: !!binary x\n", 1, 4),
        ("<<: 1\n", 1, 5),
        ("<<: [1]\n", 1, 5),
        ("a: &x 1\n<<: *x\n", 2, 5),
        ("%YAML 1.2\n---\na: 1\n", 1, 1),
        ("a: [b, c\n", 2, 1),
        ("a: b: c\n", 1, 5),
        ("a: b\n\x00", 2, 0),
        (b"a: \xff\n", 1, 0),
    ],
)
def test_what_go_refuses_is_refused_with_its_place(text: str | bytes, line: int, column: int) -> None:
    with pytest.raises(goyaml.GoYamlError) as caught:
        read(text)
    assert (caught.value.line, caught.value.column) == (line, column)


def test_what_is_nested_too_deeply_is_refused() -> None:
    with pytest.raises(goyaml.GoYamlError):
        read("[" * 20000)


def test_aliases_cannot_make_a_small_document_large() -> None:
    lines = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    with pytest.raises(goyaml.GoYamlError, match="aliasing"):
        read("a0: &a0 x\n" + "\n".join(lines))


def test_keys_that_repeat_are_reported_once_each_with_their_lines() -> None:
    found = goyaml.load(b"a: 1\nb: &x {c: 1, c: 2}\nd: *x\ne: {<<: *x, c: 3}\na: 2\n")
    assert [(one.key, one.line, one.column, one.first_line) for one in found.repeated] == [
        ("c", 2, 14, 2),
        ("a", 5, 1, 1),
    ]


@pytest.mark.parametrize(
    ("text", "data"),
    [("YQ==", b"a"), ("Y\nQ=\r\n=", b"a"), ("YR==", b"a"), ("", b""), ("YWI=\n", b"ab")],
)
def test_base64_is_decoded_as_go_does(text: str, data: bytes) -> None:
    assert goyaml.base64_decoded(text) == data


@pytest.mark.parametrize("text", ["YQ", "YQ=", "YQ== ", " YQ==", "YQ==YQ==", "Y-_=", "=", "YQ===", "é"])
def test_what_go_does_not_take_for_base64_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        goyaml.base64_decoded(text)
