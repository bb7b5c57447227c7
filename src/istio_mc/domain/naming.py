"""Names that Kubernetes and Istio accept: cluster IDs, networks, remote secrets.

A cluster id becomes a label value, part of a Secret's name (`istio-remote-secret-<id>`), a key in that
Secret, and part of a host name (`<id>.intermediate.istio.io`): a DNS-1123 label fits them all. The
kubeconfig's cluster name, from which it is made, is any string at all.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import TYPE_CHECKING

from istio_mc.domain.hint import Advice
from istio_mc.domain.problem import Code, Problem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from istio_mc.domain.kube.kubeconfig import Context

LABEL_LENGTH = 63
"""Longest DNS-1123 label, and label value (apimachinery pkg/util/validation/validation.go, v0.32.3)."""

_HASH_LENGTH = 8
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_REMOTE_SECRET_PREFIX = "istio-remote-secret-"  # noqa: S105 - a name, as istioctl gives it


def cluster_id(name: str) -> str:
    """The cluster id that a kubeconfig cluster name maps to by itself.

    A name that is a DNS-1123 label already is unchanged. Else: accents go, upper case becomes lower, every
    run of other characters one `-`; what is longer than 63 characters is cut and ends in a hash of the whole
    name; a name of which nothing is left becomes `cluster-<hash>`.
    """
    if is_label(name):
        return name
    plain = unicodedata.normalize("NFKD", name).encode(
        "ascii", "ignore" if _only_accents(name) else "replace"
    )
    base = re.sub(r"[^a-z0-9]+", "-", plain.decode().lower()).strip("-")
    if not base:
        return _suffixed("cluster", name)
    return base if len(base) <= LABEL_LENGTH else _suffixed(base, name)


def derive_cluster_ids(clusters: Mapping[str, str], taken: Mapping[str, str]) -> dict[str, str]:
    """A cluster id for each context, none given to two different clusters.

    The result does not depend on the order of either argument. Names that map to the same id get a hash of
    the whole name behind it, except for one that is that id to the letter; so does a name whose id is in
    `taken`. Contexts of the *same* kubeconfig cluster name get the same id: refusing them is the caller's
    business, see `same_clusters`.

    Args:
        clusters: Context name → name of its cluster in the kubeconfig.
        taken: Context name → the id it has already. It keeps it, whatever its name maps to; ids of contexts
            that are not in `clusters` are not given away either.

    Returns:
        Context name → id, in the order of `clusters`.
    """
    names = sorted({name for context, name in clusters.items() if context not in taken})
    bases: dict[str, list[str]] = {}
    for name in names:
        bases.setdefault(cluster_id(name), []).append(name)
    used = set(taken.values())
    ids: dict[str, str] = {}
    for base, same in bases.items():
        owner = base if base in same else (same[0] if len(same) == 1 else None)
        if owner is not None and base not in used:
            ids[owner] = base
    used |= set(ids.values())
    for name in names:
        if name not in ids:
            ids[name] = _unused(cluster_id(name), name, used)
            used.add(ids[name])
    return {context: taken.get(context) or ids[name] for context, name in clusters.items()}


def remote_secret_name(id_: str) -> str:
    """Name of the Secret that holds a cluster's reader kubeconfig, as istioctl writes it.

    Source: istio istioctl/pkg/multicluster/remote_secret.go, 1.26.0. At most 83 characters: any cluster id
    makes a valid Secret name (a DNS-1123 subdomain of at most 253).
    """
    return f"{_REMOTE_SECRET_PREFIX}{id_}"


def validate_cluster_id(id_: str) -> Problem | None:
    """What is wrong with a cluster id that somebody chose, or None."""
    if is_label(id_):
        return None
    return Problem(
        code=Code.CLUSTER_ID_INVALID,
        message=f"{id_!r} cannot be a cluster id",
        seen=_shown(id_),
        expected="at most 63 lower-case letters, digits and '-', beginning and ending with a letter or digit",
        hint=Advice(f"For example {cluster_id(id_)}"),
    )


def validate_network(name: str) -> Problem | None:
    """What is wrong with a network's name, or None.

    It is the value of the label `topology.istio.io/network`.
    """
    if is_label_value(name):
        return None
    return Problem(
        code=Code.NETWORK_INVALID,
        message=f"{name!r} cannot be the name of a network",
        seen=_shown(name),
        expected="at most 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit",
        hint=Advice("For example network1"),
    )


def is_label_value(text: str) -> bool:
    """Whether it can be a Kubernetes label's value, other than the empty one."""
    return len(text) <= LABEL_LENGTH and _LABEL_VALUE.fullmatch(text) is not None


def next_network(used: Collection[str]) -> str:
    """The first of network1, network2, … that no cluster uses."""
    number = 1
    while f"network{number}" in used:
        number += 1
    return f"network{number}"


def assign_networks(
    contexts: Sequence[str],
    taken: Mapping[str, str],
    used: Collection[str],
    by_id: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """A network for each context.

    Args:
        contexts: Context names; those without a network get one in this order.
        taken: Context name → the network it has already and keeps. Two contexts may share one.
        used: Networks of clusters that are not among these, which are not given away either.
        by_id: Context name → cluster ID of those that get a network named after it and no number: where
            somebody's network is not known, any number may be theirs.

    Returns:
        Context name → network, in the order of `contexts`.
    """
    gone = {*used, *taken.values()}
    networks: dict[str, str] = {}
    for context in contexts:
        if context not in networks:
            networks[context] = taken.get(context) or _new_network((by_id or {}).get(context), gone)
            gone.add(networks[context])
    return networks


def _new_network(id_: str | None, used: Collection[str]) -> str:
    if id_ is None:
        return next_network(used)
    name = f"network-{id_}"
    return name if is_label_value(name) and name not in used else _unused(name, id_, used)


def same_clusters(contexts: Iterable[Context]) -> tuple[Problem, ...]:
    """Contexts of one and the same cluster, as far as the kubeconfig shows.

    They do where they name the same cluster entry, or entries with the same API server and otherwise the same
    content. (One cluster under two addresses is found only by a request to it.)
    """
    groups: list[tuple[list[Context], str]] = []
    for context in contexts:
        key = repr(sorted(_identity(context).items(), key=lambda item: item[0]))
        for members, seen in groups:
            if key == seen or members[0].cluster == context.cluster:
                members.append(context)
                break
        else:
            groups.append(([context], key))
    return tuple(
        Problem(
            code=Code.CLUSTER_NAMED_TWICE,
            message=f"contexts {', '.join(context.name for context in members)} are the same cluster",
            seen=f"cluster {members[0].cluster} at {members[0].server}",
            expected="one context for each cluster",
            hint=Advice(f"Leave out {', '.join(context.name for context in members[1:])}"),
        )
        for members, _ in groups
        if len(members) > 1
    )


def _identity(context: Context) -> dict[str, object]:
    entry = {key: value for key, value in context.cluster_entry.items() if key != "extensions" and value}
    if context.server is not None:
        entry["server"] = context.server.rstrip("/").lower()
    else:
        entry["name"] = context.cluster  # two clusters of which nothing is known are not the same
    return entry


def is_label(text: str) -> bool:
    """Whether it is a DNS-1123 label."""
    return len(text) <= LABEL_LENGTH and _DNS_LABEL.fullmatch(text) is not None


def _only_accents(name: str) -> bool:
    """Whether all that is beyond ASCII, taken apart, is ASCII letters with marks on them."""
    return all(char.isascii() or unicodedata.combining(char) for char in unicodedata.normalize("NFKD", name))


def _hash(name: str, length: int) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:length]


def _suffixed(base: str, name: str, length: int = _HASH_LENGTH) -> str:
    head = base[: LABEL_LENGTH - 1 - length].rstrip("-")
    return f"{head}-{_hash(name, length)}" if head else _hash(name, length)


def _unused(base: str, name: str, used: Collection[str]) -> str:
    """The base with the shortest hash of the name, from 8 digits up, that makes an ID that is free."""
    for length in range(_HASH_LENGTH, LABEL_LENGTH + 1):
        candidate = _suffixed(base, name, length)
        if candidate not in used:
            return candidate
    raise AssertionError(f"no id is left for {name}")  # needs 56 ids made to collide with its hash


def _shown(name: str) -> str:
    return f"{len(name)} characters" if len(name) > LABEL_LENGTH else repr(name)
