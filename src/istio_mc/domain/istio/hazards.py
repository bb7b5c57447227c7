"""What is known to be wrong with the Istio that runs, or is chosen, from the table of releases. Pure.

A vendor's build may contain fixes that upstream's patch of the same number has not: it is reported as that
patch is, and called a vendor's build.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.domain.hint import Advice, istio_mc
from istio_mc.domain.istio.releases import is_prerelease, is_vendors, patch_of
from istio_mc.domain.problem import Code, Problem
from istio_mc.domain.text import few, plural

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from istio_mc.domain.hint import Command
    from istio_mc.domain.istio.releases import CrdHazard, DyingHub, ReleaseTable

_MOST_NAMED = 5

Running = dict[str, list[str]]
"""Contexts by the version of Istio that is concerned there; no contexts: the version was only chosen."""


def by_version(versions: Mapping[str, Collection[str]]) -> Running:
    """Contexts by version, from the versions of each; what is no version, such as `latest`, is left out."""
    clusters: Running = {}
    for context, those in versions.items():
        for version in sorted(those):
            if patch_of(version):
                clusters.setdefault(version, []).append(context)
    return clusters


def defects(
    table: ReleaseTable,
    running: Running,
    restart: Callable[[str], Command] | None = None,
    *,
    is_installed: bool = False,
) -> Problem | None:
    """The known defects of istiods, one line for each version and defect; None: none is known.

    Args:
        is_installed: Whether an istiod runs, so that another version needs an upgrade.
    """
    names = [
        (version, defect.effect, affected.fixed)
        for version in running
        for defect in table.defects_of(version)
        if (affected := defect.range_of(version))
    ]
    if not names:
        return None
    lines = [
        f"{_place(version, running)}: {effect} "
        f"({f'fixed in {fixed}' if fixed else 'no release with a fix is known'})"
        for version, effect, fixed in names
    ]
    contexts = dict.fromkeys(name for version, _, _ in names for name in running[version])
    commands = [restart(context) for context in contexts] if restart else []
    count = len({effect for _, effect, _ in names})
    return Problem(
        code=Code.ISTIO_DEFECTS,
        message=f"istiod has {plural(count, 'known defect')} with remote secrets",
        seen="\n".join(lines),
        expected=_newer(fixed for _, _, fixed in names),
        hint=_against_defects([fixed for _, _, fixed in names if fixed], commands, is_installed=is_installed),
    )


def _newer_istio(*, is_installed: bool) -> tuple[str | Command, ...]:
    """How another version of Istio is installed: before the first install mesh.yaml decides."""
    if is_installed:
        return "upgrade Istio: ", istio_mc("upgrade", "--to", "VERSION")
    return ("set istio.version in mesh.yaml, and install",)


def _against_defects(fixes: Collection[str], restarts: Sequence[Command], *, is_installed: bool) -> Advice:
    """What helps against defects: a release in which they are fixed, if there is one, and a restart."""
    if not restarts and fixes:
        return Advice(*_newer_istio(is_installed=is_installed))
    if not restarts:
        return Advice("see which releases there are: ", istio_mc("tools", "list"))
    # A line for each cluster.
    commands = [part for restart in restarts for part in ("\n", restart)][1:]
    if fixes:
        return Advice(
            *_newer_istio(is_installed=is_installed),
            "; a restart of istiod removes their effects: ",
            *commands,
        )
    return Advice("a restart of istiod removes their effects: ", *commands)


def security(table: ReleaseTable, running: Running, *, is_installed: bool = False) -> Problem | None:
    """Patches older than the one with the security fixes that a source names; None: there is none.

    Args:
        is_installed: As for `defects`.
    """
    notices = {
        version: release
        for version in running
        if (release := table.release(version)) and release.security and _is_older(version, release.security)
    }
    if not notices:
        return None
    return Problem(
        code=Code.ISTIO_SECURITY,
        message="published security fixes are missing in Istio",
        seen=", ".join(_place(version, running) for version in notices),
        expected=", ".join(
            dict.fromkeys(f"{one.security} or newer ({one.security_source})" for one in notices.values())
        ),
        hint=Advice(*_newer_istio(is_installed=is_installed)),
    )


def analyze(table: ReleaseTable, version: str) -> Problem | None:
    """What `istioctl analyze` of a version does to the machine that it runs on; None: nothing is known."""
    affected = table.analyze.range_of(version)
    if affected is None:
        return None
    fixed = " or ".join(one.fixed for one in table.analyze.affects if one.fixed)
    return Problem(
        code=Code.ISTIOCTL_ANALYZE,
        message=f"istioctl {version}: `analyze` runs programs from remote secrets of a cluster",
        seen="any writer of Secrets in istio-system can run programs on the machine that runs it",
        expected=f"istioctl {fixed}, or newer",
        hint=Advice(
            "istio-mc never runs analyze; run it with --remote-contexts, which reads no remote secret, "
            "or with a newer istioctl"
        ),
    )


def remote_programs(table: ReleaseTable, secrets: Mapping[str, Collection[str]]) -> Problem | None:
    """Remote secrets that name a program for their reader to run; None: there is none."""
    lines = [
        f"{context}: {few((f'Secret istio-system/{one}' for one in dict.fromkeys(those)), _MOST_NAMED)}"
        for context, those in secrets.items()
        if those
    ]
    if not lines:
        return None
    fixed = " and ".join(one.fixed for one in table.analyze.affects if one.fixed)
    return Problem(
        code=Code.REMOTE_SECRET_PROGRAMS,
        message="remote secrets contain programs (exec) for their reader to run",
        seen="\n".join(lines),
        expected="a kubeconfig with a token, as `istio-mc link` writes it",
        hint=Advice(
            f"do not run `analyze` of an istioctl older than {fixed} in these clusters: it runs these "
            "programs on your machine; then ",
            istio_mc("link"),
            ", and find out the writer of these Secrets",
        ),
    )


def dying_hub(table: ReleaseTable, images: Mapping[str, Collection[str]]) -> Problem | None:
    """Registries of images, or hubs, that upstream switches off; None: there is none."""
    clusters: dict[str, list[str]] = {}
    dying: dict[str, DyingHub] = {}
    for context, those in images.items():
        for hub in table.hubs:
            if any(hub.has(image) for image in those):
                dying[hub.hub] = hub
                clusters.setdefault(hub.hub, []).append(context)
    if not dying:
        return None
    first = next(iter(dying.values()))
    return Problem(
        code=Code.HUB_SWITCHED_OFF,
        message="Istio images are from a discontinued registry",
        seen="\n".join(f"{name}{_at(clusters[name])}: {hub.effect}" for name, hub in dying.items()),
        expected=f"{first.instead}, or your own mirror of it",
        hint=Advice(f"set istio.hub: {first.instead} in mesh.yaml, and install; then restart the workloads"),
    )


def crd_hazards(
    table: ReleaseTable,
    version: str,
    crds: Mapping[str, str],
    environment: Mapping[str, str],
) -> list[CrdHazard]:
    """The CRDs of the Gateway API that an istiod does not get on with."""
    return [
        hazard
        for hazard in table.crds
        if hazard.has(crds.get(hazard.crd, ""))
        and hazard.defect.range_of(version)
        and (hazard.variable is None or environment.get(hazard.variable, "").lower() in _TRUE)
    ]


_TRUE = frozenset({"1", "t", "true"})
"""What Go's strconv.ParseBool takes for true, in lower case (istio.io/istio/pkg/env)."""


def incompatible_crds(
    by_cluster: Mapping[str, Collection[CrdHazard]],
    crds: Mapping[str, Mapping[str, str]],
    versions: Mapping[str, Collection[str]],
) -> Problem | None:
    """What CRDs of the Gateway API do to istiods, one line for each kind; None: nothing."""
    lines: dict[tuple[str, str, str], list[str]] = {}
    fixes: dict[str, None] = {}
    variables: dict[str, None] = {}
    for context, hazards in by_cluster.items():
        for hazard in hazards:
            version = ", ".join(sorted(versions[context]))
            line = (f"{hazard.crd} {crds[context][hazard.crd]}", version, hazard.defect.effect)
            lines.setdefault(line, []).append(context)
            fixed = [one.fixed for v in versions[context] if (one := hazard.defect.range_of(v)) and one.fixed]
            fixes |= dict.fromkeys([_fitting(hazard, fixed)])
            if hazard.blocks and not fixed and hazard.variable:
                variables |= dict.fromkeys([hazard.variable])
    if not lines:
        return None
    blocks = any(hazard.blocks for hazards in by_cluster.values() for hazard in hazards)
    return Problem(
        code=Code.GATEWAY_API_UNFIT,
        message="istiod does not become ready with these Gateway API CRDs"
        if blocks
        else "istiod ignores Gateway API CRDs that are too old",
        seen="\n".join(f"{crd}{_at(at)}, Istio {v}: {effect}" for (crd, v, effect), at in lines.items()),
        expected=", ".join(fixes),
        hint=Advice(
            f"remove {', '.join(variables)} from pilot.env in the values"
            if variables
            else "set istio.version in mesh.yaml"
            if blocks
            else "update the CRDs with the tool that installed them"
        ),
    )


def _fitting(hazard: CrdHazard, fixed: Sequence[str]) -> str:
    """What to have instead: a patch of Istio, or a bundle version."""
    if fixed:
        return f"Istio {fixed[0]} or newer"
    if hazard.below:
        return f"bundle version {hazard.below} or newer"
    without = f"no {hazard.variable}, or " if hazard.variable else ""
    return f"{without}a bundle version before {hazard.first}"


def _is_older(version: str, than: str) -> bool:
    ours, least = patch_of(version), patch_of(than)
    if ours is None or least is None:
        return False
    return ours < least or (ours == least and is_prerelease(version))


def _newer(fixes: Iterable[str | None]) -> str:
    known = {patch: text for text in fixes if text and (patch := patch_of(text))}
    return f"Istio {known[max(known)]} or newer" if known else "a release without the defect"


def _place(version: str, running: Running) -> str:
    vendors = ", a vendor's build" if is_vendors(version) else ""
    names = few(running[version], _MOST_NAMED)
    inside = names + vendors if names else vendors.removeprefix(", ")
    return f"{version} ({inside})" if inside else version


def _at(contexts: Collection[str]) -> str:
    return f" ({few(contexts, _MOST_NAMED)})"
