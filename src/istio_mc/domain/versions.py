"""What the table of releases says of the versions of a mesh and of its clusters, as problems. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.domain.hint import Advice
from istio_mc.domain.problem import Problem
from istio_mc.domain.support import Support, minor_of, shown

if TYPE_CHECKING:
    from datetime import date

    from istio_mc.domain.releases import IstioRelease, ReleaseTable

EXPECTED_END = "istio-end-of-life-expected"
"""Code where only an expected end of life has passed: it says nothing that `--strict` may stop at."""


def end_of_life_problem(table: ReleaseTable, version: str, today: date | None) -> Problem | None:
    """What is wrong with the age of an Istio version, or that the table does not have it.

    Args:
        table: The table.
        version: Of Istio.
        today: The day; None: ends of life are not judged.
    """
    release = table.release(version)
    if release is None:
        return Problem(
            code="istio-unknown",
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
            code="istio-end-of-life",
            message=f"Istio {version} is past its end of life ({release.end})",
            seen=f"release {release}, supported until {release.end}",
            expected="a release that is supported upstream",
            hint=hint,
        )
    if table.is_overdue(release, today):
        expected = table.expected_end(release)
        return Problem(
            code=EXPECTED_END,
            message=f"Istio {version} is past its expected end of life ({expected})",
            seen=f"release {release}, end of life {release.end}; by the policy until about {expected}",
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
        code="kubernetes-unknown" if unknown else str(fits),
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
        code="releases-old",
        message=f"the table of Istio releases is {table.age_days(today)} days old",
        seen=f"read on {table.read}",
        expected="at most 90 days: newer patches and ends of life are missing in it",
        hint=Advice("update istio-mc, or pin a newer release: istio.version in mesh.yaml"),
    )
