"""How long an install waits for istiods to see the other clusters, and when that is hopeless."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from istio_mc.domain.istio.istiod import RemoteCluster
from istio_mc.domain.problem import ProblemError
from istio_mc.ops.install import wait
from istio_mc.ops.install.wait import _Links
from istio_mc.ops.session.pod_watch import PodTiming
from tests.support.sessions import session_of
from tests.support.world import CLUSTERS, IDS

LASTING_S = 60.0
SYNCED = dict.fromkeys((IDS["ncloud"], IDS["nhn"]), "synced")
CLOSED = {**SYNCED, IDS["nhn"]: "closed"}
SYNCING = {**SYNCED, IDS["nhn"]: "syncing"}


class Istiods:
    """kt's istiods, each with what it says of other clusters, at a moment that the test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.statuses: dict[str, dict[str, str]] = {}
        self.now = 0.0
        monkeypatch.setattr(wait, "time", SimpleNamespace(monotonic=lambda: self.now))
        monkeypatch.setattr(
            wait, "istiod_pods", lambda _: [{"metadata": {"name": name}} for name in self.statuses]
        )
        monkeypatch.setattr(wait, "clusterz", lambda _kube, pod: self.rows(pod["metadata"]["name"]))
        session = session_of({"kt": None}, folder=Path("nowhere"), pod_timing=PodTiming(lasting_s=LASTING_S))
        others = [CLUSTERS["ncloud"], CLUSTERS["nhn"]]
        self.links = _Links(session, "istiod", CLUSTERS["kt"], others)

    def rows(self, pod: str) -> list[RemoteCluster]:
        return [RemoteCluster(pod, one, "a Secret", status) for one, status in self.statuses[pod].items()]

    def missing(self, now: float, **statuses: dict[str, str]) -> str:
        """What is missing at a moment; empty: nothing."""
        self.now, self.statuses = now, statuses
        problem = self.links()
        return (problem.seen or "") if problem else ""


@pytest.fixture
def istiods(monkeypatch: pytest.MonkeyPatch) -> Istiods:
    return Istiods(monkeypatch)


def test_every_istiod_has_to_see_every_other_cluster(istiods: Istiods) -> None:
    assert istiods.missing(0, one=SYNCED, two=SYNCED) == ""
    assert istiods.missing(1, one=SYNCED, two=SYNCING) == "nhn-nks: syncing"
    assert istiods.missing(2, one={}) == "ncloud-nks: absent, nhn-nks: absent"
    assert istiods.missing(3) == "no istiod runs"


def test_a_cluster_that_stays_closed_for_long_ends_the_wait_with_the_restart_that_opens_it(
    istiods: Istiods,
) -> None:
    assert istiods.missing(1000, one=CLOSED)
    assert istiods.missing(1059, one=CLOSED)
    with pytest.raises(ProblemError) as error:
        istiods.missing(1060, one=CLOSED)
    hint = str(error.value.problems[0].hint)
    assert hint == "kubectl --context kt -n istio-system rollout restart deployment istiod"


@pytest.mark.parametrize("meanwhile", [{"one": SYNCING}, {}], ids=["open", "restarted"])
def test_one_that_was_not_closed_all_the_time_is_waited_for_longer(
    istiods: Istiods, meanwhile: dict[str, dict[str, str]]
) -> None:
    assert istiods.missing(1000, one=CLOSED)
    assert istiods.missing(1059, **meanwhile)
    assert istiods.missing(1060, one=CLOSED)
    assert istiods.missing(1119, one=CLOSED)
    with pytest.raises(ProblemError):
        istiods.missing(1120, one=CLOSED)
