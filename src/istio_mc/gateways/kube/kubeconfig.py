"""The user's kubeconfig files: their paths and their content."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from istio_mc.domain import goyaml
from istio_mc.domain.hint import Advice
from istio_mc.domain.kube.kubeconfig import Kubeconfig, KubeconfigFile, merge
from istio_mc.domain.problem import Code, InputError, Problem
from istio_mc.gateways.host import files

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


def kubeconfig_paths(option: str | None, env: Mapping[str, str], home: Path) -> list[Path]:
    """Returns the kubeconfig files to read, in order of precedence.

    Like kubectl (client-go tools/clientcmd/loader.go, NewDefaultClientConfigLoadingRules, v0.32.3), except
    that the option can also be a list, and that every `~` is expanded: a shell expands only one at the
    beginning.

    Args:
        option: Value of `--kubeconfig`: one or more paths, separated as in $PATH; None or empty: not given.
        env: The environment; KUBECONFIG is used if the option is not given.

    Returns:
        Paths, without empty and repeated ones.
    """
    value = option or env.get("KUBECONFIG")
    if not value:
        return [home / ".kube" / "config"]
    parts = (part for part in value.split(os.pathsep) if part)
    return list(dict.fromkeys(home / part[2:] if part.startswith("~/") else Path(part) for part in parts))


def read_kubeconfig(paths: Sequence[Path], read: Callable[[Path], bytes] = files.content) -> Kubeconfig:
    """Reads and merges the files. Files that do not exist become warnings of the result.

    Raises:
        InputError: None of the files exists; or files cannot be read, are not YAML, or are invalid: every
            fault of every file.
    """
    kubeconfigs: list[KubeconfigFile] = []
    faults: list[Problem] = []
    for path in paths:
        # Lexically, as Go's filepath.Abs does: paths in a file are relative to the folder of its given path.
        try:
            kubeconfigs.append(_read(files.absolute(path), read))
        except InputError as error:
            faults.extend(error.problems)
    if not faults and all(file.document is None for file in kubeconfigs):
        raise InputError(_no_file([file.path for file in kubeconfigs]))
    try:
        kubeconfig = merge(kubeconfigs)
    except InputError as error:
        raise InputError(*faults, *error.problems) from None
    if faults:
        raise InputError(*faults)
    return kubeconfig


def _read(path: str, read: Callable[[Path], bytes]) -> KubeconfigFile:
    try:
        data = read(Path(path))
    except FileNotFoundError:
        return KubeconfigFile(path, None)
    except OSError as error:
        raise InputError.of(
            code=Code.KUBECONFIG_UNREADABLE,
            message=f"{path}: cannot be read: {error.strerror}",
            hint=Advice("Correct its permissions, or leave it out of $KUBECONFIG or --kubeconfig"),
        ) from error
    try:
        value = goyaml.load(data)
    except goyaml.GoYamlError as error:
        where = ":".join(str(part) for part in (path, error.line, error.column) if part)
        raise InputError.of(
            code=Code.YAML_INVALID,
            message=f"{where}: not YAML: {error.reason}",
            hint=Advice("Correct the file"),
            docs="troubleshooting.md#kubeconfig",
        ) from None
    # client-go also reads an empty file as an empty kubeconfig (loader.go, Load).
    return KubeconfigFile(path, {} if value.value is None else value.value, value.repeated)


def _no_file(paths: Sequence[str]) -> Problem:
    if not paths:
        return Problem(
            code=Code.KUBECONFIG_MISSING,
            message="the list of kubeconfig files is empty",
            hint=Advice("Use --kubeconfig FILE[:FILE…], or set $KUBECONFIG"),
        )
    return Problem(
        code=Code.KUBECONFIG_MISSING,
        message=f"no kubeconfig: {', '.join(paths)} {'do' if len(paths) > 1 else 'does'} not exist",
        hint=Advice("Use --kubeconfig FILE[:FILE…], or set $KUBECONFIG"),
    )
