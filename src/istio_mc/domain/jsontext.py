"""JSON: what others wrote, and documents of many results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import islice
from json import encoder
from typing import TYPE_CHECKING, Any, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

S = TypeVar("S")
T_co = TypeVar("T_co", covariant=True)

_STEP = "  "
_AT_ONCE = 256
"""Items of a list that are written as one piece."""


class Made(Sequence[T_co]):
    """A list whose items are made each time they are read: a long one takes no memory."""

    def __init__(self, make: Callable[[S], T_co], sources: Sequence[S]) -> None:
        self._make: Callable[[Any], T_co] = make
        self._sources: Sequence[Any] = sources

    def __len__(self) -> int:
        return len(self._sources)

    @overload
    def __getitem__(self, index: int) -> T_co: ...
    @overload
    def __getitem__(self, index: slice) -> Made[T_co]: ...
    def __getitem__(self, index: int | slice) -> T_co | Made[T_co]:
        if isinstance(index, slice):
            return Made(self._make, self._sources[index])
        return self._make(self._sources[index])

    def __iter__(self) -> Iterator[T_co]:
        return map(self._make, self._sources)


def load(text: str | bytes, reduce: Callable[[dict[str, Any]], Any] | None = None) -> Any:  # noqa: ANN401 - whatever the document holds
    """One document, as plain data.

    Args:
        reduce: Given each object as it is parsed, the inner ones first, and returns what stands for it.

    Raises:
        ValueError: It is not JSON, or is nested so deeply that it cannot be read.
    """
    try:
        return json.loads(text, object_hook=reduce)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def pieces(document: object, *, ascii_only: bool = False) -> Iterator[str]:
    """A document as `json.dumps(document, indent=2)` writes it, in a fraction of the time and of the memory.

    Python encodes in C only what is not indented (json/encoder.py, 3.11 to 3.14). Keys are strings. Long
    lists come piece by piece, so that a long document is never held as a whole.
    """
    quoted = encoder.encode_basestring_ascii if ascii_only else encoder.encode_basestring
    written = _writer(quoted)

    def parts(value: object, line: str) -> Iterator[str]:
        inner = line + _STEP
        if isinstance(value, dict) and value:
            for number, (key, item) in enumerate(value.items()):
                yield f"{',' if number else '{'}{inner}{quoted(key)}: "
                yield from parts(item, inner)
            yield f"{line}}}"
        elif isinstance(value, _LISTS):
            items, begin = iter(value), "["
            while group := [written(item, inner) for item in islice(items, _AT_ONCE)]:
                yield f"{begin}{inner}{f',{inner}'.join(group)}"
                begin = ","
            yield f"{line}]" if value else "[]"
        else:
            yield written(value, line)

    return parts(document, "\n")


_LISTS = (list, tuple, Made)


def _writer(quoted: Callable[[str], str]) -> Callable[[object, str], str]:
    def written(value: object, line: str) -> str:
        """A value; each of its lines begins with `line`, a line break and the indentation."""
        if value is None:
            return "null"
        if isinstance(value, str):
            return quoted(value)
        inner = line + _STEP
        if isinstance(value, dict):
            # Most values are strings: they are written without another call.
            items = [
                f"{quoted(key)}: {quoted(item) if type(item) is str else written(item, inner)}"
                for key, item in value.items()
            ]
            return f"{{{inner}{f',{inner}'.join(items)}{line}}}" if items else "{}"
        if isinstance(value, _LISTS):
            items = [written(item, inner) for item in value]
            return f"[{inner}{f',{inner}'.join(items)}{line}]" if items else "[]"
        return json.dumps(value)

    return written
