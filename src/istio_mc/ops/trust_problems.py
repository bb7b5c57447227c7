"""Why an install writes no CA into a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.domain.hint import Advice, istio_mc, kubectl
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def of_roots(
    folder: Path, roots: Mapping[str, str], stored_root: str | None, *, all_live: bool
) -> list[Problem]:
    """What is wrong with the roots of clusters: they differ, or are not the store's.

    Args:
        folder: The store.
        roots: SHA-256 of each cluster's root.
        stored_root: That of the store's; None: it has none.
        all_live: Whether every cluster has a CA already, so that the store is not needed.
    """
    distinct = sorted(set(roots.values()))
    if len(distinct) > 1:
        return [_differ(roots)]
    if not distinct:
        return []
    if stored_root is None and not all_live:
        return [not_at_hand(folder, roots)]
    if stored_root is not None and stored_root != distinct[0]:
        return [
            Problem(
                code="root-is-another",
                message=f"{', '.join(roots)} run under another root CA than the one in {folder}",
                seen=f"root {distinct[0]}",
                expected=f"root {stored_root}",
                hint=Advice("name the folder of the mesh's own CA with --certs-dir"),
                docs="troubleshooting.md#root-is-another",
            )
        ]
    return []


def _differ(roots: Mapping[str, str]) -> Problem:
    return Problem(
        code="roots-differ",
        message="the clusters run under different root CAs",
        seen="; ".join(f"{name}: {fingerprint}" for name, fingerprint in roots.items()),
        expected="one root everywhere",
        hint=Advice("name those that shall get a CA under the root of the others: --replace-ca CONTEXT"),
        docs="troubleshooting.md#roots-differ",
    )


def not_at_hand(folder: Path, roots: Mapping[str, str]) -> Problem:
    """A CA is wanted, and the root that would sign it is not in the store."""
    return Problem(
        code="root-not-at-hand",
        message=f"{', '.join(roots)} already run under a root CA that is not in {folder}",
        seen=f"root {next(iter(roots.values()))}; no root in {folder}",
        expected="the root CA that the mesh already has",
        hint=Advice(
            "name its folder with --certs-dir, or bring it in: ",
            istio_mc("ca", "init", "--root-cert", "FILE", "--root-key", "FILE"),
        ),
        docs="troubleshooting.md#root-not-at-hand",
    )


def made_by_others(context: str, seen: str) -> Problem:
    """The Secret has a layout that istio-mc does not write, so it is not istio-mc's to mend."""
    return Problem(
        code="cacerts-made-by-others",
        cluster=context,
        message=f"the Secret cacerts of {context} was made by others, cert-manager for example",
        seen=seen or "keys tls.crt, tls.key and ca.crt",
        expected="a CA under the mesh's root, from who made it",
        hint=Advice(
            "have it issued anew there; or, to have istio-mc make one: take the maker away, then ",
            kubectl(context, "-n", SYSTEM_NAMESPACE, "delete", "secret", "cacerts"),
        ),
        docs="troubleshooting.md#cacerts",
    )
