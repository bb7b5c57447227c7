"""The three standard streams, prepared so that no write to them ends in a traceback.

Standard output reports a failed write once. Standard error ignores failures, because it has no results. Both
replace characters that their encoding lacks. A closed stream is replaced, so that a file opened later does
not get its descriptor.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import select
import sys
from typing import Any

ERRORS = "istio-mc"
"""Name of the error handler for characters that an encoding lacks."""

_IN, _OUT, _ERR = 0, 1, 2
_ASCII = {"√": "+", "×": "x", "‼": "!", "…": "...", "→": "->", "–": "-"}
_UNDECODABLE = range(0xDC80, 0xDD00)
_NOT_DECODED = 0xDC00


class OutputError(OSError):
    """Standard output cannot be written: a full disk, or a closed descriptor."""


class OutputClosedError(BrokenPipeError):
    """The reader of standard output has closed it."""


class _Output(io.FileIO):
    """Standard output; the first failed write raises its own error, and nothing is written after it."""

    _failed = False

    def write(self, data: Any) -> int:  # noqa: ANN401 - bytes in any form, as the base has it
        """Writes bytes; waits if a non-blocking pipe is full.

        Raises:
            OutputError: They cannot be written.
            OutputClosedError: The reader has closed the pipe.
        """
        if self._failed:
            return len(memoryview(data))
        try:
            while (written := super().write(data)) is None:
                select.select([], [self], [])
        except BrokenPipeError as error:
            self._failed = True
            raise OutputClosedError(error.errno, error.strerror) from None
        except OSError as error:
            self._failed = True
            raise OutputError(error.errno, error.strerror) from None
        return written


class _Errors(io.FileIO):
    """Standard error; failed writes are ignored."""

    def write(self, data: Any) -> int:  # noqa: ANN401 - bytes in any form, as the base has it
        """Writes bytes; ignores a failure."""
        try:
            return super().write(data) or len(memoryview(data))
        except OSError:
            return len(memoryview(data))


class _Closed(io.RawIOBase):
    """Standard output that was closed before the program began."""

    _failed = False

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:  # noqa: ANN401 - bytes in any form, as the base has it
        if self._failed:
            return len(memoryview(data))
        self._failed = True
        raise OutputError(errno.EBADF, "it is closed")


def prepare() -> None:
    """Replaces the three streams, once, before anything is written."""
    register()
    _occupy()
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115, PTH123 - stays open until exit
    elif isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")
    out: io.RawIOBase = _Closed() if sys.stdout is None else _Output(_OUT, "w", closefd=False)
    sys.stdout = _text(out, sys.stdout, by_line=out.isatty())
    sys.stderr = _text(_Errors(_ERR, "w", closefd=False), sys.stderr, by_line=True)


def register() -> None:
    """Registers the error handler."""
    codecs.register_error(ERRORS, replacement)


def settle_size() -> None:
    """Corrects the terminal size in the environment if it is too small for text."""
    for name, least, most in (("COLUMNS", 20, 10_000), ("LINES", 1, 10_000)):
        text = os.environ.get(name)
        if text is None:
            continue
        number = int(text) if text.isascii() and text.isdecimal() and len(text) <= len(str(most)) else 0
        if number:
            os.environ[name] = str(min(max(number, least), most))
        else:
            del os.environ[name]


def replacement(error: UnicodeError) -> tuple[str, int]:
    """Replacement of characters that an encoding lacks: an ASCII mark, else an escape."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(_ASCII.get(character) or _escaped(character) for character in text), error.end


def _escaped(character: str) -> str:
    if ord(character) in _UNDECODABLE:  # an undecodable byte of an argument or file name
        return f"\\x{ord(character) - _NOT_DECODED:02x}"
    return character.encode("ascii", "backslashreplace").decode("ascii")


def _occupy() -> None:
    """Opens /dev/null on the descriptors of closed streams."""
    for number in (_IN, _OUT, _ERR):
        try:
            os.fstat(number)
        except OSError:
            nothing = os.open(os.devnull, os.O_RDWR)
            if nothing != number:
                os.dup2(nothing, number)
                os.close(nothing)


def _text(raw: io.RawIOBase, before: object, *, by_line: bool) -> io.TextIOWrapper:
    encoding = getattr(before, "encoding", None) or "utf-8"
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding=encoding, errors=ERRORS, line_buffering=by_line)
