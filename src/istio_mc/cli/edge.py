"""Start and end of every command: global options, progress, output, exit codes."""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer

from istio_mc.cli.streams import OutputClosedError, OutputError
from istio_mc.domain.hint import Advice, RunOptions, istio_mc
from istio_mc.domain.text import printable

if TYPE_CHECKING:
    from rich.console import Console
    from typer._click import Context

    from istio_mc.domain.events import Progress
    from istio_mc.domain.problem import Problem
    from istio_mc.ops.session.inputs import Inputs
    from istio_mc.present.output.envelope import Report

    __all__ = ["Progress", "Report"]

VERIFY_FORMATS = ("short", "junit", "github")
"""Formats of `-o` for verify, in addition to table, JSON and YAML."""

WIDE = "wide"
"""A table with more columns: a format of `-o` for commands that have one."""

_NEXT = ("short", "github")
"""Formats that show every error and warning: these are not repeated on standard error."""

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done; change nothing.")]

CONFIG_VARIABLE = "ISTIO_MC_CONFIG"
_T = TypeVar("_T")
_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_DURATION = re.compile(rf"{_NUMBER}|(?:{_NUMBER}h)?(?:{_NUMBER}m)?(?:{_NUMBER}s)?(?:{_NUMBER}ms)?")
_PART = re.compile(rf"({_NUMBER})(ms|h|m|s)?")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def seconds(text: str, option: str) -> float:
    """A duration in seconds: `90s`, `10m`, `1h30m`, `1.5h`, `500ms`, or plain seconds.

    Raises:
        BadParameter: Invalid duration, or not greater than 0; the message names the option.
    """
    match = _DURATION.fullmatch(text.strip())
    parts = [(float(number), unit or "s") for number, unit in _PART.findall(text)] if match else []
    if not parts:
        raise typer.BadParameter(
            f'{option}: invalid duration "{printable(text)}"; use for example 90s, 10m, 1h30m, 1.5h or 500ms'
        )
    total = sum(number * _UNITS[unit] for number, unit in parts)
    if not 0 < total < math.inf:
        raise typer.BadParameter(f'{option}: duration "{printable(text)}" must be greater than 0')
    return total


def each(texts: Iterable[str] | None) -> tuple[str, ...]:
    """The items of a repeatable option whose values can be lists `a,b`; none of them is empty."""
    return tuple(part.strip() for text in texts or () for part in text.split(","))


def _output(text: str, also: Sequence[str]) -> str:
    """Validates the value of `-o`, before any other work."""
    known = ("table", "json", "yaml", *also)
    if text in known:
        return text
    if text in VERIFY_FORMATS:
        raise typer.BadParameter(f"--output: {text} is for verify only; use {_choice(known)}")
    raise typer.BadParameter(f'--output: unknown format "{printable(text)}"; use {_choice(known)}')


def _choice(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


@dataclass(frozen=True)
class Options:
    """The options of every command, before or after its name; `app.program` describes them."""

    kubeconfig: str | None = None
    contexts: list[str] | None = None
    config: Path | None = None
    output: str | None = None
    timeout: str | None = None
    concurrency: int | None = None
    verbose: bool | None = None
    no_progress: bool | None = None
    no_color: bool | None = None

    def over(self, other: Options) -> Options:
        """Returns these options, completed by the other's values; lists are joined."""
        return Options(
            **{name: _joined(getattr(self, name), getattr(other, name)) for name in GLOBAL_OPTIONS}
        )

    def of_hints(self) -> RunOptions:
        """Returns the options that hints repeat, with values as other programs read them."""
        files = self.kubeconfig.split(os.pathsep) if self.kubeconfig is not None else []
        return RunOptions(
            os.pathsep.join(map(os.path.expanduser, files)) or None,
            None if self.config is None else str(self.config),
        )

    def inputs(self, timeout: str = "10m") -> Inputs:
        """Returns the options in the form for the ops layer.

        Args:
            timeout: The default deadline of this command.
        """
        from istio_mc.ops.session.inputs import Inputs

        return Inputs(
            kubeconfig=self.kubeconfig,
            contexts=each(self.contexts),
            config=self.config,
            timeout_s=seconds(self.timeout or timeout, "--timeout"),
            concurrency=self.concurrency or 16,
        )


GLOBAL_OPTIONS = frozenset(field.name for field in fields(Options))


def _joined(one: Any, other: Any) -> Any:  # noqa: ANN401 - a value of any type
    if isinstance(one, list) and isinstance(other, list):
        return [*other, *one]  # in the order of the command line: first those before the command
    return other if one is None else one


def pop_options(ctx: Context) -> Options:
    """Removes the common options from a command's parameters; those after its name have precedence."""
    params = {name: ctx.params.pop(name) for name in GLOBAL_OPTIONS}
    # A repeatable option that was not given is an empty tuple if Typer has not converted it.
    params["contexts"] = [*(params["contexts"] or ())] or None
    given = Options(**params)
    return given if ctx.obj is None else given.over(ctx.obj)


def with_environment(options: Options, ctx: Context) -> Options:
    """Returns the options of a run; without --config, the settings file is the environment's.

    Raises:
        BadParameter: The environment variable is required but empty.
    """
    text = os.environ.get(CONFIG_VARIABLE)
    if options.config is not None or text is None:
        return options
    if is_empty(text):
        raise typer.BadParameter(empty_variable(CONFIG_VARIABLE, "--config"), ctx=ctx)
    return replace(options, config=Path(text))


def is_empty(text: object) -> bool:
    """Whether a text is given but has no content."""
    return isinstance(text, str) and not text.strip()


def empty_variable(variable: str, option: str) -> str:
    """The message for an environment variable that replaces an option and is empty."""
    return f"${variable}: set but empty; unset it, or pass {option}"


def run(
    command: str, options: Options, work: Callable[[Progress], Report], *, formats: Sequence[str] = ()
) -> NoReturn:
    """Runs a command and exits with its exit code.

    Results go to standard output; progress, warnings and errors to standard error.

    Args:
        formats: Formats of `-o` for this command, in addition to table, JSON and YAML.
    """
    from istio_mc.cli import last_resort
    from istio_mc.cli.interrupted import Interruption
    from istio_mc.gateways.host import signals, temporary
    from istio_mc.present.output import terminal
    from istio_mc.present.output.envelope import Exit
    from istio_mc.present.output.problems import print_problems

    output = _output(options.output or "table", formats).replace(WIDE, "table")
    last_resort.begun.command = command
    color = colored(options)
    errors_to = terminal.console(stderr=True, color=color)
    if options.verbose:
        _print_calls()
    interruption = Interruption(command, output, errors_to, write_document)
    try:
        with signals.interrupting(interruption.end_at_last):
            temporary.remove_abandoned()
            with terminal.progress(errors_to, enabled=not options.no_progress) as progress:
                report = _report(command, work, interruption.done.and_to(progress))
            interruption.is_reported = True
            unwritten = _write_result(command, output, report, color=color)
            if output not in _NEXT and not (output == "table" and report.renders_problems):
                print_problems(errors_to, report.warnings, style="yellow", title="warning")
                _print_errors(errors_to, report.errors)
            print_problems(errors_to, unwritten, style="red", title="error")
    except BaseException as error:
        # Another error may have replaced the interrupt, for example a write to a closed terminal.
        if signals.received() or isinstance(error, KeyboardInterrupt):
            interruption.end()
        raise
    if signals.received():
        interruption.end()  # raised in a destructor, where Python drops exceptions
    raise typer.Exit(int(Exit.FAILED if unwritten else report.exit))


def _report(command: str, work: Callable[[Progress], Report], progress: Progress) -> Report:
    """Returns the report of a command, or a report of its exception."""
    from istio_mc.gateways.host import signals

    try:
        return work(progress)
    except (OutputError, OutputClosedError):
        raise  # an error of standard output, not of the command
    except Exception as error:
        if signals.received():
            raise  # the interrupt caused it
        return _failed(command, error)


def _print_errors(to: Console, errors: Iterable[Problem]) -> None:
    """Prints errors for people; an internal error is a single line."""
    from istio_mc.cli import last_resort
    from istio_mc.domain.problem import Code
    from istio_mc.present.output.problems import print_problems

    for error in errors:
        if error.code is Code.INTERNAL:
            last_resort.print_error(error.message)
    known = [error for error in errors if error.code is not Code.INTERNAL]
    print_problems(to, known, style="red", title="error")


def _failed(command: str, error: Exception) -> Report:
    """The report of a run that ended with an exception."""
    from istio_mc.cli import last_resort
    from istio_mc.domain.problem import Code, InputError, Problem, ProblemError
    from istio_mc.present.output.envelope import Exit
    from istio_mc.present.output.envelope import Report as Made

    if isinstance(error, ProblemError):
        code = Exit.USAGE if isinstance(error, InputError) else Exit.FAILED
        return Made({}, _nothing, error.problems, warnings=error.warnings, exit=code)
    if isinstance(error, typer.BadParameter):
        hint = Advice(istio_mc(*command.split(), "--help"))
        return Made(
            {}, _nothing, (Problem(code=Code.USAGE, message=error.message, hint=hint),), exit=Exit.USAGE
        )
    crash = Problem(code=Code.INTERNAL, message=last_resort.message_of(error))
    return Made({}, _nothing, (crash,), exit=Exit.FAILED)


def _write_result(command: str, output: str, report: Report, *, color: bool) -> tuple[Problem, ...]:
    """Writes the result to standard output; returns the problems of that."""
    from istio_mc.domain.problem import Code, Problem
    from istio_mc.present.output import terminal

    try:
        if output == "table":
            report.render(terminal.console(color=color))
        else:
            write_document(command, output, report)
        sys.stdout.flush()
    except BrokenPipeError:
        raise  # the reader has closed the pipe
    except OSError as error:
        message = "the result could not be written to standard output"
        return (Problem(code=Code.FILE_UNWRITABLE, message=message, seen=error.strerror),)
    return ()


def write_document(command: str, output: str, report: Report) -> None:
    """Writes a result that is not a table to standard output."""
    from istio_mc.cli import last_resort
    from istio_mc.present.output import encoding
    from istio_mc.present.output.envelope import Envelope

    def special() -> str:
        if output in report.formats:
            return report.formats[output]()
        from istio_mc.present.verify.summary import PROBLEMS

        return PROBLEMS[output](report.errors, report.warnings)

    if output == "junit":
        encoding.write(encoding.Texts.of_document(special, lambda: encoding.references(special())))
    elif output in report.formats or output in VERIFY_FORMATS:
        sys.stdout.write(special())
    else:
        envelope = Envelope(command, report.exit, report.data or None, report.errors, report.warnings)
        encoding.write(envelope.texts(output))
    last_resort.begun.answered = True


def colored(options: Options) -> bool:
    """Whether colours may be used: neither --no-color nor NO_COLOR is set."""
    return not options.no_color and not os.environ.get("NO_COLOR")


def confirm(question: str, *, yes: bool, typed: str | None = None) -> None:
    """Asks for confirmation before something is removed or restarted.

    Args:
        typed: The text that the user must type, if `y` is not enough.

    Raises:
        InputError: There is no terminal and no `--yes`; or the user did not confirm.
    """
    from istio_mc.domain.problem import Code, InputError

    if yes:
        return
    if not sys.stdin.isatty():
        raise InputError.of(
            code=Code.NOT_CONFIRMED,
            message="confirmation required, but stdin is not a terminal; pass --yes",
            expected="--yes",
            hint=Advice("the same command with --yes"),
        )
    if typed is None:
        agreed = prompt(lambda: typer.confirm(question, err=True))
    else:
        text: str | None = prompt(lambda: typer.prompt(question, default="", show_default=False, err=True))
        agreed = text is not None and text.strip() == typed
    if not agreed:
        raise InputError.of(code=Code.NOT_CONFIRMED, message="not confirmed; nothing was changed")


def prompt(question: Callable[[], _T]) -> _T | None:
    """Returns the user's input, with progress paused; None after Ctrl-D.

    Raises:
        KeyboardInterrupt: The user pressed Ctrl-C.
    """
    from istio_mc.present.output.terminal import paused

    with paused(), _standard_output_kept():
        try:
            return question()
        except typer.Abort as error:
            if isinstance(error.__context__, KeyboardInterrupt):
                raise KeyboardInterrupt from None
            return None


@contextmanager
def _standard_output_kept() -> Iterator[None]:
    """Keeps the one space of Typer's prompt out of a piped or redirected standard output."""
    if sys.stdout.isatty():
        yield
        return
    with redirect_stdout(sys.stderr):
        yield


def print_notice(text: str) -> None:
    """Prints a notice on standard error before an action, also while progress is shown."""
    from istio_mc.present.output.terminal import paused

    with paused():
        typer.echo(text, err=True)


def _print_calls() -> None:
    """Logs API calls and child processes on standard error, without bodies and arguments."""
    import logging

    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(relativeCreated)7.0f ms  %(message)s"))
    logger = logging.getLogger("istio_mc")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.DEBUG)


def _nothing(_console: object) -> None:
    """Renders nothing: the errors contain everything."""


def leave(code: int) -> NoReturn:
    """Ends the process at once, like `last_resort.end`, after it has flushed standard output."""
    from istio_mc.cli import last_resort

    last_resort.end(last_resort.flushed(code))
