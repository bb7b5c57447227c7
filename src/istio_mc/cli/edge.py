"""Where every verb begins and ends: global options, progress, output, exit codes."""

from __future__ import annotations

import functools
import inspect
import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar, get_type_hints

import typer

from istio_mc import __version__
from istio_mc.cli import commands, completers
from istio_mc.cli.streams import OutputClosedError, OutputError
from istio_mc.domain.hint import Advice, RunOptions, istio_mc
from istio_mc.domain.text import printable
from istio_mc.present.output.hints import printed_with

if TYPE_CHECKING:
    from rich.console import Console

    from istio_mc.domain.events import Progress
    from istio_mc.domain.problem import Problem
    from istio_mc.ops.session.inputs import Inputs
    from istio_mc.present.output.envelope import Report

    __all__ = ["Progress", "Report"]

VERIFY_FORMATS = ("short", "junit", "github")
"""What `-o` takes beside table, JSON and YAML where the verb is verify."""

WIDE = "wide"
"""A table with more columns: what `-o` takes of those verbs that have them."""

_SAYS_ALL = ("short", "github")
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
    found = _DURATION.fullmatch(text.strip())
    parts = [(float(number), unit or "s") for number, unit in _PART.findall(text)] if found else []
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
    """The options every verb takes, before or after its name."""

    kubeconfig: Annotated[
        str | None,
        typer.Option(
            metavar="FILES",
            help="Kubeconfig files, as in $KUBECONFIG [default: $KUBECONFIG, ~/.kube/config].",
        ),
    ] = None
    contexts: Annotated[
        list[str] | None,
        typer.Option(
            "--contexts",
            "--context",
            metavar="A,B",
            help="Contexts of the clusters; repeated, they add up "
            "[default: those of mesh.yaml, else the members].",
            autocompletion=completers.contexts,
        ),
    ] = None
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Settings file [default: $ISTIO_MC_CONFIG, else ./mesh.yaml where there is one].",
            dir_okay=False,
        ),
    ] = None
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FORMAT",
            autocompletion=completers.formats,
            help="table, json or yaml; contexts: wide; verify: short, junit or github [default: table].",
        ),
    ] = None
    timeout: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Deadline of the whole run [default: 10m].")
    ] = None
    concurrency: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Clusters worked on at once [default: 16].")
    ] = None
    verbose: Annotated[
        bool | None, typer.Option("--verbose", "-v", help="Log every API call and child process.")
    ] = None
    no_progress: Annotated[bool | None, typer.Option("--no-progress", help="Show no progress.")] = None
    no_color: Annotated[bool | None, typer.Option("--no-color", help="No colours; so does NO_COLOR.")] = None

    def over(self, other: Options) -> Options:
        """These options, with the other's where these are not given; lists add up."""
        return Options(
            **{f.name: _joined(getattr(self, f.name), getattr(other, f.name)) for f in fields(self)}
        )

    def of_hints(self) -> RunOptions:
        """Those that hints repeat, as other programs read them too."""
        files = self.kubeconfig.split(os.pathsep) if self.kubeconfig is not None else []
        return RunOptions(
            os.pathsep.join(map(os.path.expanduser, files)) or None,
            None if self.config is None else str(self.config),
        )

    def inputs(self) -> Inputs:
        """What the ops layer is told of them."""
        from istio_mc.ops.session.inputs import Inputs

        return Inputs(
            kubeconfig=self.kubeconfig,
            contexts=each(self.contexts),
            config=self.config,
            timeout_s=seconds(self.timeout or "10m", "--timeout"),
            concurrency=self.concurrency or 16,
        )


def _joined(one: Any, other: Any) -> Any:  # noqa: ANN401 - whatever type the option has
    if isinstance(one, list) and isinstance(other, list):
        return [*other, *one]  # as they stand on the command line: first those before the verb
    return other if one is None else one


_before_the_verb = Options()


def root_callback(**given: Any) -> None:
    """Keeps the options given before the verb."""
    global _before_the_verb  # noqa: PLW0603 - one process runs one command line
    del given["version"]  # told and done before this
    _before_the_verb = Options(**given)


def group_callback(**given: Any) -> None:
    """Keeps the options given between a group's name and the verb."""
    global _before_the_verb  # noqa: PLW0603 - likewise
    _before_the_verb = Options(**given).over(_before_the_verb)


def _merged(after_the_verb: Options) -> Options:
    """The options of a run: those after the verb, those before it, and the environment's, in this order.

    Raises:
        BadParameter: The environment's would be used, and is empty.
    """
    options = after_the_verb.over(_before_the_verb)
    text = os.environ.get(CONFIG_VARIABLE)
    if options.config is not None or text is None:
        return options
    if commands.is_empty(text):
        raise typer.BadParameter(commands.empty_variable(CONFIG_VARIABLE, "--config"))
    return replace(options, config=Path(text))


@functools.cache  # every verb has them, and evaluating their hints for each was a tenth of `--help`
def _option_parameters() -> tuple[inspect.Parameter, ...]:
    hints = get_type_hints(Options, include_extras=True)
    return tuple(
        inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=hints[f.name])
        for f in fields(Options)
    )


def _tell_version(asked: bool) -> None:
    if asked:
        typer.echo(f"istio-mc {__version__}")
        raise typer.Exit


_VERSION = inspect.Parameter(
    "version",
    inspect.Parameter.KEYWORD_ONLY,
    default=False,
    annotation=Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_tell_version),
    ],
)
_of_the_root = (*_option_parameters(), _VERSION)
root_callback.__signature__ = inspect.Signature(_of_the_root)  # type: ignore[attr-defined] # Typer reads it
root_callback.__annotations__ = {p.name: p.annotation for p in _of_the_root}
group_callback.__signature__ = inspect.Signature(_option_parameters())  # type: ignore[attr-defined] # likewise
group_callback.__annotations__ = {p.name: p.annotation for p in _option_parameters()}


def verb(function: Callable[..., None]) -> Callable[..., None]:
    """Gives a verb the global options; it is called with `options` and its own parameters."""
    hints = get_type_hints(function, include_extras=True)
    own = [
        p.replace(annotation=hints[name])
        for name, p in inspect.signature(function).parameters.items()
        if name != "options"
    ]
    shared = _option_parameters()

    @functools.wraps(function)
    def run(**given: Any) -> None:
        options = Options(**{p.name: given.pop(p.name) for p in shared})
        merged = _merged(options)
        with printed_with(merged.of_hints()):
            function(options=merged, **given)

    own = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
    run.__signature__ = inspect.Signature([*own, *shared])  # type: ignore[attr-defined] # Typer reads it
    run.__annotations__ = {p.name: p.annotation for p in [*own, *shared]}
    return run


def run(
    command: str, options: Options, work: Callable[[Progress], Report], *, formats: Sequence[str] = ()
) -> NoReturn:
    """Runs a verb to its exit code.

    People's results and JSON go to standard output; progress, warnings and errors to standard error.

    Args:
        command: The verb, as the JSON envelope names it.
        options: The options every verb takes.
        work: Does it.
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
        _tell_calls()
    interruption = Interruption(command, output, errors_to, write_document)
    try:
        with signals.interrupting(interruption.end_at_last):
            temporary.remove_abandoned()
            with terminal.progress(errors_to, wanted=not options.no_progress) as progress:
                report = _report(command, work, interruption.done.and_to(progress))
            interruption.is_reported = True
            unwritten = _put_out(command, output, report, color=color)
            if output not in _SAYS_ALL and not (output == "table" and report.renders_problems):
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
    from istio_mc.domain.codes import Code
    from istio_mc.present.output.problems import print_problems

    for error in errors:
        if error.code is Code.INTERNAL:
            last_resort.say(error.message)
    known = [error for error in errors if error.code is not Code.INTERNAL]
    print_problems(to, known, style="red", title="error")


def _failed(command: str, error: Exception) -> Report:
    """What a run comes to that ended by an error."""
    from istio_mc.cli import last_resort
    from istio_mc.domain.codes import Code
    from istio_mc.domain.problem import InputError, Problem, ProblemError
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
    from istio_mc.domain.codes import Code
    from istio_mc.domain.problem import Problem
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
        told = "the result could not be written to standard output"
        return (Problem(code=Code.FILE_UNWRITABLE, message=told, seen=error.strerror),)
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
        encoding.write(encoding.Texts(special, lambda: encoding.references(special())))
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
        question: What will be done, and how it is confirmed.
        yes: Whether `--yes` was given: there is no question then.
        typed: What a person has to type, where a mere y is not enough.

    Raises:
        InputError: There is no terminal to ask at and no `--yes`; or it was not confirmed.
    """
    from istio_mc.domain.codes import Code
    from istio_mc.domain.problem import InputError, Problem

    if yes:
        return
    if not sys.stdin.isatty():
        raise InputError(
            Problem(
                code=Code.NOT_CONFIRMED,
                message="confirmation required, but stdin is not a terminal; pass --yes",
                expected="--yes",
                hint=Advice("the same command with --yes"),
            )
        )
    if typed is None:
        agreed = answer(lambda: typer.confirm(question, err=True))
    else:
        text: str | None = answer(lambda: typer.prompt(question, default="", show_default=False, err=True))
        agreed = text is not None and text.strip() == typed
    if not agreed:
        raise InputError(Problem(code=Code.NOT_CONFIRMED, message="not confirmed; nothing was changed"))


def answer(question: Callable[[], _T]) -> _T | None:
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


def tell(text: str) -> None:
    """Says on standard error what is about to happen, whatever progress is shown."""
    from istio_mc.present.output.terminal import paused

    with paused():
        typer.echo(text, err=True)


def _tell_calls() -> None:
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
    """Ends the process at once: worker threads may sit in a network call that only its timeout ends.

    What was to be done at exit is done: it stops children, and removes private files.
    """
    from istio_mc.cli import last_resort

    last_resort.end(last_resort.flushed(code))
