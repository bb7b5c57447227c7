"""Where every verb begins and ends: global options, progress, output, exit codes."""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

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
"""What `-o` takes beside table, JSON and YAML where the verb is verify."""

WIDE = "wide"
"""A table with more columns: what `-o` takes of those verbs that have them."""

_NEXT = ("short", "github")
"""Forms in which people read every error and warning: they are not told them again on standard error."""

CONFIG_VARIABLE = "ISTIO_MC_CONFIG"
_T = TypeVar("_T")
_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_DURATION = re.compile(rf"{_NUMBER}|(?:{_NUMBER}h)?(?:{_NUMBER}m)?(?:{_NUMBER}s)?(?:{_NUMBER}ms)?")
_PART = re.compile(rf"({_NUMBER})(ms|h|m|s)?")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def seconds(text: str, option: str) -> float:
    """A duration in seconds: `90s`, `10m`, `1h30m`, `1.5h`, `500ms`, or plain seconds.

    Raises:
        BadParameter: It is no duration, or not greater than 0; the message names the option.
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
    """The items of an option that may be repeated, and may be a list `a,b`; none of them is empty."""
    return tuple(part.strip() for text in texts or () for part in text.split(","))


def _output(text: str, also: Sequence[str]) -> str:
    """Checks what `-o` says, before anything else is done."""
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
    """The options every verb takes, before or after its name; `app.program` describes them."""

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
        """These options, with the other's where these are not given; lists add up."""
        return Options(
            **{name: _joined(getattr(self, name), getattr(other, name)) for name in GLOBAL_OPTIONS}
        )

    def of_hints(self) -> RunOptions:
        """Those that hints repeat, as other programs read them too."""
        files = self.kubeconfig.split(os.pathsep) if self.kubeconfig is not None else []
        return RunOptions(
            os.pathsep.join(map(os.path.expanduser, files)) or None,
            None if self.config is None else str(self.config),
        )

    def inputs(self, timeout: str = "10m") -> Inputs:
        """The options as the ops layer takes them.

        Args:
            timeout: The deadline of this verb where none is given.
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


def _joined(one: Any, other: Any) -> Any:  # noqa: ANN401 - whatever type the option has
    if isinstance(one, list) and isinstance(other, list):
        return [*other, *one]  # as they stand on the command line: first those before the verb
    return other if one is None else one


def pop_options(ctx: Context) -> Options:
    """Takes the options of every command out of the parameters of one; those before its name count less."""
    params = {name: ctx.params.pop(name) for name in GLOBAL_OPTIONS}
    # One that may be repeated and was not given is an empty tuple where Typer has not converted it.
    params["contexts"] = [*(params["contexts"] or ())] or None
    given = Options(**params)
    return given if ctx.obj is None else given.over(ctx.obj)


def with_environment(options: Options, ctx: Context) -> Options:
    """The options of a run: where no settings file is given, the environment's.

    Raises:
        BadParameter: That one would be used, and is empty.
    """
    text = os.environ.get(CONFIG_VARIABLE)
    if options.config is not None or text is None:
        return options
    if is_empty(text):
        raise typer.BadParameter(empty_variable(CONFIG_VARIABLE, "--config"), ctx=ctx)
    return replace(options, config=Path(text))


def is_empty(text: object) -> bool:
    """Whether a text is there and names nothing."""
    return isinstance(text, str) and not text.strip()


def empty_variable(variable: str, option: str) -> str:
    """What is wrong with an environment variable that stands for an option and is set to nothing."""
    return f"${variable}: set but empty; unset it, or pass {option}"


def run(
    command: str, options: Options, work: Callable[[Progress], Report], *, formats: Sequence[str] = ()
) -> NoReturn:
    """Runs a verb to its exit code.

    People's results and JSON go to standard output; progress, warnings and errors to standard error.

    Args:
        formats: What `-o` takes for this verb beside table, JSON and YAML.
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
            unwritten = _put_out(command, output, report, color=color)
            if output not in _NEXT and not (output == "table" and report.renders_problems):
                print_problems(errors_to, report.warnings, style="yellow", title="warning")
                _print_errors(errors_to, report.errors)
            print_problems(errors_to, unwritten, style="red", title="error")
    except BaseException as error:
        # Another error may have taken the place of the interrupt: of a write to a terminal that is gone.
        if signals.received() or isinstance(error, KeyboardInterrupt):
            interruption.end()
        raise
    if signals.received():
        interruption.end()  # raised where Python drops exceptions, in a destructor
    raise typer.Exit(int(Exit.FAILED if unwritten else report.exit))


def _report(command: str, work: Callable[[Progress], Report], progress: Progress) -> Report:
    """What a verb returns, or a report of what it raised."""
    from istio_mc.gateways.host import signals

    try:
        return work(progress)
    except (OutputError, OutputClosedError):
        raise  # standard output is not the verb's
    except Exception as error:
        if signals.received():
            raise  # it came of the interrupt
        return _failed(command, error)


def _print_errors(to: Console, errors: Iterable[Problem]) -> None:
    """Prints errors for people; an internal one is a single line."""
    from istio_mc.cli import last_resort
    from istio_mc.domain.problem import Code
    from istio_mc.present.output.problems import print_problems

    for error in errors:
        if error.code is Code.INTERNAL:
            last_resort.print_error(error.message)
    known = [error for error in errors if error.code is not Code.INTERNAL]
    print_problems(to, known, style="red", title="error")


def _failed(command: str, error: Exception) -> Report:
    """What a run comes to that ended by an error."""
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


def _put_out(command: str, output: str, report: Report, *, color: bool) -> tuple[Problem, ...]:
    """Writes the result to standard output; why that failed."""
    from istio_mc.domain.problem import Code, Problem
    from istio_mc.present.output import terminal

    try:
        if output == "table":
            report.render(terminal.console(color=color))
        else:
            write_document(command, output, report)
        sys.stdout.flush()
    except BrokenPipeError:
        raise  # who reads has seen enough
    except OSError as error:
        message = "the result could not be written to standard output"
        return (Problem(code=Code.FILE_UNWRITABLE, message=message, seen=error.strerror),)
    return ()


def write_document(command: str, output: str, report: Report) -> None:
    """Writes what goes to standard output where that is no table."""
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
    """Whether colours may be used: neither --no-color nor NO_COLOR says no."""
    return not options.no_color and not os.environ.get("NO_COLOR")


def confirm(question: str, *, yes: bool, typed: str | None = None) -> None:
    """Asks before something is removed or restarted.

    Args:
        typed: What a person has to type, where a mere y is not enough.

    Raises:
        InputError: There is no terminal to ask at and no `--yes`; or it was not confirmed.
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
    """What a person answers, while no progress moves on the screen; None: nothing, for they pressed Ctrl-D.

    Raises:
        KeyboardInterrupt: They pressed Ctrl-C.
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
    """Keeps what Typer writes beside a question, one space, out of a pipe or a file, which is for results."""
    if sys.stdout.isatty():
        yield
        return
    with redirect_stdout(sys.stderr):
        yield


def print_notice(text: str) -> None:
    """Says on standard error what is about to happen, whatever progress is shown."""
    from istio_mc.present.output.terminal import paused

    with paused():
        typer.echo(text, err=True)


def _print_calls() -> None:
    """Has the gateways tell what they ask and run, on standard error; no body and no argument is in it."""
    import logging

    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(relativeCreated)7.0f ms  %(message)s"))
    logger = logging.getLogger("istio_mc")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.DEBUG)


def _nothing(_console: object) -> None:
    """Renders nothing: all there is to say is in the errors."""


def leave(code: int) -> NoReturn:
    """Ends the process at once, as `last_resort.end` does, with standard output written."""
    from istio_mc.cli import last_resort

    last_resort.end(last_resort.flushed(code))
