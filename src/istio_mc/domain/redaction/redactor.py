"""Kubernetes objects and texts without the secrets in them, and how many of what kind were taken out."""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from istio_mc.domain import jsontext
from istio_mc.domain.problem import Code, Problem
from istio_mc.domain.redaction import context, secret_objects, shapes
from istio_mc.domain.redaction.names import is_about, lists_secrets, may_be_secret, promises_secret
from istio_mc.domain.redaction.secret_objects import SECRET_DATA
from istio_mc.domain.redaction.shapes import Span, merged

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_SHORTEST_KNOWN = 8
_SECRET_LIST = "SecretList"  # noqa: S105 - a kind
_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization", "set-cookie"})


def mark(kind: str) -> str:
    """What is written in the place of a secret."""
    return f"[redacted: {kind}]"


@dataclass
class Redactor:
    """Takes secrets out; pure but for the counts it keeps.

    Attributes:
        known: Forms of secrets that are known by their value (`with_values`).
    """

    counts: Counter[str] = field(default_factory=Counter)
    known: frozenset[str] = field(default=frozenset(), repr=False)

    @classmethod
    def with_values(cls, values: Iterable[str]) -> Redactor:
        """One that also takes out these values wherever they stand; those of a few letters are left alone."""
        known = {value.strip() for value in values if len(value.strip()) >= _SHORTEST_KNOWN}
        return cls(known=frozenset(form for value in known for form in known_forms(value)))

    def text(self, text: str) -> str:
        """A text with every secret in it replaced by what it was: `[redacted: private key]`."""
        text = visible(text)
        kept, at = [], 0
        for span in secrets(text, self.known):
            kept += [text[at : span.start], self._mark(span.kind)]
            at = span.end
        return "".join([*kept, text[at:]])

    def data(self, value: object, name: str = "") -> Any:  # noqa: ANN401 - JSON
        """Any plain data, such as a Kubernetes object or a list of them, without secrets and `managedFields`.

        Of a Secret, the names of its keys stay, and nothing of their values; nor does what `kubectl apply`
        wrote into its annotation.

        Args:
            name: What the value goes by.
        """
        if isinstance(value, dict):
            return self._mapping(value, name)
        if isinstance(value, list):
            return self._list(value, name)
        if isinstance(value, str):
            return self._string(value, name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if is_number and promises_secret(name) and may_be_secret(name, str(value)):
            return self._mark(context.PASSWORD)
        return value

    def _mapping(self, value: Mapping[str, Any], above: str = "") -> dict[str, Any]:
        is_secret = value.get("kind") == "Secret" or above == _SECRET_LIST
        kept: dict[str, Any] = {}
        for key, inner in value.items():
            name = str(key)
            if is_secret and name in ("data", "stringData") and isinstance(inner, dict):
                kept[name] = {self.text(str(part)): self._mark(SECRET_DATA) for part in inner}
            elif name == "managedFields" and isinstance(inner, list):
                continue
            elif name == "items" and value.get("kind") == _SECRET_LIST and isinstance(inner, list):
                kept[name] = [self.data(item, _SECRET_LIST) for item in inner]
            else:
                kept[self.text(name)] = self.data(inner, visible(name))
        if is_secret and LAST_APPLIED in (kept.get("metadata") or {}).get("annotations", {}):
            kept["metadata"]["annotations"][LAST_APPLIED] = self._mark(SECRET_DATA)
        named = str(value.get("name") or value.get("key") or above)
        if isinstance(value.get("value"), str) and promises_secret(named):
            kept["value"] = self._string(value["value"], named)
        return kept

    def _list(self, value: list[Any], name: str) -> list[Any]:
        kept: list[Any] = []
        before = ""
        for item in value:
            if isinstance(item, str) and not before and lists_secrets(name) and may_be_secret(name, item):
                kept.append(self._mark(context.PASSWORD))
            else:
                kept.append(self.data(item, before or name))
            # `--password`, `hunter2`: two words of one command; or a header's name, and its value.
            is_name = isinstance(item, str) and "=" not in item
            names_next = is_name and (item.startswith("-") or item.lower() in _HEADERS)
            before = item.lstrip("-") if names_next else ""
        return kept

    def _string(self, value: str, name: str) -> str:
        if name and promises_secret(name) and may_be_secret(name, value):
            return self._mark(context.PASSWORD)
        if inner := _json(value):
            redacted = self.data(inner)
            return value if redacted == inner else json.dumps(redacted, ensure_ascii=False)
        return self.text(value)

    def _mark(self, kind: str) -> str:
        self.counts[kind] += 1
        return mark(kind)


def _json(text: str) -> dict[str, Any] | list[Any] | None:
    """What a text holds, where it is a JSON document."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        value = jsontext.load(text)
    except ValueError:
        return None
    return value if isinstance(value, dict | list) else None


KNOWN = "known secret"
_DEEPEST = 1
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff]"
    r"|(?:\x1b|\\++(?:u001[bB]|x1[bB]|033))\[[0-9;]*+m"
)


def visible(text: str) -> str:
    """A text without letters of no width and colours of a terminal, which would part a secret."""
    return text if text.isascii() and "[" not in text else _INVISIBLE.sub("", text)


def secrets(text: str, known: Collection[str] = (), depth: int = _DEEPEST) -> list[Span]:
    """The secrets of a text, in order and apart.

    Args:
        text: Any text: a log, YAML, JSON, a line of either, in whatever escapes.
        known: Secrets known by their value, in the forms that they may have (`known_forms`).
        depth: How often base64 is decoded, and looked through as a text.
    """

    def is_secret(inner: str) -> bool:
        return bool(secrets(inner, known, depth - 1))

    return merged(
        [
            *shapes.spans(text, is_secret if depth else None),
            *context.spans(text),
            *secret_objects.spans(text),
            *_known(text, known),
        ]
    )


def known_forms(value: str) -> frozenset[str]:
    """The forms in which a text may have a secret: unchanged, quoted up to three times, and in base64."""
    forms = {value, quote(value), quote(value, safe="")}
    quoted = value
    for _ in range(3):
        quoted = json.dumps(quoted, ensure_ascii=False)[1:-1]
        forms |= {quoted, json.dumps(quoted)[1:-1], quoted.replace("'", "''")}
    return frozenset(forms) | encoded_forms(value)


def encoded_forms(text: str, depth: int = 2) -> frozenset[str]:
    """What is always to be found in base64 of any text that has this one in it, and in base64 of that.

    A byte's letters depend on where it stands among three: so there are three forms at each depth, without
    the letters at both ends that its neighbours change.
    """
    forms: set[str] = set()
    raw = text.encode()
    for shift in range(3) if depth else ():
        whole = (len(raw) + shift) // 3 * 4
        core = base64.b64encode(b"\0" * shift + raw)[(0, 2, 3)[shift] : whole].decode()
        forms |= {core, core.replace("+", "-").replace("/", "_")} | encoded_forms(core, depth - 1)
    return frozenset(forms)


def _known(text: str, known: Collection[str]) -> Iterator[Span]:
    for value in known:
        at = text.find(value)
        while at >= 0:
            yield Span(at, at + len(value), KNOWN)
            at = text.find(value, at + len(value))


_LEAST, _MOST = 8, 4096
_OPEN = re.compile(r"(?:true|false|[0-9]{1,6}|[a-z]+|https?://[^@]*|/[\w./-]*)")


def of_secrets(objects: Iterable[Mapping[str, Any]], public: Collection[str] = ()) -> set[str]:
    """Values of Secrets that shall stand nowhere.

    Of a value of several lines, such as a kubeconfig, it is what the other rules find secret in it. Names,
    addresses and the like are none, nor are the words of `public`: clusters, namespaces, what all may know.
    """
    values: set[str] = set()
    for item in objects:
        for key, encoded in (item.get("data") or {}).items():
            values |= set(_within(str(key), _decoded(str(encoded))))
    return {value for value in values if value not in public}


def of_kubeconfig(document: Mapping[str, Any]) -> set[str]:
    """Tokens, passwords and what plugins are given in a kubeconfig."""
    values: set[str] = set()
    for entry in document.get("users") or []:
        _walk(entry.get("user") or {}, "", values)
    return values


def _walk(value: object, name: str, values: set[str]) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            named = value.get("name") if key == "value" else None
            _walk(inner, str(named or key), values)
    elif isinstance(value, list):
        for inner in value:
            _walk(inner, name, values)
    elif isinstance(value, str) and promises_secret(name):
        values |= {value} if _LEAST <= len(value) <= _MOST else set()


def _within(key: str, value: str) -> Iterator[str]:
    value = value.strip()
    if "\n" not in value and not value.startswith(("{", "[")):
        if _LEAST <= len(value) <= _MOST and not is_about(key) and not _OPEN.fullmatch(value):
            yield value
        return
    if value.startswith("{"):
        try:
            value = json.dumps(jsontext.load(value), indent=1)
        except ValueError:
            return
    for span in secrets(value):
        part = value[span.start : span.end]
        if _LEAST <= len(part) <= _MOST and "-----" not in part:
            yield part


def _decoded(encoded: str) -> str:
    try:
        return base64.b64decode(encoded).decode()
    except ValueError:
        return ""


OWN = "own pattern"
_RUN = 64
_MOST_LETTERS = 40


def compiled(texts: Sequence[str]) -> tuple[list[re.Pattern[str]], list[Problem]]:
    """The patterns, and what is wrong with those that are none.

    No message repeats one: it may be a secret.
    """
    patterns: list[re.Pattern[str]] = []
    faults: list[Problem] = []
    for number, text in enumerate(texts, 1):
        try:
            patterns.append(re.compile(text, re.MULTILINE))
        except re.error as error:
            where = f" at position {error.pos}" if error.pos is not None else ""
            faults.append(_fault(number, f"{error.msg}{where}"))
        except (OverflowError, RecursionError):
            faults.append(_fault(number, "too large"))
    return patterns, faults


def too_slow(visible: str) -> Problem:
    """A pattern takes more time than a bundle has for it."""
    return Problem(
        code=Code.USAGE,
        message="--redact: a regular expression takes too long; no bundle was written",
        seen=visible,
        expected="a pattern without a repeat of a repeat, such as (a+)+ or (.*,)*",
    )


def _fault(number: int, visible: str) -> Problem:
    return Problem(
        code=Code.USAGE,
        message=f"--redact: invalid regular expression (number {number} of this option)",
        seen=visible,
        expected="a regular expression as Python's re module has them",
    )


def trials(pattern: re.Pattern[str]) -> Iterator[str]:
    """Texts on which a pattern with repeats of repeats takes for ever: runs of its own letters."""
    letters = dict.fromkeys(["a", "0", " ", *pattern.pattern[:1000]])
    for letter in list(letters)[:_MOST_LETTERS]:
        yield letter * _RUN + "\x00"
    yield f"{'a1 ' * _RUN}\x00"
    yield f"{'a1,' * _RUN}\x00"


def without(patterns: Iterable[re.Pattern[str]], text: str, instead: str) -> tuple[str, int]:
    """A text with each match replaced, those side by side as one; and how many there were."""
    places = sorted(match.span() for pattern in patterns for match in pattern.finditer(text) if match[0])
    kept: list[str] = []
    at, count = 0, 0
    for start, end in places:
        if start > at or not count:
            kept += [text[at:start], instead]
            count += 1
        at = max(at, end)
    return ("".join([*kept, text[at:]]), count) if count else (text, 0)
