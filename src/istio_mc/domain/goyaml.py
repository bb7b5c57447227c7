"""YAML as the Go programs read it that use the same files: kubectl, istioctl, istiod.

The rules are those of sigs.k8s.io/yaml v1.4.0 (`YAMLToJSON`, with its own copy of go-yaml v2), not PyYAML's.
Of a key that stands twice in a mapping the last counts; `1e3` is a number, `1:30` a string and `y` a boolean;
`<<` overrides the keys before it and is overridden by those after it; what JSON does not have is an error.
"""

from __future__ import annotations

import binascii
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_EventLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_PREFIX = "tag:yaml.org,2002:"
_BOOL, _FLOAT, _INT, _NULL, _STR = (_PREFIX + kind for kind in ("bool", "float", "int", "null", "str"))
_BINARY, _MERGE, _TIMESTAMP = (_PREFIX + kind for kind in ("binary", "merge", "timestamp"))
_RESOLVABLE = frozenset({"", _STR, _BOOL, _INT, _FLOAT, _NULL, _TIMESTAMP})


def _cased(word: str) -> tuple[str, str, str]:
    return word, word.capitalize(), word.upper()


_WORDS: Mapping[str, tuple[str, object]] = (
    {cased: (_BOOL, True) for word in ("y", "yes", "true", "on") for cased in _cased(word)}
    | {cased: (_BOOL, False) for word in ("n", "no", "false", "off") for cased in _cased(word)}
    | dict.fromkeys(["", "~", "null", "Null", "NULL"], (_NULL, None))
    | {word: (_FLOAT, float("nan")) for word in (".nan", ".NaN", ".NAN")}
    | {sign + word: (_FLOAT, float("inf")) for sign in ("", "+") for word in (".inf", ".Inf", ".INF")}
    | {"-" + word: (_FLOAT, float("-inf")) for word in (".inf", ".Inf", ".INF")}
)
_FLOAT_STYLE = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_TIMESTAMP_STYLE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ][0-9:.]+(Z|[-+][0-9:]+)?)?")
_BASES = {"0b": 2, "0o": 8, "0x": 16}
_DIGITS = {
    2: re.compile("[01]+"),
    8: re.compile("[0-7]*"),
    10: re.compile("[0-9]+"),
    16: re.compile("[0-9a-fA-F]+"),
}
_INT_MIN, _INT_MAX, _UINT_MAX = -(2**63), 2**63 - 1, 2**64 - 1

_BOM = "\ufeff"
_ENCODINGS = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}

# How much of a document aliases may make up (decode.go).
_FEW, _MANY = 400_000, 4_000_000


class GoYamlError(ValueError):
    """Go does not read this either.

    Attributes:
        reason: Why, without any value of the document, which may be a credential.
    """

    def __init__(self, reason: str, line: int = 0, column: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line
        self.column = column


@dataclass(frozen=True, slots=True)
class RepeatedKey:
    """A key that stands twice in one mapping: Go takes the last."""

    key: str
    line: int
    column: int
    first_line: int


@dataclass(frozen=True, slots=True)
class GoYaml:
    """The first document of a stream."""

    value: object = field(repr=False)
    repeated: tuple[RepeatedKey, ...] = ()


def load(data: bytes) -> GoYaml:
    """Reads the first document; what follows a second `---` is not looked at.

    Raises:
        GoYamlError: sigs.k8s.io/yaml refuses it.
    """
    text = _text(data)
    loader = _EventLoader(text)
    try:
        reader = _Reader(loader)
        return GoYaml(reader.document(), tuple(reader.repeated))
    except yaml.MarkedYAMLError as error:
        raise _refused(error) from None
    except yaml.reader.ReaderError as error:
        raise GoYamlError(str(error.reason), text.encode()[: error.position].count(b"\n") + 1) from None
    except RecursionError:
        raise GoYamlError("nested too deeply") from None
    finally:
        loader.dispose()


def _refused(error: yaml.MarkedYAMLError) -> GoYamlError:
    mark = error.problem_mark or error.context_mark
    where = (mark.line + 1, mark.column + 1) if mark is not None else (0, 0)
    return GoYamlError(str(error.problem or error.context), *where)


def _text(data: bytes) -> str:
    """The document as text: UTF-8, or UTF-16 with a byte order mark, as PowerShell writes it."""
    encoding = next((name for mark, name in _ENCODINGS.items() if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding).removeprefix(_BOM)
    except UnicodeDecodeError as error:
        raise GoYamlError(f"not {encoding.upper()}", data[: error.start].count(b"\n") + 1) from None


def _error(event: Any, reason: str) -> GoYamlError:  # noqa: ANN401 - PyYAML has no types
    return GoYamlError(reason, event.start_mark.line + 1, event.start_mark.column + 1)


@dataclass(slots=True)
class _Anchor:
    """What an anchor stands for, and how many nodes that is; unfinished inside itself."""

    value: object = None
    size: int = 0
    is_complete: bool = False


class _Reader:
    """Makes the value of the first document from libyaml's events."""

    def __init__(self, loader: Any) -> None:  # noqa: ANN401 - untyped
        self.repeated: list[RepeatedKey] = []
        self._loader = loader
        self._anchors: dict[str, _Anchor] = {}
        self._nodes = 1  # the document
        self._by_alias = 0

    def document(self) -> object:
        self._loader.get_event()  # the stream's start
        if self._loader.check_event(yaml.StreamEndEvent):
            return None
        started = self._loader.get_event()
        if getattr(started, "version", None) not in {None, (1, 1)}:
            raise GoYamlError("incompatible YAML version", started.start_mark.line + 1, 1)
        value = self._value(self._loader.get_event())
        self._loader.get_event()  # its end: what follows its value on the same line is an error
        return value

    def _value(self, event: Any) -> object:  # noqa: ANN401 - PyYAML has no types
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        anchor, before = _Anchor(), self._nodes
        self._nodes += 1
        if event.anchor:
            self._anchors[event.anchor] = anchor
        if isinstance(event, yaml.ScalarEvent):
            anchor.value = _scalar(event, event.value)
        else:
            is_list = isinstance(event, yaml.SequenceStartEvent)
            anchor.value = self._sequence() if is_list else self._mapping()
        anchor.size, anchor.is_complete = self._nodes - before, True
        return anchor.value

    def _alias(self, event: Any) -> object:  # noqa: ANN401 - PyYAML has no types
        anchor = self._anchors.get(event.anchor)
        if anchor is None:
            raise _error(event, "an alias without an anchor")
        if not anchor.is_complete:
            raise _error(event, "an anchor that contains itself")
        self._nodes += anchor.size + 1
        self._by_alias += anchor.size
        if self._by_alias > 100 and self._nodes > 1000:  # noqa: PLR2004 - go-yaml's own
            share = min(1.0, max(0.0, (self._nodes - _FEW) / (_MANY - _FEW)))
            if self._by_alias / self._nodes > 0.99 - 0.89 * share:
                raise _error(event, "excessive aliasing")
        return anchor.value

    def _events(self, end: type) -> Iterator[Any]:
        while not self._loader.check_event(end):
            yield self._loader.get_event()
        self._loader.get_event()

    def _sequence(self) -> list[object]:
        return [self._value(event) for event in self._events(yaml.SequenceEndEvent)]

    def _mapping(self) -> dict[str, object]:
        mapping: dict[str, object] = {}
        lines: dict[str, int] = {}
        for event in self._events(yaml.MappingEndEvent):
            if _is_merge(event):
                self._merge(mapping)
                continue
            key, line = _key(event, self._value(event)), event.start_mark.line + 1
            mapping[key] = self._value(self._loader.get_event())
            if key in lines:
                self.repeated.append(RepeatedKey(key, line, event.start_mark.column + 1, lines[key]))
            lines[key] = line
        return mapping

    def _merge(self, mapping: dict[str, object]) -> None:
        event = self._loader.get_event()
        value = self._value(event)
        # Of several, the first counts most.
        several = isinstance(value, list) and not isinstance(event, yaml.AliasEvent)
        for source in reversed(value) if several and isinstance(value, list) else (value,):
            if not isinstance(source, dict):
                raise _error(event, "a merge (<<) of a value that is not a mapping")
            mapping.update(source)


def _is_merge(event: Any) -> bool:  # noqa: ANN401 - PyYAML has no types
    return (
        isinstance(event, yaml.ScalarEvent)
        and event.value == "<<"
        and (event.implicit[0] or event.tag == _MERGE)
    )


def _key(event: Any, value: object) -> str:  # noqa: ANN401 - PyYAML has no types
    """A key as JSON has it: a string."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() if value <= _INT_MAX:
            return str(value)
        case float():
            return f"{value:g}"
    raise _error(event, "a key that is neither a string nor a number nor a boolean")


def _scalar(event: Any, text: str) -> object:  # noqa: ANN401 - PyYAML has no types
    tag = event.tag or ""
    if tag == _BINARY:
        try:
            return base64_decoded(text).decode("utf-8", "replace")
        except ValueError:
            raise _error(event, "!!binary that is not base64") from None
    if tag == _STR or tag not in _RESOLVABLE or not (tag or event.implicit[0]):
        return text
    kind, value = _resolved(text)
    if tag == _FLOAT and kind == _INT:
        kind, value = _FLOAT, float(str(value))
    elif tag == _TIMESTAMP and _TIMESTAMP_STYLE.fullmatch(text):
        return text
    if tag not in {"", kind}:
        raise _error(event, "a value that does not fit its tag")
    if isinstance(value, float) and not math.isfinite(value):
        raise _error(event, "a number that JSON does not have")
    return value


def is_string(text: str) -> bool:
    """Whether Go reads a text without quotes as a string."""
    return _resolved(text)[0] == _STR


def _resolved(text: str) -> tuple[str, object]:
    """Tag and value of what is written without quotes."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return _STR, text
    plain = text if text[0] == "." else text.replace("_", "")
    number = _integer(plain)
    if number is not None:
        return _INT, number
    if _FLOAT_STYLE.fullmatch(plain):
        value = float(plain)
        if abs(value) != float("inf"):
            return _FLOAT, value
    return _STR, text


def _integer(plain: str) -> int | None:
    """What Go's strconv.ParseInt or ParseUint makes of it, with base 0 and 64 bits."""
    sign, digits = (plain[0], plain[1:]) if plain[:1] in {"+", "-"} else ("", plain)
    base = _BASES.get(digits[:2].lower(), 10) if len(digits) > 2 else 10  # noqa: PLR2004
    if base != 10:  # noqa: PLR2004
        digits = digits[2:]
    elif digits.startswith("0"):
        base, digits = 8, digits[1:]
    if not _DIGITS[base].fullmatch(digits):
        return None
    value = int(sign.strip("+") + (digits or "0"), base)
    return value if _INT_MIN <= value <= (_UINT_MAX if not sign else _INT_MAX) else None


def base64_decoded(text: str) -> bytes:
    """What Go's base64.StdEncoding makes of it: line breaks are skipped, all else must be base64.

    Raises:
        ValueError: It is not base64.
    """
    return binascii.a2b_base64(text.replace("\n", "").replace("\r", ""), strict_mode=True)
