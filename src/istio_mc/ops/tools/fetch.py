"""tools install, tools download: programs and manifests brought in place, several at once."""

from __future__ import annotations

import math
import os
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from istio_mc.domain.events import Event, Progress, State, silent
from istio_mc.domain.hint import Advice
from istio_mc.domain.istio.hazards import analyze
from istio_mc.domain.problem import Code, InputError, Problem, ProblemError
from istio_mc.domain.tools import Artifact, Platform, Tool, artifact, parse_platform, parse_version
from istio_mc.gateways.host import files
from istio_mc.gateways.host.parallel import all_of
from istio_mc.gateways.istio.releases import release_table
from istio_mc.gateways.tools import install as gateway
from istio_mc.gateways.tools.cache import sha256_of
from istio_mc.gateways.tools.download import Downloader
from istio_mc.gateways.tools.find import BIN_DIR_VARIABLE, own_platform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from istio_mc.domain.settings.model import Settings
    from istio_mc.gateways.tools.cache import Cache
    from istio_mc.gateways.tools.download import OnProgress

_AT_ONCE = 4
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Choice:
    """What is to be brought, as flags and mesh.yaml say it."""

    artifacts: tuple[Artifact, ...]
    bin_dir: Path | None = None


class Outcome(StrEnum):
    """What became of one file."""

    INSTALLED = "installed"
    DOWNLOADED = "downloaded"
    UNCHANGED = "unchanged"
    PLANNED = "planned"
    FAILED = "failed"

    @property
    def verb(self) -> str:
        """Its step's name, for progress."""
        return self.removesuffix("ed")


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """What became of one file.

    Attributes:
        source: Where it was, or would be, had from: a URL, or a file of a folder filled before.
    """

    artifact: Artifact
    path: Path
    outcome: Outcome
    source: str
    sha256: str | None = None
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class FetchResult:
    """What became of all of them."""

    tools: tuple[ToolOutcome, ...]
    folder: Path
    warnings: tuple[Problem, ...] = ()

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Every Problem of every file."""
        return tuple(problem for tool in self.tools for problem in tool.problems)


def choose(
    settings: Settings,
    *,
    names: Iterable[str] = (),
    versions: Mapping[Tool, str | None] | None = None,
    platforms: Iterable[str] = (),
    bin_dir: Path | None = None,
) -> Choice:
    """What flags and mesh.yaml ask for.

    Args:
        versions: Flags; they win over mesh.yaml, whose digests hold for mesh.yaml's own versions only.

    Raises:
        InputError: A name, version or platform is none.
    """
    faults: list[Problem] = []
    tools = _named(names, faults)
    given: dict[Tool, str] = {}
    for tool, text in (versions or {}).items():
        with _noted(faults):
            if text is not None:
                given[tool] = parse_version(tool, text)
    chosen: list[Platform] = []
    for text in platforms:
        with _noted(faults):
            chosen.append(parse_platform(text))
    if not chosen:
        with _noted(faults):
            chosen.append(own_platform())
    if faults:
        raise InputError(*faults)
    made = [
        artifact_of(settings, tool, platform, given.get(tool))
        for tool in tools
        for platform in (dict.fromkeys(chosen) if tool.is_program else chosen[:1])
    ]
    return Choice(tuple(made), bin_dir or settings.tools.bin_dir)


def artifact_of(settings: Settings, tool: Tool, platform: Platform, version: str | None = None) -> Artifact:
    """Where a tool is published (or mirrored), with the digest mesh.yaml has for it.

    Args:
        settings: mesh.yaml's, with a version for each tool; its digests hold for its own versions only.
    """
    ours = settings.tool_version(tool) or version
    if ours is None:
        raise ValueError(f"{tool}: its version is not settled")
    digest = settings.digest(tool, platform) if version in (None, ours) else None
    return artifact(tool, version or ours, platform, mirror=settings.mirror(tool), sha256=digest)


def install(
    choice: Choice,
    cache: Cache,
    source: gateway.Source,
    progress: Progress = silent,
    *,
    search_path: str = "",
    dry_run: bool = False,
    deadline: float = math.inf,
) -> FetchResult:
    """Puts the chosen tools in place, several at once; what is there already stays.

    Args:
        search_path: $PATH, to say where the programs' folder is missing on it.

    Raises:
        InputError: One folder cannot hold the same program for two platforms.
    """
    _refuse_two_platforms(choice)

    def one(item: Artifact) -> ToolOutcome:
        target = gateway.target_of(item, cache, choice.bin_dir)
        return _fetched(
            item,
            target,
            Outcome.INSTALLED,
            progress,
            source=source.place(item),
            is_there=lambda: gateway.is_installed(item, target, cache),
            fetch=lambda on_progress: gateway.install(item, target, cache, source, on_progress, deadline),
            dry_run=dry_run,
        )

    tools = _all(choice, one)
    warnings = (*_unencrypted(choice), *_off_path(choice, search_path), *_analyzing(choice))
    return FetchResult(tools, choice.bin_dir or cache.folder, warnings)


def download(
    choice: Choice,
    folder: Path,
    source: gateway.Source,
    progress: Progress = silent,
    *,
    dry_run: bool = False,
) -> FetchResult:
    """Fills a folder for `install` on a site without internet; what is there already stays."""

    def one(item: Artifact) -> ToolOutcome:
        return _fetched(
            item,
            gateway.in_folder(folder, item),
            Outcome.DOWNLOADED,
            progress,
            source=source.place(item),
            is_there=lambda: gateway.is_downloaded(item, folder),
            fetch=lambda on_progress: gateway.download(item, folder, source, on_progress),
            dry_run=dry_run,
        )

    return FetchResult(_all(choice, one), folder, (*_unencrypted(choice), *_analyzing(choice)))


@contextmanager
def online(cache: Cache, deadline: float, progress: Progress = silent) -> Iterator[gateway.Source]:
    """The publishers' servers, or the mirrors; `deadline` is a `time.monotonic()` value."""
    with closing(Downloader(cache, deadline, progress)) as downloader:
        yield gateway.Online(downloader)


def _named(names: Iterable[str], faults: list[Problem]) -> tuple[Tool, ...]:
    desired = tuple(names)
    known = {str(tool): tool for tool in Tool}
    faults += [
        Problem(
            code=Code.TOOL_UNKNOWN,
            message=f"{name!r} is not a tool that can be installed",
            expected=", ".join(known),
        )
        for name in desired
        if name not in known
    ]
    return tuple(tool for name, tool in known.items() if not desired or name in desired)


@contextmanager
def _noted(faults: list[Problem]) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        faults += error.problems


def _refuse_two_platforms(choice: Choice) -> None:
    platforms = {str(item.platform) for item in choice.artifacts if item.platform}
    if choice.bin_dir and len(platforms) > 1:
        raise InputError.of(
            code=Code.TWO_PLATFORMS,
            message=f"{choice.bin_dir} cannot contain the same programs for two platforms",
            seen=", ".join(sorted(platforms)),
            expected="one --platform",
            hint=Advice("one --bin-dir for each platform, or the private cache for all"),
        )


def _all(choice: Choice, one: Callable[[Artifact], ToolOutcome]) -> tuple[ToolOutcome, ...]:
    return tuple(
        all_of({str(item): partial(one, item) for item in choice.artifacts}, concurrency=_AT_ONCE).values()
    )


def _fetched(
    item: Artifact,
    target: Path,
    done: Outcome,
    progress: Progress,
    *,
    source: str,
    is_there: Callable[[], bool],
    fetch: Callable[[OnProgress], None],
    dry_run: bool,
) -> ToolOutcome:
    """One file, whose faults are its own: the others go on."""
    subject = str(item.tool) + (f" {item.platform}" if item.platform else "")

    def report(state: State, detail: str = "", fraction: float | None = None) -> None:
        progress(Event(None, done.verb, state, detail, subject=subject, fraction=fraction))

    try:
        if is_there():
            report(State.UNCHANGED, str(target))
            return ToolOutcome(item, target, Outcome.UNCHANGED, source, sha256_of(target))
        if dry_run:
            return ToolOutcome(item, target, Outcome.PLANNED, source)
        report(State.STARTED, source)
        fetch(_steps(report))
        report(State.DONE, str(target))
        return ToolOutcome(item, target, done, source, sha256_of(target))
    except ProblemError as error:
        report(State.FAILED, error.problems[0].message)
        return ToolOutcome(item, target, Outcome.FAILED, source, problems=error.problems)


def _steps(report: Callable[[State, str, float | None], None]) -> OnProgress:
    """Tells of every whole percent, or MiB where the size is not known, once."""
    last = -1

    def on_progress(done: int, total: int | None) -> None:
        nonlocal last
        step = done * 100 // total if total else done // _MIB
        if step != last:
            last = step
            size = f"{done / _MIB:.1f} of {total / _MIB:.1f} MiB" if total else f"{done / _MIB:.1f} MiB"
            report(State.WAITING, size, done / total if total else None)

    return on_progress


def _unencrypted(choice: Choice) -> tuple[Problem, ...]:
    """Says so where a checksum proves nothing: it came over the same open line as the file."""
    local = {"localhost", "127.0.0.1", "::1"}
    open_lines = {}
    for item in choice.artifacts:
        url = urlsplit(item.url)
        if url.scheme == "http" and url.hostname not in local and not item.sha256:
            open_lines[url.netloc] = item.tool
    return tuple(
        Problem(
            code=Code.MIRROR_UNENCRYPTED,
            message=f"{host} is read over http://: file and checksum can be changed in transit",
            expected="an https:// mirror, or digests in mesh.yaml",
            hint=Advice(f"set tools.{tool.key}.sha256 in mesh.yaml"),
        )
        for host, tool in open_lines.items()
    )


def _analyzing(choice: Choice) -> Iterator[Problem]:
    """The versions of istioctl among them whose `analyze` runs what remote secrets contain."""
    versions = dict.fromkeys(one.version for one in choice.artifacts if one.tool is Tool.ISTIOCTL)
    yield from filter(None, (analyze(release_table(), version) for version in versions))


def _off_path(choice: Choice, search_path: str) -> tuple[Problem, ...]:
    """Says so where a folder of programs is one that neither a shell nor a verb would look in."""
    if choice.bin_dir is None:
        return ()
    folder = files.absolute(choice.bin_dir)
    search_folders = {files.absolute(Path(part)) for part in search_path.split(os.pathsep) if part}
    if folder in search_folders:
        return ()
    return (
        Problem(
            code=Code.BIN_DIR_OFF_PATH,
            message=f"{folder} is not on PATH",
            expected="a folder that shells and the other verbs look in",
            hint=Advice(
                f"export PATH={folder}:$PATH, or {BIN_DIR_VARIABLE}={folder}, or tools.binDir in mesh.yaml"
            ),
        ),
    )
