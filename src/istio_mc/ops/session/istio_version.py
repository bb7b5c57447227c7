"""Which version of Istio a run is about: chosen from the settings, what runs, and the table of releases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.domain.hint import Advice
from istio_mc.domain.istio.choice import IstioChoice, Servers, choose, running, version_in
from istio_mc.domain.istio.releases import table_age_problem
from istio_mc.domain.problem import Code, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import date

    from istio_mc.domain.observed import Observed
    from istio_mc.domain.settings.model import Settings
    from istio_mc.ops.session.session import Session


def decide(session: Session, observed: Mapping[str, Observed], today: date | None) -> IstioChoice:
    """The version of the run's mesh."""
    istio = session.settings.istio
    servers = Servers(
        {name: cluster.version for name, cluster in observed.items()},
        running(observed, istio.revision),
        tuple(name for name in session.clusters.names if name not in observed),
    )
    return choose(session.run.releases, servers, today, pinned=istio.version, by=istio.version_by)


def warnings(session: Session, choice: IstioChoice, today: date) -> Iterator[Problem]:
    """What the user should know of a choice."""
    images = (
        choice.warning,
        table_age_problem(session.run.releases, today),
        _other_tag(session.settings, choice),
    )
    yield from filter(None, images)


def _other_tag(settings: Settings, choice: IstioChoice) -> Problem | None:
    tag = settings.istio.tag
    version = version_in(tag) if tag else None
    if version is None or version == choice.version:
        return None
    return Problem(
        code=Code.ISTIO_TAG,
        message="the images are of another version than Istio itself",
        seen=f"istio.tag in mesh.yaml: {tag}",
        expected=f"a tag of {choice.version}",
        hint=Advice(f"set istio.tag to one of {choice.version}, or remove it"),
    )
