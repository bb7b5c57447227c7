"""config: a first mesh.yaml, the effective settings with where each came from, and the JSON Schema."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from istio_mc.domain import naming
from istio_mc.domain.hint import Advice, istio_mc
from istio_mc.domain.problem import Code, InputError, Problem, ProblemError
from istio_mc.domain.settings.flags import API_SERVER, API_SERVER_CA, API_SERVER_NAME, GATEWAY_ADDRESS
from istio_mc.domain.settings.keys import fields_of
from istio_mc.domain.settings.model import ClusterSettings, Settings
from istio_mc.domain.settings.template import TemplateCluster, template
from istio_mc.gateways.host import files
from istio_mc.gateways.host.settings_file import (
    FILE_NAME,
    DocumentPath,
    YamlDocument,
    load_document,
)
from istio_mc.gateways.kube import kubeconfig
from istio_mc.ops.session.inputs import ISTIO_VERSION, refuse_unknown_clusters

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from istio_mc.domain.settings.flags import AssignedOption
    from istio_mc.domain.settings.keys import Field
    from istio_mc.ops.session.inputs import ClusterFlags, Inputs, Overrides

_File = tuple[Path | None, YamlDocument]

CONFIG_VARIABLE = "ISTIO_MC_CONFIG"
KUBECONFIG_VARIABLE = "KUBECONFIG"
_MODE = 0o644  # no secret is in it


class Source(StrEnum):
    """Where a value came from."""

    FLAG = "flag"
    FILE = "file"
    ENVIRONMENT = "environment"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Setting:
    """One effective setting.

    Attributes:
        key: Its place in mesh.yaml, clusters by context: `clusters[kt].network`; or the flag's name, without
            dashes, of what mesh.yaml does not hold.
        value: What holds; None: `otherwise` does.
        origin: The flag, `<file>:<line>` or the variable; None for a default.
        otherwise: What holds where there is no value, in words.
    """

    key: str
    value: str | bool | int | float | list[str] | None
    source: Source = Source.DEFAULT
    origin: str | None = None
    otherwise: str = ""


@dataclass(frozen=True, slots=True)
class Shown:
    """The effective settings.

    Attributes:
        folder: The working directory: a path in it needs no more than what follows.
    """

    file: Path | None
    settings: tuple[Setting, ...]
    folder: Path | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """A mesh.yaml to begin with."""

    file: Path | None
    text: str
    contexts: tuple[str, ...]
    warnings: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class ShowOptions:
    """What the user gave on the command line.

    Attributes:
        given: Names of the options that were given, such as "timeout".
    """

    inputs: Inputs
    overrides: Overrides
    given: frozenset[str]


def init(inputs: Inputs, *, force: bool, to_file: bool) -> Written:
    """Makes a mesh.yaml of the named contexts, and writes it unless asked not to.

    Args:
        inputs: `contexts` names the clusters; `config` is the file to write, ./mesh.yaml without it.

    Raises:
        InputError: No context is named, or one is unknown or unusable, or two are one cluster; or the file is
            there already.
        ProblemError: The file cannot be written.
    """
    merged = kubeconfig.read_kubeconfig(
        kubeconfig.kubeconfig_paths(inputs.kubeconfig, os.environ, files.home_folder()), inputs.read
    )
    if not inputs.contexts:
        known = [context.name for context in merged.contexts]
        raise InputError.of(
            code=Code.NO_CONTEXTS,
            message="no cluster is given",
            expected="the contexts of the clusters of the mesh",
            hint=Advice("name the clusters: ", istio_mc("config", "init", contexts=known)) if known else None,
        )
    contexts = merged.select(inputs.contexts)
    if faults := [fault for context in contexts for fault in context.problems]:
        raise InputError(*faults)
    if twice := naming.same_clusters(contexts):
        raise InputError(*twice)
    ids = naming.derive_cluster_ids({context.name: context.cluster for context in contexts}, {})
    text = template(
        [TemplateCluster(c.name, c.cluster, c.server or "?", cluster_id=ids[c.name]) for c in contexts]
    )
    file = Path(files.absolute(inputs.config or Path(FILE_NAME))) if to_file else None
    if file is not None:
        _write(file, text, force=force)
    return Written(file, text, tuple(context.name for context in contexts), merged.warnings)


def _write(file: Path, text: str, *, force: bool) -> None:
    try:
        files.write(file, text.encode(), mode=_MODE, exclusive=not force)
    except ProblemError as error:
        if error.problems[0].code != Code.FILE_EXISTS:
            raise
        raise InputError.of(
            code=Code.FILE_EXISTS,
            message=f"{file} already exists; nothing was overwritten",
            hint=Advice("--force replaces it; --stdout only shows what would be written"),
        ) from error


def show(options: ShowOptions, env: Mapping[str, str], cwd: Path, home: Path) -> Shown:
    """The effective settings; no cluster is asked and no kubeconfig is read.

    Raises:
        InputError: mesh.yaml is missing where it was asked for, or holds faults: all of them; or a flag does.
    """
    settings, document = load_document(options.inputs.config, cwd, options.inputs.read)
    contexts = options.inputs.contexts or tuple(cluster.context for cluster in settings.clusters)
    flags = options.overrides.flags()
    clusters = _overridden(flags, settings, contexts)
    return Shown(
        settings.file,
        (
            *_run(options, settings, document, env, home),
            *_mesh(options.overrides, settings, document),
            *(item for cluster in clusters for item in _cluster(flags, settings, cluster, document)),
        ),
        cwd,
    )


def _overridden(flags: ClusterFlags, settings: Settings, contexts: tuple[str, ...]) -> list[ClusterSettings]:
    refuse_unknown_clusters(flags.by_option, contexts)
    return [flags.over(settings.cluster(name)) for name in contexts]


def _run(
    options: ShowOptions, settings: Settings, document: YamlDocument, env: Mapping[str, str], home: Path
) -> Iterator[Setting]:
    """What is set for one run, and never in mesh.yaml; but for the clusters."""
    inputs = options.inputs
    paths = [str(path) for path in kubeconfig.kubeconfig_paths(inputs.kubeconfig, env, home)]
    if inputs.kubeconfig:
        yield Setting("kubeconfig", paths, Source.FLAG, "--kubeconfig")
    elif env.get(KUBECONFIG_VARIABLE):
        yield Setting("kubeconfig", paths, Source.ENVIRONMENT, KUBECONFIG_VARIABLE)
    else:
        yield Setting("kubeconfig", paths)
    file = None if settings.file is None else str(settings.file)
    if inputs.config is None:
        yield Setting("config", file, otherwise="none; ./mesh.yaml does not exist")
    elif env.get(CONFIG_VARIABLE) == str(inputs.config):
        yield Setting("config", file, Source.ENVIRONMENT, CONFIG_VARIABLE)
    else:
        yield Setting("config", file, Source.FLAG, "--config")
    if inputs.contexts:
        yield Setting("contexts", list(inputs.contexts), Source.FLAG, "--contexts")
    elif settings.clusters:
        chosen = [cluster.context for cluster in settings.clusters]
        yield Setting("contexts", chosen, Source.FILE, _line((settings.file, document), ("clusters",)))
    else:
        yield Setting("contexts", None, otherwise="the members of the mesh")
    for key, value in (("timeout", f"{inputs.timeout_s:g}s"), ("concurrency", inputs.concurrency)):
        if key in options.given:
            yield Setting(key, value, Source.FLAG, f"--{key}")
        else:
            yield Setting(key, value)


def _mesh(overrides: Overrides, settings: Settings, document: YamlDocument) -> Iterator[Setting]:
    fields = [field for field in fields_of(Settings) if not field.key.constant and not field.is_list]
    flags = {
        "certsDir": "--certs-dir" if overrides.certs_dir else None,
        "istio.version": ISTIO_VERSION if overrides.istio_version is not None else None,
    }
    for made in _settings(fields, overrides.over_mesh(settings), (), "", (settings.file, document)):
        option = flags.get(made.key)
        yield replace(made, source=Source.FLAG, origin=option) if option else made


def _cluster(
    flags_of_run: ClusterFlags, settings: Settings, cluster: ClusterSettings, document: YamlDocument
) -> Iterator[Setting]:
    at = next((i for i, known in enumerate(settings.clusters) if known.context == cluster.context), -1)
    prefix = f"clusters[{cluster.context}]."
    flags: dict[str, tuple[AssignedOption, Mapping[str, str]]] = {
        "gatewayAddress": (GATEWAY_ADDRESS, flags_of_run.addresses),
        "apiServer.server": (API_SERVER, flags_of_run.servers),
        "apiServer.caFile": (API_SERVER_CA, flags_of_run.cas),
        "apiServer.tlsServerName": (API_SERVER_NAME, flags_of_run.names),
    }
    fields = [field for field in fields_of(ClusterSettings) if not field.key.required]
    for made in _settings(fields, cluster, ("clusters", at), prefix, (settings.file, document)):
        option, given = flags.get(made.key.removeprefix(prefix), (None, {}))
        from_flag = option is not None and cluster.context in given
        yield replace(made, source=Source.FLAG, origin=option.name) if option and from_flag else made


def _settings(
    fields: Iterable[Field], holder: object, place: DocumentPath, prefix: str, file: _File
) -> Iterator[Setting]:
    """Some keys, and every key below them; a section that is not there (None) contains nothing."""
    for field in fields:
        here, name = (*place, field.name), prefix + field.name
        value = None if holder is None else getattr(holder, field.attribute)
        if field.below:
            yield from _settings(field.below, value, here, f"{name}.", file)
        elif field.is_free and value:
            yield from _free(value, here, name, file)
        else:
            yield _setting(field, value, here, name, file)


def _setting(field: Field, value: Any, place: DocumentPath, name: str, file: _File) -> Setting:  # noqa: ANN401
    otherwise = field.key.otherwise
    shown = list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value
    if not shown and shown is not False:
        shown = None if otherwise else ""
    source = _source_of(file[1].value, place)
    if source is None:
        return Setting(name, shown, otherwise=otherwise)
    return Setting(name, shown, Source.FILE, _line(file, source), otherwise)


def _source_of(document: object, place: DocumentPath) -> DocumentPath | None:
    """The place in the file that gives a value: its own, or, of a short form, the key above."""
    for index, part in enumerate(place):
        if isinstance(document, dict):
            document = document.get(part)
        elif isinstance(document, list) and isinstance(part, int) and 0 <= part < len(document):
            document = document[part]
        elif isinstance(document, str) and part == "server":  # apiServer: https://…
            return place[:index]
        else:
            return None
    return None if document is None else place


def _free(value: object, place: DocumentPath, name: str, file: _File) -> Iterator[Setting]:
    """A mapping of anything: each value in it by itself."""
    for here, leaf in _leaves(value, place):
        below = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in here[len(place) :])
        yield Setting(name + below, leaf, Source.FILE, _line(file, here))


def _leaves(
    value: object, place: DocumentPath
) -> Iterator[tuple[DocumentPath, str | bool | int | float | None]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, (*place, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _leaves(item, (*place, index))
    else:
        yield place, value if isinstance(value, str | bool | int | float | None) else str(value)


def _line(file: _File, place: DocumentPath) -> str:
    path, document = file
    while place and place not in document.lines:
        place = place[:-1]
    return f"{path}:{document.lines.get(place, 1)}"
