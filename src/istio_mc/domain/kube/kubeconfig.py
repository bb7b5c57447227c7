"""Several kubeconfig files as one, the way kubectl joins them.

The rules are client-go's (tools/clientcmd/loader.go, v0.32.3): of clusters, users and contexts of the same
name the first file's entry counts, whole; the current context is the first one that a file sets; file paths
inside an entry are relative to the folder of the file that the entry came from.
"""

from __future__ import annotations

import copy
import difflib
import posixpath
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from istio_mc.domain.hint import Advice, istio_mc, kubectl_config
from istio_mc.domain.kube.kubeconfig_schema import (
    decode,
    effective_user,
    is_tls,
    refused_cluster,
    refused_user,
    server_url,
    text_of,
    unusable_cluster,
    unusable_user,
)
from istio_mc.domain.kube.request_headers import without_credentials
from istio_mc.domain.problem import Code, InputError, Problem

if TYPE_CHECKING:
    from istio_mc.domain.goyaml import RepeatedKey

_CLUSTER_PATHS = ("certificate-authority",)
_USER_PATHS = ("client-certificate", "client-key", "tokenFile")

_Entry = dict[str, object]


@dataclass(frozen=True)
class KubeconfigFile:
    """One file of the list.

    Attributes:
        path: Absolute path: relative paths inside the document are taken from its folder.
        document: What its first YAML document holds, {} where that is empty; None: there is no such file.
    """

    path: str
    document: object = field(repr=False)
    repeated: tuple[RepeatedKey, ...] = ()


@dataclass(frozen=True)
class Context:
    """One context with the cluster and user it names.

    Attributes:
        cluster: Name of its cluster; its own where that cluster has none; empty where it names none
            (`problems` then says so).
        user: Name of its user, or None: kubectl then asks as nobody.
        user_entry: The user's entry, file paths absolute; empty where no file defines it. Holds credentials,
            and so stays out of `repr`.
    """

    name: str
    cluster: str
    user: str | None
    namespace: str | None
    server: str | None
    files: tuple[str, ...]
    problems: tuple[Problem, ...]
    cluster_entry: Mapping[str, object] = field(repr=False, hash=False)
    user_entry: Mapping[str, object] = field(repr=False, hash=False)


@dataclass(frozen=True)
class Kubeconfig:
    """All files joined.

    Attributes:
        warnings: What the user should know and nothing stops at: missing files, names that repeat.
    """

    contexts: tuple[Context, ...]
    current_context: str | None
    warnings: tuple[Problem, ...]

    def select(self, names: Sequence[str]) -> tuple[Context, ...]:
        """The named contexts, in the order named.

        Raises:
            InputError: Names that no context has (all of them, with those that exist), or a name twice.
        """
        known = {context.name: context for context in self.contexts}
        problems = []
        unknown = list(dict.fromkeys(name for name in names if name not in known))
        if unknown:
            problems.append(_unknown_contexts(unknown, list(known)))
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            problems.append(
                Problem(
                    code=Code.CONTEXT_NAMED_TWICE,
                    message=f"given more than once: {', '.join(twice)}",
                    hint=Advice("Give each context once"),
                )
            )
        if problems:
            raise InputError(*problems)
        return tuple(known[name] for name in names)

    def document(self, context: Context) -> dict[str, object]:
        """A kubeconfig of this one context, which is its current one; file paths in it are absolute."""
        return self.document_with(context, context.user_entry)

    def document_with(self, context: Context, user_entry: Mapping[str, object]) -> dict[str, object]:
        """The same with another entry for the user, such as the token that a credential plugin gave."""
        inner: dict[str, object] = {"cluster": context.cluster}
        user = context.user or (context.name if user_entry else None)
        if user is not None:
            inner["user"] = user
        if context.namespace is not None:
            inner["namespace"] = context.namespace
        users = [{"name": user, "user": copy.deepcopy(dict(user_entry))}] if user is not None else []
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": context.cluster, "cluster": copy.deepcopy(dict(context.cluster_entry))}],
            "users": users,
            "contexts": [{"name": context.name, "context": inner}],
            "current-context": context.name,
        }


def merge(files: Sequence[KubeconfigFile]) -> Kubeconfig:
    """Joins the files, the first counting most.

    Raises:
        InputError: One or more documents are malformed; every fault of every file is in it.
    """
    present = [(file, decode(file.path, file.document)) for file in files if file.document is not None]
    faults = [_malformed(file.path, fault) for file, decoded in present for fault in decoded.faults]
    if faults:
        raise InputError(*faults)
    warnings = [_missing(file.path) for file in files if file.document is None]
    for file, decoded in present:
        warnings.extend(_key_repeated(file.path, key) for key in file.repeated)
        warnings.extend(decoded.ignored)
    clusters, users, contexts = (
        _first_wins([(file.path, decoded.entries.get(kind, {})) for file, decoded in present], kind, warnings)
        for kind in ("clusters", "users", "contexts")
    )
    contexts.pop("", None)  # kubectl, too, cannot be told to use it
    current = next((decoded.current_context for _, decoded in present if decoded.current_context), None)
    if current is not None and current not in contexts:
        warnings.append(
            Problem(
                code=Code.CURRENT_CONTEXT_UNKNOWN,
                message=f"the current context {current} is not defined in any file",
                hint=Advice(kubectl_config("use-context", "NAME")),
            )
        )
    return Kubeconfig(
        contexts=tuple(_context(name, entry, clusters, users) for name, entry in contexts.items()),
        current_context=current,
        warnings=tuple(warnings),
    )


def absolute_entry(kind: str, entry: Mapping[str, object], folder: str) -> dict[str, object]:
    """A copy of a cluster's or user's entry with its relative file paths joined to a folder.

    An `exec` command is a path only where it holds a slash; else it is looked up on PATH (client-go
    tools/clientcmd/loader.go, GetAuthInfoFileReferences, v0.32.3).

    Args:
        kind: "clusters", "users" or "contexts".
    """
    result = copy.deepcopy(dict(entry))
    keys = {"clusters": _CLUSTER_PATHS, "users": _USER_PATHS}.get(kind, ())
    for key in keys:
        _make_absolute(result, key, folder)
    plugin = result.get("exec")
    if kind == "users" and isinstance(plugin, dict) and "/" in str(plugin.get("command") or ""):
        _make_absolute(plugin, "command", folder)
    return result


def has_own_credentials(user_entry: Mapping[str, object]) -> bool:
    """Whether the entry itself holds, or points to, a token, a password or a certificate."""
    keys = ("token", "tokenFile", "username", "password", "client-certificate", "client-certificate-data")
    return any(user_entry.get(key) for key in keys)


def uses_exec(user_entry: Mapping[str, object]) -> bool:
    """Whether the user's credentials come from a plugin.

    A token, a password or a certificate in the same entry comes first, and the plugin is then not run
    (client-go plugin/pkg/client/auth/exec/exec.go, UpdateTransportConfig, v0.32.3).
    """
    return isinstance(user_entry.get("exec"), Mapping) and not has_own_credentials(user_entry)


def _make_absolute(entry: _Entry, key: str, folder: str) -> None:
    value = entry.get(key)
    if isinstance(value, str) and value and not value.startswith("/"):
        entry[key] = posixpath.normpath(posixpath.join(folder, value))


def _first_wins(
    present: Sequence[tuple[str, Mapping[str, _Entry]]], kind: str, warnings: list[Problem]
) -> dict[str, tuple[str, _Entry]]:
    """Name → (file, entry) of one list; names that repeat are added to the warnings."""
    by_name: dict[str, list[tuple[str, _Entry]]] = {}
    for path, entries in present:
        for name, entry in entries.items():
            absolute = absolute_entry(kind, entry, posixpath.dirname(path))
            by_name.setdefault(name, []).append((path, absolute))
    warnings.extend(
        _repeated(kind, name, places) for name, places in by_name.items() if name and len(places) > 1
    )
    return {name: places[0] for name, places in by_name.items()}


def _malformed(path: str, fault: str) -> Problem:
    return Problem(
        code=Code.KUBECONFIG_MALFORMED,
        message=f"{path}: {fault}",
        hint=Advice("Correct the file; check it with: ", kubectl_config("view")),
    )


def _key_repeated(path: str, key: RepeatedKey) -> Problem:
    return Problem(
        code=Code.KUBECONFIG_KEY_REPEATED,
        message=f"{path}:{key.line}:{key.column}: {key.key} is also in line {key.first_line}",
        seen="the last one is used",
        expected="each key once",
        hint=Advice("Remove one of the two"),
    )


def _repeated(kind: str, name: str, places: Sequence[tuple[str, _Entry]]) -> Problem:
    (first, entry), *others = places
    same = all(other == entry for _, other in others)
    again = ", ".join(path for path, _ in others)
    return Problem(
        code=Code.KUBECONFIG_NAME_REPEATED,
        message=f"{kind.removesuffix('s')} {name} is defined in several files",
        seen=f"{first}, {again}: {'identical entries' if same else 'different entries, the first is used'}",
        expected="names that are unique over all files",
        hint=None if same else Advice(f"Rename one of the two: all but the entry in {first} are ignored"),
    )


def _missing(path: str) -> Problem:
    return Problem(
        code=Code.KUBECONFIG_MISSING,
        message=f"{path} does not exist and was skipped",
        hint=Advice("Correct $KUBECONFIG or --kubeconfig"),
    )


_UNDEFINED = frozenset({Code.CLUSTER_UNDEFINED, Code.USER_UNDEFINED})


def _context(
    name: str,
    origin_and_entry: tuple[str, _Entry],
    clusters: Mapping[str, tuple[str, _Entry]],
    users: Mapping[str, tuple[str, _Entry]],
) -> Context:
    path, entry = origin_and_entry
    cluster, user = text_of(entry, "cluster"), text_of(entry, "user")
    # An entry without a name is that of a context that names none.
    cluster_path, cluster_entry = clusters.get(cluster or "", (None, {}))
    user_path, user_entry = users.get(user or "", (None, {}))
    server = server_url(text_of(cluster_entry, "server"))
    if server is not None:
        cluster_entry = {**cluster_entry, "server": server}
        server = without_credentials(server)  # they are for requests alone
    shown = cluster or "without a name"
    faults = []
    if cluster_path is None:
        faults.append(
            (Code.CLUSTER_UNDEFINED, f"names the cluster {cluster}, which is not defined in any file")
            if cluster
            else (Code.CONTEXT_INCOMPLETE, "names no cluster")
        )
    else:
        faults.extend(
            (
                Code.CLUSTER_UNUSABLE if server else Code.CLUSTER_INCOMPLETE,
                f"its cluster {shown} ({cluster_path}) {fault}",
            )
            for written in [clusters[cluster or ""][1]]
            for fault in (*refused_cluster(written), *unusable_cluster(written))
        )
    if user is not None and user_path is None and (server is None or is_tls(server)):
        faults.append((Code.USER_UNDEFINED, f"names the user {user}, which is not defined in any file"))
    faults.extend(
        (Code.USER_UNUSABLE, f"its user {user or 'without a name'} ({user_path}) {fault}")
        for fault in (*refused_user(user_entry), *unusable_user(user_entry, server))
    )
    paths = [file for file in (path, cluster_path, user_path) if file is not None]
    return Context(
        name=name,
        cluster=cluster or (name if cluster_path else ""),
        user=user,
        namespace=text_of(entry, "namespace"),
        server=server,
        files=tuple(dict.fromkeys(paths)),
        problems=tuple(
            Problem(
                code=code,
                message=f"context {name} ({path}): {fault}",
                cluster=name,
                hint=Advice(
                    "Add the file that defines it to --kubeconfig or $KUBECONFIG"
                    if code in _UNDEFINED
                    else "Correct the kubeconfig"
                ),
            )
            for code, fault in faults
        ),
        cluster_entry=cluster_entry,
        user_entry=effective_user(user_entry, server),
    )


def _unknown_contexts(unknown: Sequence[str], known: Sequence[str]) -> Problem:
    lower = {name.lower(): name for name in known}
    guesses = []
    for name in unknown:
        near = difflib.get_close_matches(name.lower(), lower, n=1)
        if near:
            guesses.append(f"{lower[near[0]]} for {name}" if len(unknown) > 1 else lower[near[0]])
    return Problem(
        code=Code.CONTEXT_UNKNOWN,
        message=f"no such {'context' if len(unknown) == 1 else 'contexts'}: {', '.join(unknown)}",
        seen=", ".join(unknown),
        expected=f"one of {', '.join(known)}" if known else "a kubeconfig with at least one context",
        hint=Advice(f"Did you mean {', '.join(guesses)}?")
        if guesses
        else Advice(istio_mc("contexts", "--offline")),
    )
