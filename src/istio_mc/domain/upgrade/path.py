"""The path of an upgrade: from what clusters run to another version, one minor at a time. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.domain.hint import Advice, istio_mc
from istio_mc.domain.istio.choice import UNKNOWN_VERSION, version_in
from istio_mc.domain.istio.releases import minor_of, patch_of, shown
from istio_mc.domain.problem import Code, InputError, Problem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from istio_mc.domain.istio.releases import Minor, ReleaseTable

TO = "--to"


def path_of(
    table: ReleaseTable, running: Mapping[str, str | None], to: str, via: Collection[str] = ()
) -> tuple[str, ...]:
    """The versions that a mesh goes through, the last one included; none where every cluster runs it.

    Args:
        running: Istio's version in each cluster; None: it cannot be read.
        via: Versions for minors on the way, where they are not to be the newest patches of the table.

    Raises:
        InputError: A cluster runs a newer version, or one that cannot be read; or there is no such path.
    """
    problems = [problem for name, one in running.items() if (problem := _not_before(name, one, to))]
    oldest = min((minor for one in running.values() if (minor := minor_of(one or ""))), default=None)
    target = minor_of(to)
    if problems or target is None or oldest is None:
        raise InputError(*problems)
    by_minor = {minor: one for one in via if (minor := minor_of(one))}
    hops = []
    for number in range(oldest[1] + 1, target[1]):
        patch = by_minor.pop((target[0], number), None) or _newest(table, (target[0], number))
        if patch is None:
            raise InputError(_no_patch((target[0], number), table))
        hops.append(patch)
    if by_minor:
        raise InputError(_not_on_the_way(by_minor.values(), to))
    return (*hops, to) if hops or any(one != to for one in running.values()) else ()


def next_hops(path: Collection[str], running: str) -> tuple[str, ...]:
    """The versions of a path that a cluster has before it."""
    return tuple(one for one in path if (patch_of(one) or ()) > (patch_of(running) or ()))


def tag_for(tag: str | None, version: str) -> str:
    """The image tag for a version: what mesh.yaml sets, with this version in place of the one in it."""
    set_to = version_in(tag or "")
    if not tag:
        return version
    return tag.replace(set_to, version, 1) if set_to else tag


def in_order(versions: Iterable[str]) -> tuple[str, ...]:
    """Versions from the oldest to the newest, each once."""
    return tuple(sorted(set(versions), key=lambda one: patch_of(one) or ()))


def _newest(table: ReleaseTable, minor: Minor) -> str | None:
    release = table.release(f"{shown(minor)}.0")
    if release is None:
        return None
    return release.newest or next(reversed(release.lab), None)


def _not_before(context: str, running: str | None, to: str) -> Problem | None:
    ours, target = patch_of(running or ""), patch_of(to)
    if ours is None or running is None:
        return Problem(
            code=Code.ISTIO_VERSION_UNKNOWN,
            cluster=context,
            message=f"Istio version of {context} is unknown",
            seen="no version in the image tag and labels of istiod",
            expected="a tag such as 1.31.0",
            hint=Advice("set a tag with the version of its images, then: ", istio_mc("install")),
        )
    if target is None or ours[0] != target[0] or ours > target:
        return Problem(
            code=Code.UPGRADE_NOT_NEWER,
            cluster=context,
            message=f"{TO} {to} is older than what {context} runs",
            seen=f"Istio {running}",
            expected=f"a version from {running} on",
            hint=Advice("to return to the version before the last upgrade: ", istio_mc("upgrade", "--back")),
        )
    return None


def _no_patch(minor: Minor, table: ReleaseTable) -> Problem:
    return Problem(
        code=Code.ISTIO_UNKNOWN,
        message=f"no patch of Istio {shown(minor)}, which is on the way, is in the table of releases",
        seen=f"releases {table.istio[0]} to {table.istio[-1]}, read on {table.read}",
        expected="a patch of each minor on the way",
        hint=Advice(f"name one: --hop {shown(minor)}.PATCH"),
    )


def _not_on_the_way(versions: Iterable[str], to: str) -> Problem:
    named = ", ".join(versions)
    return Problem(
        code=Code.OPTION_MALFORMED,
        message=f"--hop: {named} is not on the way to {to}",
        seen=named or UNKNOWN_VERSION,
        expected="patches of minors between what the clusters run and --to",
    )
