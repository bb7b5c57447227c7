"""Versions, and the table of Istio releases: support, its end, what was tested, known defects. Pure."""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from istio_mc.domain.hint import Advice
from istio_mc.domain.problem import Code, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

Patch = tuple[int, int, int]
"""Major, minor and patch version, such as (1, 26, 0)."""

UNKNOWN = "unknown"
OLD_AFTER_DAYS = 90
"""Age of the table from which on a run warns of it."""

_MINOR = re.compile(r"v?(\d+)\.(\d+)(?:[.+-].*)?")

_NUMBERS = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")

Minor = tuple[int, int]
"""Major and minor version, such as (1, 26)."""


class Support(StrEnum):
    """Whether an Istio release supports a Kubernetes server."""

    SUPPORTED = "supported"
    TOO_OLD = "kubernetes-too-old"
    TOO_NEW = "kubernetes-too-new"
    UNKNOWN = "unknown"
    """The table has no such release or does not say, or the server's version cannot be read."""


def minor_of(version: str) -> Minor | None:
    """Major and minor of a version as servers and programs tell it: `v1.32.3`, `1.28.10+k3s1`, `1.26`.

    None where the text is no version.
    """
    match = _MINOR.fullmatch(version.strip())
    return (int(match[1]), int(match[2])) if match else None


def shown(minor: Minor) -> str:
    """A minor version as people write it."""
    return f"{minor[0]}.{minor[1]}"


def is_newer(version: str, than: str) -> bool:
    """Whether one version is of a later minor, or patch, than another; False where either is no version."""
    one, other = _NUMBERS.match(version), _NUMBERS.match(than)
    return bool(one and other and tuple(map(int, one.groups())) > tuple(map(int, other.groups())))


def kubectl_skew(kubectl: str, server: str) -> int | None:
    """Minors by which kubectl is ahead of a server (negative: behind); None where either is no version.

    Within one either way is supported (kubernetes.io, "Version Skew Policy", section kubectl).
    """
    ours, theirs = minor_of(kubectl), minor_of(server)
    if ours is None or theirs is None or ours[0] != theirs[0]:
        return None
    return ours[1] - theirs[1]


_PATCH = re.compile(r"v?(\d+)\.(\d+)\.(\d+)(?:[._+-](.*))?")
_PRERELEASE = re.compile(r"(?:alpha|beta|rc|dev)(?![a-z])")
_FLAVOURS = frozenset({"distroless", "debug"})
"""Ends of tags of upstream's own images, which contain the same program."""

_MONTH = re.compile(r"(\d{4})-(\d{2})")
_SIX_WEEKS = timedelta(weeks=6)


@dataclass(frozen=True, slots=True)
class EndOfLife:
    """The last day of upstream's support of a release.

    Attributes:
        expected: The last day of the month that upstream only expects.
    """

    day: date | None = None
    expected: date | None = None

    def __str__(self) -> str:
        if self.day:
            return self.day.isoformat()
        return f"expected {self.expected:%Y-%m}" if self.expected else UNKNOWN


@dataclass(frozen=True, slots=True)
class IstioRelease:
    """One minor release of Istio; None and empty: no source says.

    Attributes:
        first_is_latest: Whether its first patch may be older than `first`.
        gateway_api: Release of the Gateway API in its go.mod.
        security: The least patch that contains the security fixes that a source names for this minor.
    """

    minor: Minor
    first: date
    end: EndOfLife = EndOfLife()
    first_is_latest: bool = False
    newest: str | None = None
    oldest_kubernetes: Minor | None = None
    newest_kubernetes: Minor | None = None
    gateway_api: str | None = None
    lab: tuple[str, ...] = ()
    security: str | None = None
    security_source: str | None = None

    def __str__(self) -> str:
        return shown(self.minor)

    @property
    def kubernetes(self) -> str:
        """The Kubernetes minors it supports, for people."""
        ends = (self.oldest_kubernetes, self.newest_kubernetes)
        oldest, newest = (shown(minor) if minor else UNKNOWN for minor in ends)
        return UNKNOWN if oldest == newest == UNKNOWN else f"{oldest} to {newest}"


@dataclass(frozen=True, slots=True)
class PatchRange:
    """Patches from `first` to `last`, both included.

    A pre-release of a patch stands between the patch before it and that patch, and has not all its fixes.

    Attributes:
        last: Its last patch; None: the newest.
    """

    last: str | None = None
    first: str | None = None
    fixed: str | None = None

    def __contains__(self, version: str) -> bool:
        patch = patch_of(version)
        if is_prerelease(version) and patch is not None and patch == patch_of(self.fixed or ""):
            return True
        return _is_between(patch, self.first, last=self.last)


@dataclass(frozen=True, slots=True)
class Defect:
    """A known defect of released patches.

    Attributes:
        on_replacement: What has to be done where a remote secret is replaced: `restart` of istiod, or
            `upgrade` before; empty: nothing.
    """

    id: str
    effect: str
    affects: tuple[PatchRange, ...]
    source: str
    on_replacement: str = ""

    def range_of(self, version: str) -> PatchRange | None:
        """The range of patches with this defect that a version is in; None: it does not have it."""
        return next((patches for patches in self.affects if version in patches), None)


@dataclass(frozen=True, slots=True)
class CrdHazard:
    """A CRD of the Gateway API that some istiods do not get on with.

    Attributes:
        first: The bundle version from which on it happens; None: it happens with older ones.
        below: The bundle version that it does not happen with any more; None: it happens with newer ones.
        variable: The variable of istiod without which, as `true`, it does not happen; None: it always does.
    """

    defect: Defect
    crd: str
    first: str | None = None
    below: str | None = None
    variable: str | None = None
    blocks: bool = False

    def has(self, bundle: str) -> bool:
        """Whether a bundle version is one of these; istiod reads a pre-release as the version it precedes."""
        return _is_between(patch_of(bundle), self.first, below=self.below)


@dataclass(frozen=True, slots=True)
class DyingHub:
    """A registry of Istio's images that upstream switches off.

    Attributes:
        hub: Its address, such as `gcr.io/istio-release`, or what addresses of it begin with.
    """

    hub: str
    since: date
    effect: str
    source: str
    instead: str

    def has(self, image: str) -> bool:
        """Whether an image, or a hub, is of this registry."""
        return image == self.hub or image.startswith(f"{self.hub}/")


@dataclass(frozen=True, slots=True)
class ReleaseTable:
    """What is known of Istio's releases.

    Attributes:
        analyze: What `istioctl analyze` of some patches does to who runs it.
    """

    read: date
    istio: tuple[IstioRelease, ...]
    kubernetes: Mapping[Minor, date] = field(default_factory=dict, hash=False)
    sources: Mapping[str, str] = field(default_factory=dict, hash=False)
    defects: tuple[Defect, ...] = ()
    analyze: Defect = Defect("analyze", "", (), "")
    crds: tuple[CrdHazard, ...] = ()
    hubs: tuple[DyingHub, ...] = ()

    def age_days(self, today: date) -> int:
        """How many days ago the sources were read."""
        return (today - self.read).days

    def is_old(self, today: date) -> bool:
        """Whether the sources were read too long ago to rely on the table."""
        return self.age_days(today) > OLD_AFTER_DAYS

    def release(self, version: str) -> IstioRelease | None:
        """The release an Istio version belongs to; None where the table has none."""
        minor = minor_of(version)
        return next((release for release in self.istio if release.minor == minor), None)

    def expected_end(self, release: IstioRelease) -> date | None:
        """The day until which support is expected, where none is announced: upstream's month or its policy.

        By the policy support ends six weeks after the first patch of the second minor that follows.
        """
        after = (release.minor[0], release.minor[1] + 2)
        by_policy = [one.first + _SIX_WEEKS for one in self.istio if one.minor == after]
        return max([*by_policy, *filter(None, [release.end.expected])], default=None)

    def is_ended(self, release: IstioRelease, today: date) -> bool:
        """Whether the announced end of a release's support has passed."""
        return release.end.day is not None and today > release.end.day

    def is_overdue(self, release: IstioRelease, today: date) -> bool:
        """Whether the end of a release's support is not announced, and the expected one has passed."""
        expected = self.expected_end(release)
        return release.end.day is None and expected is not None and today > expected

    def supported(self, today: date) -> tuple[IstioRelease, ...]:
        """The releases of which no end has passed, not even an expected one."""
        return tuple(
            one for one in self.istio if not self.is_ended(one, today) and not self.is_overdue(one, today)
        )

    def kubernetes_support(self, istio: str, server: str) -> Support:
        """Whether an Istio version supports an API server's version.

        Where no source gives the newest Kubernetes of a release, it is taken to support what the release
        before it supports: no release so far took that back.
        """
        release, minor = self.release(istio), minor_of(server)
        if release is None or minor is None or release.oldest_kubernetes is None:
            return Support.UNKNOWN
        if minor < release.oldest_kubernetes:
            return Support.TOO_OLD
        if release.newest_kubernetes is not None:
            return Support.SUPPORTED if minor <= release.newest_kubernetes else Support.TOO_NEW
        known = [one.newest_kubernetes for one in self.istio if one.minor < release.minor]
        newest = max(filter(None, known), default=release.oldest_kubernetes)
        return Support.SUPPORTED if minor <= newest else Support.UNKNOWN

    def defects_of(self, version: str) -> tuple[Defect, ...]:
        """The known defects of a patch."""
        return tuple(defect for defect in self.defects if defect.range_of(version))


def patch_of(version: str) -> Patch | None:
    """Major, minor and patch of a version, whatever follows them; None where the text is no version."""
    match = _PATCH.fullmatch(version.strip())
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def _is_between(
    patch: Patch | None, first: str | None, *, last: str | None = None, below: str | None = None
) -> bool:
    """Whether a patch is one of those from `first` to `last`, and before `below`; None: no such end."""
    if patch is None:
        return False
    least, most, end = (patch_of(text or "") for text in (first, last, below))
    return (
        (least is None or patch >= least) and (most is None or patch <= most) and (end is None or patch < end)
    )


def _suffix(version: str) -> str:
    match = _PATCH.fullmatch(version.strip())
    return (match[4] or "").lower() if match else ""


def is_prerelease(version: str) -> bool:
    """Whether a version comes before the patch it names: `1.26.0-alpha.0`, `1.30.0-rc.1-distroless`."""
    return _PRERELEASE.match(_suffix(version)) is not None


def is_vendors(version: str) -> bool:
    """Whether a version is a vendor's build of a patch, which may contain fixes of its own."""
    suffix = _suffix(version)
    return bool(suffix) and not is_prerelease(version) and not set(re.split(r"[._+-]", suffix)) <= _FLAVOURS


def parse_table(document: Mapping[str, Any]) -> ReleaseTable:
    """The table, as `data/releases.yaml` has it.

    Raises:
        ValueError: A version or day is none, or a key is missing.
    """
    try:
        return ReleaseTable(
            read=_day(document["read"]),
            istio=tuple(_release(text, entry) for text, entry in document["istio"].items()),
            kubernetes={_minor(text): _day(day) for text, day in document["kubernetes"].items()},
            sources=document["sources"],
            defects=tuple(_defect(entry) for entry in document["defects"]),
            analyze=_defect(document["analyze"]),
            crds=tuple(_crd(entry) for entry in document["gatewayAPICRDs"]),
            hubs=tuple(
                DyingHub(
                    entry["hub"], _day(entry["from"]), entry["effect"], entry["source"], entry["instead"]
                )
                for entry in document["hubs"]
            ),
        )
    except KeyError as error:
        raise ValueError(f"no key {error}") from error


def _release(text: str, entry: Mapping[str, Any]) -> IstioRelease:
    first = entry["first"]
    by = isinstance(first, dict)
    oldest, newest = entry["kubernetes"]["oldest"], entry["kubernetes"]["newest"]
    security = {} if entry["security"] == UNKNOWN else entry["security"]
    return IstioRelease(
        minor=_minor(text),
        first=_day(first["by"] if by else first),
        first_is_latest=by,
        newest=_patch(entry["newest"]),
        end=_end(entry["endOfLife"]),
        oldest_kubernetes=None if oldest == UNKNOWN else _minor(oldest),
        newest_kubernetes=None if newest == UNKNOWN else _minor(newest),
        gateway_api=_patch(entry["gatewayAPI"]),
        lab=tuple(filter(None, map(_patch, entry["lab"]))),
        security=_patch(security.get("least")),
        security_source=security.get("source"),
    )


def _defect(entry: Mapping[str, Any]) -> Defect:
    ranges = [
        PatchRange(_patch(affected.get("to")), _patch(affected.get("from")), _patch(affected.get("fixed")))
        for affected in entry["affects"]
    ]
    then = entry.get("onReplacement", "")
    return Defect(entry["id"], entry["effect"], tuple(ranges), entry["source"], then)


def _crd(entry: Mapping[str, Any]) -> CrdHazard:
    return CrdHazard(
        _defect(entry),
        entry["crd"],
        first=_patch(entry.get("from")),
        below=_patch(entry.get("below")),
        variable=entry.get("variable"),
        blocks=entry["blocks"],
    )


def _day(value: object) -> date:
    if not isinstance(value, date):
        raise ValueError(f"{value!r} is not a date such as 2026-11-28")  # noqa: TRY004 - of one kind with the others
    return value


def _end(value: object) -> EndOfLife:
    if value == UNKNOWN:
        return EndOfLife()
    if not isinstance(value, dict):
        return EndOfLife(day=_day(value))
    month = _MONTH.fullmatch(str(value["expected"]))
    if month is None:
        raise ValueError(f"{value['expected']!r} is not a month such as 2026-08")
    year, number = int(month[1]), int(month[2])
    return EndOfLife(expected=date(year, number, calendar.monthrange(year, number)[1]))


def _minor(value: object) -> Minor:
    minor = minor_of(value) if isinstance(value, str) else None
    if minor is None or shown(minor) != value:
        raise ValueError(f'{value!r} is not a minor version such as "1.26"')
    return minor


def _patch(value: object) -> str | None:
    if value in (None, UNKNOWN):
        return None
    if not isinstance(value, str) or patch_of(value) is None:
        raise ValueError(f"{value!r} is not a version such as 1.26.0")
    return value


_CODES = {
    Support.TOO_OLD: Code.KUBERNETES_TOO_OLD,
    Support.TOO_NEW: Code.KUBERNETES_TOO_NEW,
    Support.UNKNOWN: Code.KUBERNETES_UNKNOWN,
}


def end_of_life_problem(table: ReleaseTable, version: str, today: date | None) -> Problem | None:
    """What is wrong with the age of an Istio version, or that the table does not have it.

    Args:
        today: The day; None: ends of life are not judged.
    """
    release = table.release(version)
    if release is None:
        return Problem(
            code=Code.ISTIO_UNKNOWN,
            message=f"Istio {version} is not in the table of releases",
            seen=f"releases {table.istio[0]} to {table.istio[-1]}, read on {table.read}",
            expected="a release of that table",
            hint=Advice("set istio.version in mesh.yaml to one of these, or update istio-mc"),
        )
    if today is None:
        return None
    newer = ", ".join(
        one.newest or one.lab[-1] for one in table.supported(today) if one.lab and one.minor > release.minor
    )
    hint = Advice(f"set istio.version in mesh.yaml to a supported, tested one: {newer}") if newer else None
    if table.is_ended(release, today):
        return Problem(
            code=Code.ISTIO_END_OF_LIFE,
            message=f"Istio {version} is past its end of life ({release.end})",
            seen=f"release {release}, supported until {release.end}",
            expected="a release that is supported upstream",
            hint=hint,
        )
    if table.is_overdue(release, today):
        expected = table.expected_end(release)
        return Problem(
            code=Code.ISTIO_END_OF_LIFE_EXPECTED,
            message=f"Istio {version} is past its expected end of life ({expected})",
            seen=f"release {release}, end of life {release.end}; expected until about {expected}",
            expected="a release that is supported upstream",
            hint=hint,
        )
    return None


def until(table: ReleaseTable, release: IstioRelease) -> str:
    """How long a release is supported, for people."""
    if release.end.day is None and (expected := table.expected_end(release)):
        return f"supported until about {expected} (expected)"
    return f"supported until {release.end}" if release.end.day else "end of life unknown"


def kubernetes_problem(table: ReleaseTable, version: str, server: str) -> Problem | None:
    """What is wrong with an Istio version on an API server's version; nothing where the table lacks it."""
    release = table.release(version)
    fits = table.kubernetes_support(version, server)
    if release is None or fits is Support.SUPPORTED:
        return None
    unknown = fits is Support.UNKNOWN
    minor = minor_of(server)
    what = f"Kubernetes {shown(minor)}" if minor else "this Kubernetes"
    return Problem(
        code=_CODES[fits],
        message=f"it is unknown whether Istio {version} supports {what}"
        if unknown
        else f"Istio {version} does not support {what}",
        seen=server,
        expected=f"Kubernetes {release.kubernetes}",
    )


def table_age_problem(table: ReleaseTable, today: date) -> Problem | None:
    """That the table was read too long ago; None where it was not."""
    if not table.is_old(today):
        return None
    return Problem(
        code=Code.RELEASES_OLD,
        message=f"the table of Istio releases is {table.age_days(today)} days old",
        seen=f"read on {table.read}",
        expected="at most 90 days; newer patch versions and end-of-life dates are missing",
        hint=Advice("update istio-mc, or pin a newer release: istio.version in mesh.yaml"),
    )
