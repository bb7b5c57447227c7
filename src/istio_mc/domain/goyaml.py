"""YAML as the Go programs read it that use the same files: kubectl, istioctl, istiod.

The rules are those of sigs.k8s.io/yaml v1.4.0 (`YAMLToJSON`, with its own copy of go-yaml v2), not PyYAML's.
Of a key that stands twice in a mapping the last counts; `1e3` is a number, `1:30` a string and `y` a boolean;
`<<` overrides the keys before it and is overridden by those after it; what JSON does not have is an error.
"""

from __future__ import annotations

import binascii
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
_MOST_REWRITTEN = 100
_ENCODINGS = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_ESCAPED_SLASH = re.compile(r"(?<!\\)(?:\\\\)*\\/")

# How much of a document aliases may make up (decode.go).
_FEW, _MANY = 400_000, 4_000_000


class GoYamlError(ValueError):
    """Go does not read this either.

    Attributes:
        reason: Why, without any value of the document, which may be a credential.
        line: Line, counted from 1; 0: unknown.
        column: Column, counted from 1; 0: unknown.
    """

    def __init__(self, reason: str, line: int = 0, column: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line
        self.column = column


@dataclass(frozen=True, slots=True)
class RepeatedKey:
    """A key that stands twice in one mapping: Go takes the last.

    Attributes:
        line: Line of the one that counts, from 1.
        column: Its column, from 1.
    """

    key: str
    line: int
    column: int
    first_line: int


@dataclass(frozen=True, slots=True)
class GoYaml:
    """The first document of a stream.

    Attributes:
        value: What it holds, in the types that JSON has.
    """

    value: object = field(repr=False)
    repeated: tuple[RepeatedKey, ...] = ()


def load(data: bytes) -> GoYaml:
    """Reads the first document; what follows a second `---` is not looked at.

    Raises:
        GoYamlError: sigs.k8s.io/yaml refuses it.
    """
    text = _text(data)
    colon, bom = _unused(text)
    text = text.replace(_BOM, bom)
    originals = {colon: ":", bom: _BOM}
    for _ in range(_MOST_REWRITTEN):
        try:
            return _loaded(text, originals)
        except yaml.MarkedYAMLError as error:
            rewritten = _rewritten(text, error, colon)
            if rewritten is None:
                raise _refused(error) from None
            text = rewritten
    raise GoYamlError("too much that libyaml does not read")


def _loaded(text: str, originals: Mapping[str, str]) -> GoYaml:
    loader = _EventLoader(text)
    try:
        node = _Parser(loader, text, originals).document()
        if node is None:
            return GoYaml(None)
        decoder = _Decoder()
        return GoYaml(decoder.decode(node), tuple(decoder.repeated))
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


def _unused(text: str) -> tuple[str, str]:
    """Two characters that are not in the text."""
    found = (char for char in map(chr, range(0xE000, 0xF900)) if char not in text)
    return next(found), next(found)


def _rewritten(text: str, error: yaml.MarkedYAMLError, colon: str) -> str | None:
    """The text without what stopped libyaml and does not stop go-yaml; None where go-yaml stops, too."""
    at = error.problem_mark.index if error.problem_mark is not None else len(text)
    if error.problem == "found unexpected ':'":  # {a:} has the key "a:"
        return text[:at] + colon + text[at + 1 :]
    if error.problem == "found unknown escape character" and text.startswith("\\'", at):
        return text[:at] + text[at + 1 :]
    return None


@dataclass(slots=True, eq=False)
class _Node:
    """A node of the document, as go-yaml has it: the tag is the one written, empty where there is none."""

    kind: str
    line: int
    column: int
    tag: str = ""
    value: str = ""
    is_plain: bool = False
    target: _Node | None = None
    children: list[_Node] = field(default_factory=list)

    def error(self, reason: str) -> GoYamlError:
        return GoYamlError(reason, self.line, self.column)

    @property
    def is_merge(self) -> bool:
        return self.kind == "scalar" and self.value == "<<" and (self.is_plain or self.tag == _MERGE)


class _Parser:
    """Makes the nodes of the first document from libyaml's events.

    What libyaml reads since its version 0.2.3 and go-yaml does not is refused here.
    """

    def __init__(self, loader: Any, text: str, originals: Mapping[str, str]) -> None:  # noqa: ANN401 - untyped
        self._loader = loader
        self._text = text
        self._originals = originals
        self._anchors: dict[str, _Node] = {}
        self._flows = 0

    def document(self) -> _Node | None:
        self._loader.get_event()  # the stream's start
        if self._loader.check_event(yaml.StreamEndEvent):
            return None
        started = self._loader.get_event()
        if getattr(started, "version", None) not in {None, (1, 1)}:
            raise GoYamlError("incompatible YAML version", started.start_mark.line + 1, 1)
        node = self._node()
        self._loader.get_event()  # its end: what follows its value on the same line is an error
        return node

    def _node(self) -> _Node:
        event = self._loader.get_event()
        node = _Node(_KINDS[type(event)], event.start_mark.line + 1, event.start_mark.column + 1)
        if node.kind == "alias":
            node.target = self._anchors.get(event.anchor)
            if node.target is None:
                raise node.error("an alias without an anchor")
            return node
        node.tag = event.tag or ""
        if event.anchor:
            self._anchors[event.anchor] = node
        if node.kind == "scalar":
            node.value, node.is_plain = self._value(node, event), event.implicit[0]
            return node
        self._flows += bool(event.flow_style)
        end = yaml.SequenceEndEvent if node.kind == "sequence" else yaml.MappingEndEvent
        while not self._loader.check_event(end):
            node.children.append(self._node())
        self._loader.get_event()
        self._flows -= bool(event.flow_style)
        return node

    def _value(self, node: _Node, event: Any) -> str:  # noqa: ANN401 - PyYAML has no types
        value: str = event.value
        if self._flows and not event.style and "?" in value:
            raise node.error("a question mark within { } or [ ] outside of quotes")
        written = self._text[event.start_mark.index : event.end_mark.index]
        if event.style == '"' and _ESCAPED_SLASH.search(written):
            raise node.error("unknown escape character")
        for stand_in, original in self._originals.items():
            value = value.replace(stand_in, original)
        return value


_KINDS = {
    yaml.ScalarEvent: "scalar",
    yaml.AliasEvent: "alias",
    yaml.SequenceStartEvent: "sequence",
    yaml.MappingStartEvent: "mapping",
}


class _Decoder:
    """Makes values of nodes."""

    def __init__(self) -> None:
        self.repeated: list[RepeatedKey] = []
        self._decoded = 1  # the document
        self._by_alias = 0
        self._open: set[int] = set()
        self._mapped: set[int] = set()

    def decode(self, node: _Node) -> object:
        self._count(node)
        match node.kind:
            case "alias":
                return self._alias(node)
            case "scalar":
                return _jsonable(node, _scalar(node))
            case "sequence":
                return [self.decode(child) for child in node.children]
            case _:
                found: dict[str, object] = {}
                self._mapping(node, found)
                return found

    def _count(self, node: _Node) -> None:
        self._decoded += 1
        self._by_alias += bool(self._open)
        if self._by_alias > 100 and self._decoded > 1000:  # noqa: PLR2004 - go-yaml's own
            share = min(1.0, max(0.0, (self._decoded - _FEW) / (_MANY - _FEW)))
            if self._by_alias / self._decoded > 0.99 - 0.89 * share:
                raise node.error("excessive aliasing")

    def _entered(self, node: _Node) -> _Node:
        if id(node) in self._open or node.target is None:
            raise node.error("an anchor that contains itself")
        self._open.add(id(node))
        return node.target

    def _alias(self, node: _Node) -> object:
        target = self._entered(node)
        value = self.decode(target)
        self._open.discard(id(node))
        return value

    def _mapping(self, node: _Node, found: dict[str, object]) -> None:
        lines: dict[str, int] = {}
        once = id(node) not in self._mapped  # a mapping that aliases repeat is reported once
        self._mapped.add(id(node))
        for key_node, value_node in _pairs(node):
            if key_node.is_merge:
                self._merge(value_node, found)
                continue
            key = _key(key_node, self.decode(key_node))
            found[key] = self.decode(value_node)
            if once and key in lines:
                self.repeated.append(RepeatedKey(key, key_node.line, key_node.column, lines[key]))
            lines[key] = key_node.line

    def _merge(self, node: _Node, found: dict[str, object]) -> None:
        # Of several, the first counts most.
        for source in reversed(node.children) if node.kind == "sequence" else (node,):
            target = source.target if source.kind == "alias" else source
            if target is None or target.kind != "mapping":
                raise source.error("a merge (<<) of what is no mapping")
            self._count(source)
            if source.kind == "alias":
                self._entered(source)
                self._count(target)
            self._mapping(target, found)
            self._open.discard(id(source))


def _pairs(node: _Node) -> Iterator[tuple[_Node, _Node]]:
    return zip(node.children[::2], node.children[1::2], strict=True)


def _key(node: _Node, value: object) -> str:
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
    raise node.error("a key that is neither a string nor a number nor a boolean")


def _jsonable(node: _Node, value: object) -> object:
    if isinstance(value, float) and (value != value or value in {float("inf"), float("-inf")}):  # noqa: PLR0124
        raise node.error("a number that JSON does not have")
    return value


def _scalar(node: _Node) -> object:
    if not node.tag and not node.is_plain:
        return node.value
    if node.tag == _BINARY:
        try:
            return base64_decoded(node.value).decode("utf-8", "replace")
        except ValueError:
            raise node.error("!!binary that is not base64") from None
    if node.tag == _STR or node.tag not in _RESOLVABLE:
        return node.value
    tag, value = _resolved(node.value)
    if node.tag in {"", tag}:
        return value
    if node.tag == _FLOAT and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if node.tag == _TIMESTAMP and _TIMESTAMP_STYLE.fullmatch(node.value):
        return node.value
    raise node.error("a value that does not fit its tag")


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
