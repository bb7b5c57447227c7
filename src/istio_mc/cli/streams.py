"""The three standard streams, prepared so that no write to them ends in a traceback.

Standard output reports once what could not be written. Standard error never fails: it has no results. Neither
fails on a character that its encoding lacks. A stream that is closed is replaced, so that no file that is
opened later gets its number.
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
"""Name of the error handler that writes what an encoding lacks."""

_IN, _OUT, _ERR = 0, 1, 2
_ASCII = {"√": "+", "×": "x", "‼": "!", "…": "...", "→": "->", "–": "-"}
_UNDECODABLE = range(0xDC80, 0xDD00)
_NOT_DECODED = 0xDC00


class OutputError(OSError):
    """Standard output cannot be written: a full disk, or it is closed."""


class OutputClosedError(BrokenPipeError):
    """Whoever read standard output has gone."""


class _Output(io.FileIO):
    """Standard output; the first write that fails is an error of its own, and nothing is written after it."""

    _failed = False

    def write(self, data: Any) -> int:  # noqa: ANN401 - bytes in any form, as the base has it
        """Writes bytes; waits where a pipe that does not block is full.

        Raises:
            OutputError: They cannot be written.
            OutputClosedError: Nobody reads any more.
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
    """Standard error; what cannot be written is lost."""

    def write(self, data: Any) -> int:  # noqa: ANN401 - bytes in any form, as the base has it
        """Writes what can be written."""
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
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115, PTH123 - open as long as the program runs
    elif isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")
    out: io.RawIOBase = _Closed() if sys.stdout is None else _Output(_OUT, "w", closefd=False)
    sys.stdout = _text(out, sys.stdout, by_line=out.isatty())
    sys.stderr = _text(_Errors(_ERR, "w", closefd=False), sys.stderr, by_line=True)


def register() -> None:
    """Makes the error handler known."""
    codecs.register_error(ERRORS, replacement)


def settle_size() -> None:
    """Corrects what the environment says of the terminal's size, where no text fits into it."""
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
    """What stands in place of characters that an encoding lacks: a mark in ASCII, else an escape."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(_ASCII.get(character) or _escaped(character) for character in text), error.end


def _escaped(character: str) -> str:
    if ord(character) in _UNDECODABLE:  # a byte of an argument or a file name that is no text
        return f"\\x{ord(character) - _NOT_DECODED:02x}"
    return character.encode("ascii", "backslashreplace").decode("ascii")


def _occupy() -> None:
    """Opens the numbers of closed streams on nothing."""
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
