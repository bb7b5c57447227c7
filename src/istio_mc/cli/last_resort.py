"""The last resort: whatever goes wrong, one line is printed, and no traceback.

Only what the interpreter has loaded anyway is imported at the top: this must work where nothing else does.
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
    """What has been done so far of the one command line of this process."""

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
        except BaseException as error:  # noqa: BLE001 - whatever it is
            _report(error)
    finally:
        end(code)  # also where another Ctrl-C came just now


def message_of(error: BaseException) -> str:
    """One line about an unexpected error: what it is, and the file that has its traceback."""
    return f"internal error: {_in_words(error)}; traceback: {_crash_file(error)}"


def print_error(message: str, code: str = CODE) -> None:
    """Prints an error on standard error, as all others are printed; where that fails, it is lost."""
    try:
        sys.stderr.write(f"error[{code}]: {message}\n  docs:     istio-mc explain {code}\n")
        sys.stderr.flush()
    except Exception:  # noqa: BLE001, S110 - there is nobody left to report to
        pass


def output_format(words: Sequence[str]) -> str:
    """What `-o` says, wherever it stands: what is refused cannot be asked for its options.

    Returns:
        `json`, `yaml`, or `table` where it says nothing, or nothing that there is.
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
    """Keeps off the terminal what libraries and threads print by themselves."""
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
    """The exit code, once all of standard output is written."""
    try:
        sys.stdout.flush()
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            return code or _FAILED
        print_error(unwritable(error), UNWRITABLE)
        return code or _FAILED
    return code


def unwritable(error: OSError) -> str:
    """What is reported where standard output cannot be written."""
    return f"the result could not be written to standard output: {error.strerror}"


def _report(error: BaseException) -> None:
    from istio_mc.cli.streams import OutputClosedError, OutputError

    # A shell that completes a line gets no message into it; a reader that is gone has seen enough.
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
    """Writes the envelope where JSON or YAML is asked for, and nothing was written yet; JSON is YAML."""
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


def _in_words(error: BaseException) -> str:
    """Kind and message of an error, in one line, without secrets."""
    try:
        first, *_ = _redacted(str(error)).splitlines() or [""]
    except Exception:  # noqa: BLE001 - what cannot be redacted is not shown
        first = ""
    kind = type(error).__name__
    return f"{kind}: {first[:_MOST_OF_A_MESSAGE]}" if first else kind


def _crash_file(error: BaseException) -> str:
    """The file with the traceback; why there is none."""
    try:
        import tempfile

        handle, path = tempfile.mkstemp(prefix="istio-mc-internal-", suffix=".txt")  # 0600
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(_traceback(error))
    except Exception as why:  # noqa: BLE001 - a full disk, or no memory left
        return f"none could be written ({type(why).__name__})"
    return path


def _traceback(error: BaseException) -> str:
    """Where an error came from: files, lines and messages; no secrets, and no values of variables."""
    import platform
    import traceback

    from istio_mc import __version__

    try:
        lines = "".join(traceback.format_exception(error))[-_MOST_OF_A_TRACEBACK:]
        text = _redacted(f"istio-mc {' '.join(sys.argv[1:])}\n\n{lines}")
    except Exception:  # noqa: BLE001 - what cannot be redacted is not written
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
    """Ends the process at once: worker threads may sit in a network call that only its timeout ends.

    What was to be done at exit is done: it stops children, and removes private files. Python's own end would
    also take all modules apart, for a quarter of the CPU of a short run.
    """
    try:
        import atexit

        from istio_mc.gateways.host import signals

        signals.end()
        atexit._run_exitfuncs()  # noqa: SLF001 - os._exit passes them over, and nothing else calls them
    finally:
        os._exit(code)
