"""The last error handler: any failure prints one line, and no traceback.

The top of the module imports only what the interpreter has loaded already: it must work when nothing else
does.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

CODE = "internal"
UNWRITABLE = "file-unwritable"
DOCS = "troubleshooting.md#internal"
_FAILED, _INTERRUPTED = 1, 130
_MOST_OF_A_MESSAGE = 200
_MOST_OF_A_TRACEBACK = 100_000
_COMPLETION = "_ISTIO_MC_COMPLETE"


class _RunState:
    """Progress of the command line of this process."""

    command = ""
    answered = False


begun = _RunState()


def guard(program: Callable[[], object]) -> NoReturn:
    """Runs the program and ends the process with its exit code, without a traceback in any case."""
    code = _FAILED
    try:
        try:
            code = flushed(_run(program))
        except KeyboardInterrupt:
            code = _INTERRUPTED
        except BaseException as error:  # noqa: BLE001 - any exception
            _report(error)
    finally:
        end(code)  # also if another Ctrl-C has just arrived


def message_of(error: BaseException) -> str:
    """One line about an unexpected error: its type, and the file with its traceback."""
    return f"internal error: {_describe(error)}; traceback: {_crash_file(error)}"


def print_error(message: str, code: str = CODE) -> None:
    """Prints an error on standard error, in the usual form; ignores a failure."""
    try:
        sys.stderr.write(f"error[{code}]: {message}\n  docs:     istio-mc explain {code}\n")
        sys.stderr.flush()
    except Exception:  # noqa: BLE001, S110 - nowhere left to report it
        pass


def output_format(words: Sequence[str]) -> str:
    """Returns the value of `-o`, at any position: a rejected command line has no parsed options.

    Returns:
        `json`, `yaml`, or `table` if there is no valid value.
    """
    output = "table"
    for word, following in zip(words, [*words, ""][1:], strict=True):
        if word in ("-o", "--output"):
            output = following
        elif word.startswith("--output="):
            output = word.partition("=")[2]
        elif word.startswith("-o"):
            output = word[2:].removeprefix("=")
    return output if output in ("json", "yaml") else "table"


def _run(program: Callable[[], object]) -> int:
    try:
        _quiet()
        program()
    except SystemExit as end:
        if isinstance(end.code, int):
            return end.code
        if end.code is not None:
            print_error(str(end.code))
            return _FAILED
    return 0


def _quiet() -> None:
    """Suppresses what libraries and threads print to the terminal by themselves."""
    import logging
    import threading
    import warnings

    from istio_mc.cli import streams

    streams.prepare()
    streams.settle_size()
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    logging.raiseExceptions = False
    logging.getLogger().addHandler(logging.NullHandler())
    log = logging.getLogger("istio_mc")
    threading.excepthook = lambda args: log.debug("a thread ended by %s", args.exc_type.__name__)
    sys.unraisablehook = lambda args: log.debug("skipped: %s", args.exc_type.__name__)


def flushed(code: int) -> int:
    """Flushes standard output and returns the exit code."""
    try:
        sys.stdout.flush()
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            return code or _FAILED
        print_error(unwritable(error), UNWRITABLE)
        return code or _FAILED
    return code


def unwritable(error: OSError) -> str:
    """The message for a failed write to standard output."""
    return f"the result could not be written to standard output: {error.strerror}"


def _report(error: BaseException) -> None:
    from istio_mc.cli.streams import OutputClosedError, OutputError

    # No message during shell completion, and none if the reader has closed the pipe.
    if os.environ.get(_COMPLETION) or isinstance(error, OutputClosedError):
        return
    if isinstance(error, OutputError):
        print_error(unwritable(error), UNWRITABLE)
        return
    if isinstance(error, OSError) and error.filename and not begun.command:  # --install-completion
        print_error(f"{error.filename}: {error.strerror}", UNWRITABLE)
        return
    message = message_of(error)
    try:
        _write_envelope(message)
    finally:
        print_error(message)


def _write_envelope(message: str) -> None:
    """Writes the envelope if JSON or YAML was requested and nothing was written yet; JSON is valid YAML."""
    import json

    if begun.answered or output_format(sys.argv[1:]) == "table":
        return
    problem = {
        "code": CODE, "cluster": None, "message": message, "seen": None, "expected": None, "hint": None,
        "hintType": None, "docs": DOCS,
    }  # fmt: skip
    envelope = {
        "schemaVersion": 2, "command": begun.command, "status": "error", "data": None, "messages": [],
        "errors": [problem],
    }  # fmt: skip
    sys.stdout.write(json.dumps(envelope, indent=2) + "\n")
    sys.stdout.flush()


def _describe(error: BaseException) -> str:
    """Kind and message of an error, on one line, without secrets."""
    try:
        first, *_ = _redacted(str(error)).splitlines() or [""]
    except Exception:  # noqa: BLE001 - text that cannot be redacted is not shown
        first = ""
    kind = type(error).__name__
    return f"{kind}: {first[:_MOST_OF_A_MESSAGE]}" if first else kind


def _crash_file(error: BaseException) -> str:
    """Writes the traceback to a file and returns its path, or why that failed."""
    try:
        import tempfile

        handle, path = tempfile.mkstemp(prefix="istio-mc-internal-", suffix=".txt")  # 0600
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(_traceback(error))
    except Exception as why:  # noqa: BLE001 - a full disk, or no memory left
        return f"none could be written ({type(why).__name__})"
    return path


def _traceback(error: BaseException) -> str:
    """Files, lines and messages of an error; no secrets, and no values of variables."""
    import platform
    import traceback

    from istio_mc import __version__

    try:
        lines = "".join(traceback.format_exception(error))[-_MOST_OF_A_TRACEBACK:]
        text = _redacted(f"istio-mc {' '.join(sys.argv[1:])}\n\n{lines}")
    except Exception:  # noqa: BLE001 - text that cannot be redacted is not written
        places = traceback.extract_tb(error.__traceback__)
        text = "\n".join(f"{place.filename}:{place.lineno} {place.name}" for place in places)
    about = f"istio-mc {__version__}, Python {platform.python_version()}, {platform.platform()}"
    return f"{about}\n{text}\n"


def _redacted(text: str) -> str:
    if not text:
        return ""
    from istio_mc.domain.redaction.redactor import Redactor

    credentials = sys.modules.get("istio_mc.gateways.kube.known_secrets")
    return Redactor.with_values(credentials.values() if credentials else ()).text(text)


def end(code: int) -> NoReturn:
    """Ends the process immediately: worker threads may be in a network call that only its timeout ends.

    The functions registered with atexit run: they stop children and remove private files. Python's normal
    exit would also tear down all modules, which takes a quarter of the CPU time of a short run.
    """
    try:
        import atexit

        from istio_mc.gateways.host import signals

        signals.end()
        atexit._run_exitfuncs()  # noqa: SLF001 - os._exit does not run them
    finally:
        os._exit(code)
