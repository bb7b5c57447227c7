"""Which version of Istio a mesh gets, and why: pinned, the one it runs, or a default from the table. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from istio_mc.domain.hint import Advice
from istio_mc.domain.istio.releases import Support, minor_of, patch_of, shown
from istio_mc.domain.kube.objects import labels_of
from istio_mc.domain.mesh import REVISION_LABEL, Mesh, revision_label
from istio_mc.domain.problem import Code, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date

    from istio_mc.domain.istio.releases import IstioRelease, Minor, ReleaseTable
    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.observed import Observed

UNKNOWN_VERSION = "unknown"
_VERSION = re.compile(r"v?(\d+\.\d+\.\d+(?:-(?:alpha|beta|rc)\.[0-9A-Za-z.]+)?)(?:[-+].*)?")
INSTALLED = "operator.istio.io/version"
"""Label of what istioctl installs: its own version."""

_LABELS = (INSTALLED, "app.kubernetes.io/version")  # the second is the charts'


@dataclass(frozen=True, slots=True)
class IstioChoice:
    """A version of Istio, and why it is this one.

    Attributes:
        version: Such as `1.31.4`; `unknown` where a mesh runs one that cannot be read.
        is_default: Whether it is neither pinned nor what the mesh runs.
    """

    version: str
    reason: str
    tested: str | None = None
    is_default: bool = False
    problem: Problem | None = field(default=None, compare=False)
    warning: Problem | None = field(default=None, compare=False)

    @property
    def is_known(self) -> bool:
        """Whether there is a version at all."""
        return self.version != UNKNOWN_VERSION

    def __str__(self) -> str:
        tested = f"tested with {self.tested}" if self.tested else "no patch of this minor was tested"
        return f"Istio {self.version}: {self.reason}; {tested}"


@dataclass(frozen=True, slots=True)
class Servers:
    """The clusters that an Istio is chosen for.

    Attributes:
        running: Istio's version in clusters that have one, by context; None: it cannot be read.
    """

    kubernetes: Mapping[str, str] = field(default_factory=dict)
    running: Mapping[str, str | None] = field(default_factory=dict)
    silent: tuple[str, ...] = ()


def choose(
    table: ReleaseTable, servers: Servers, today: date | None, *, pinned: str | None = None, by: str = ""
) -> IstioChoice:
    """The version of Istio for a mesh.

    Args:
        today: The day; None: every release counts as supported.
    """
    if pinned:
        return IstioChoice(pinned, f"set by {by}", _tested(table, pinned))
    if servers.running:
        return _own(table, servers.running)
    return _default(table, servers, today)


def _own(table: ReleaseTable, running: Mapping[str, str | None]) -> IstioChoice:
    """The version that the mesh runs; of several the newest, for that is how an upgrade is finished."""
    chosen = newest(running.values())
    unreadable = [name for name, version in running.items() if version is None]
    seen = ", ".join(f"{name} {version or UNKNOWN_VERSION}" for name, version in running.items())
    if chosen is None:
        problem = Problem(
            code=Code.ISTIO_VERSION_UNKNOWN,
            message="Istio version of the mesh is unknown",
            seen=f"no version in the image tags and labels of istiod in {', '.join(unreadable)}",
            expected="a tag such as 1.31.0",
            hint=Advice("set the version with --istio-version, or istio.version in mesh.yaml"),
        )
        return IstioChoice(UNKNOWN_VERSION, "used by the mesh", problem=problem)
    if set(running.values()) == {chosen}:
        return IstioChoice(chosen, "used by the mesh", _tested(table, chosen))
    warning = Problem(
        code=Code.ISTIO_VERSIONS_DIFFER,
        message=f"the clusters run different versions of Istio; {chosen} is used",
        seen=seen,
        expected="one version in every cluster",
        hint=Advice("to use another version, set --istio-version, or istio.version in mesh.yaml"),
    )
    reason = f"newest version in the mesh ({seen})"
    return IstioChoice(chosen, reason, _tested(table, chosen), warning=warning)


def _default(table: ReleaseTable, servers: Servers, today: date | None) -> IstioChoice:
    """The newest tested minor that supports every cluster, supported minors first, and its newest patch."""
    tested = [release for release in table.istio if release.lab]
    minors = {minor for server in servers.kubernetes.values() if (minor := minor_of(server))}
    fitting = [release for release in tested if all(_fits(table, release, minor) for minor in minors)]
    unreadable = [name for name, server in servers.kubernetes.items() if minor_of(server) is None]
    where = _where(minors, [*unreadable, *servers.silent])
    if not fitting:
        return _none_fits(table, servers, minors)
    chosen = max(fitting, key=lambda release: (-_rank(table, release, today), release.minor))
    rank = _rank(table, chosen, today)
    reason = f"newest {'tested' if rank else 'supported'} minor{where}"
    if rank:
        reason += f", but past its {'end' if rank > 1 else 'expected end'} of life"
    return IstioChoice(_patch(chosen), reason, chosen.lab[-1], is_default=True)


def _none_fits(table: ReleaseTable, servers: Servers, minors: Iterable[Minor]) -> IstioChoice:
    by_minor = {
        shown(minor): [name for name, server in servers.kubernetes.items() if minor_of(server) == minor]
        for minor in sorted(minors)
    }
    named = [release for release in table.istio if release.newest and release.oldest_kubernetes]
    nearest = min(
        named or table.istio,
        key=lambda release: (_distance(table, release, minors), not release.lab, -release.minor[1]),
    )
    version = _patch(nearest)
    ranges = "; ".join(
        f"{release}: {release.kubernetes}" for release in table.istio if release.lab or release is nearest
    )
    problem = Problem(
        code=Code.ISTIO_NONE_FITS,
        message="no tested Istio release supports the Kubernetes of every cluster",
        seen="; ".join(f"Kubernetes {text}: {', '.join(names)}" for text, names in by_minor.items()),
        expected=f"versions that one release supports ({ranges})",
        hint=Advice(f"name a version; {version} is the nearest: --istio-version {version}"),
    )
    return IstioChoice(
        version, "closest to the versions of the clusters", _tested(table, version), problem=problem
    )


def _fits(table: ReleaseTable, release: IstioRelease, minor: Minor) -> bool:
    return table.kubernetes_support(str(release), shown(minor)) is Support.SUPPORTED


def _distance(table: ReleaseTable, release: IstioRelease, minors: Iterable[Minor]) -> int:
    """How many Kubernetes minors lie between what a release supports and what the clusters have, in all."""
    supported = [minor for minor in table.kubernetes if _fits(table, release, minor)]
    return sum(min((abs(one[1] - minor[1]) for one in supported), default=99) for minor in minors)


def _rank(table: ReleaseTable, release: IstioRelease, today: date | None) -> int:
    """0: supported upstream; 1: its expected end of life has passed; 2: it is past its end of life."""
    if today is None:
        return 0
    return 2 if table.is_ended(release, today) else int(table.is_overdue(release, today))


def _where(minors: Iterable[Minor], unknown: Iterable[str]) -> str:
    known = sorted(minors)
    unreadable = f", {', '.join(names)} unknown" if (names := list(unknown)) else ""
    if not known:
        return f" (Kubernetes{unreadable})" if unreadable else " (no cluster was read)"
    ends = dict.fromkeys((shown(known[0]), shown(known[-1])))
    return f" for Kubernetes {'–'.join(ends)}{unreadable}"


def _patch(release: IstioRelease) -> str:
    return release.newest or (release.lab[-1] if release.lab else f"{release}.0")


def _tested(table: ReleaseTable, version: str) -> str | None:
    """The patch that stands for a version's tests: itself where it was run, else the newest of its minor."""
    release = table.release(version)
    if release is None or not release.lab:
        return None
    return version if version in release.lab else release.lab[-1]


def gateway_api_of(table: ReleaseTable, version: str) -> str:
    """The Gateway API release for an Istio version: that of its go.mod.

    Where the table does not have it: that of the nearest older minor, else the oldest there is.
    """
    known = [release for release in table.istio if release.gateway_api]
    minor = minor_of(version) or known[-1].minor
    fitting = [release for release in known if release.minor <= minor] or known[:1]
    return str(fitting[-1].gateway_api)


def version_in(text: str) -> str | None:
    """Istio's version at the start of an image's tag, such as `1.26.0-distroless`; None: there is none."""
    match = _VERSION.fullmatch(text)
    return match[1] if match else None


def istiod_version(deployment: Object) -> str | None:
    """The version of an istiod, by its image's tag, else by a label; None: neither has one."""
    pod = deployment.get("spec", {}).get("template", {}).get("spec", {})
    for container in pod.get("containers") or []:
        name, _, tag = str(container.get("image", "")).partition("@")[0].rpartition(":")
        if name and "/" not in tag and (version := version_in(tag)):
            return version
    labels = labels_of(deployment)
    return next((version for key in _LABELS if (version := version_in(labels.get(key, "")))), None)


def running(observed: Mapping[str, Observed], revision: str) -> dict[str, str | None]:
    """Istio's version in each cluster that runs Istio: of the members, or of all clusters without a member.

    Istiods of the mesh's revision count; where no cluster has one, istiods of any revision count.
    """
    clusters = {name: one for name, one in observed.items() if one.istiods}
    clusters = {name: one for name, one in clusters.items() if one.mesh_id} or clusters
    mesh = Mesh("", UNKNOWN_VERSION, revision)
    same = {
        name: [item for item in one.istiods if _has(item, one.own(mesh).revision)]
        for name, one in clusters.items()
    }
    chosen = {name: items for name, items in same.items() if items} or {
        name: one.istiods for name, one in clusters.items()
    }
    return {name: newest(istiod_version(item) for item in items) for name, items in chosen.items()}


def _has(istiod: Object, revision: str) -> bool:
    return labels_of(istiod).get(REVISION_LABEL, "default") == revision_label(revision)


def newest(versions: Iterable[str | None]) -> str | None:
    """The newest of some versions; None: there is none."""
    known = {version for version in versions if version}
    return max(known, key=lambda version: (patch_of(version) or (0, 0, 0), version), default=None)
