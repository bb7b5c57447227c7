"""Linking: whose token, which secrets, and when there is nothing to do."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, cast

import pytest

from istio_mc.domain.events import Event, State
from istio_mc.domain.istio import documents
from istio_mc.domain.istio.istiod import RemoteCluster
from istio_mc.domain.kube import objects
from istio_mc.domain.links.state import LinkState, ReaderToken
from istio_mc.domain.problem import Code, Problem, ProblemError
from istio_mc.gateways.host import parallel
from istio_mc.ops import link
from istio_mc.ops.link import _forgotten, mint, planned
from istio_mc.ops.session.inputs import Inputs
from istio_mc.ops.session.session import Session, open_named
from tests.support.fake_api import FakeApi, write_kubeconfig
from tests.support.sessions import changed
from tests.support.world import CLUSTERS, encoded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from istio_mc.gateways.kube.client import Kube


def pauses_of(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses, by which time passes."""
    found: list[float] = []
    clock = SimpleNamespace(monotonic=lambda: sum(found), sleep=found.append)
    for module in (link, parallel):
        monkeypatch.setattr(module, "time", clock)
    return found


class TestMint:
    """Time passes by pauses of half a second."""

    ACCOUNT = "our-reader"
    KT = replace(CLUSTERS["kt"], reader=ACCOUNT)
    EMPTY = documents.reader_token_secret("12ab", ACCOUNT)
    FULL: ClassVar[dict[str, Any]] = {**EMPTY, "data": {"token": encoded("t"), "ca.crt": encoded("ca")}}
    NAME = EMPTY["metadata"]["name"]
    PATH = objects.SECRET.path("istio-system", NAME)
    WAITS = Event("kt", "forget", State.WAITING, f"for a token in Secret istio-system/{NAME}")

    @pytest.fixture
    def events(self) -> list[Event]:
        return []

    @pytest.fixture
    def session(self, api: FakeApi, tmp_path: Path, events: list[Event]) -> Iterator[Session]:
        api.on(objects.SECRET.path("istio-system"), {})
        config = write_kubeconfig(tmp_path / "c", {"kt": api.url})
        with open_named(Inputs(str(config), ("kt",), timeout_s=60), events.append) as found:
            yield found

    @pytest.fixture
    def pauses(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        found = pauses_of(monkeypatch)
        monkeypatch.setattr(link, "_POLL_S", 0.5)
        return found

    def mint(self, session: Session, deadline: float) -> ReaderToken:
        return mint(changed(session, deadline=deadline), self.KT, "forget", self.EMPTY)

    def test_a_secret_is_created_and_read_until_kubernetes_has_filled_it(
        self, session: Session, api: FakeApi, events: list[Event], pauses: list[float]
    ) -> None:
        api.on(self.PATH, self.EMPTY, self.EMPTY, self.FULL)
        assert self.mint(session, 60.0) == ReaderToken("t", b"ca")
        assert [method for method, _ in api.calls] == ["POST", "GET", "GET", "GET"]
        assert (
            json.loads(api.bodies[0])["metadata"]["name"] == f"{self.ACCOUNT}-istio-remote-secret-token-12ab"
        )
        assert (events, pauses) == ([self.WAITS], [0.5] * 2)

    @pytest.mark.parametrize(("deadline", "probes", "waited_s"), [(2.0, 4, 2), (100.0, 60, 30), (-5.0, 1, 0)])
    def test_one_that_stays_empty_is_waited_for_until_the_deadline_but_at_most_half_a_minute(
        self, session: Session, api: FakeApi, pauses: list[float], deadline: float, probes: int, waited_s: int
    ) -> None:
        api.on(self.PATH, self.EMPTY)
        with pytest.raises(ProblemError) as error:
            self.mint(session, deadline)
        assert error.value.problems[0].seen == f"Secret {self.NAME} without a token after {waited_s} s"
        assert len(pauses) == probes - 1
        assert [method for method, _ in api.calls] == ["POST", *["GET"] * probes]

    def test_one_that_is_gone_is_not_waited_for(
        self, session: Session, api: FakeApi, events: list[Event], pauses: list[float]
    ) -> None:
        with pytest.raises(ProblemError) as error:
            self.mint(session, 60.0)
        assert error.value.problems[0].seen == f"Secret {self.NAME} is gone"
        assert (events, pauses, len(api.calls)) == ([], [], 2)


class TestPlanned:
    @pytest.mark.parametrize("filled", [True, False])
    def test_reports_what_a_link_would_write_without_minting_a_token(self, *, filled: bool) -> None:
        token = ReaderToken("t", b"ca") if filled else None
        steps = planned(CLUSTERS, {name: LinkState(token, ()) for name in CLUSTERS})
        assert [len(step.documents) if step else 0 for step in steps.values()] == [2, 2, 2]


class TestForgotten:
    """A remote secret that istiod could not use is written again once no istiod knows of the old one."""

    @pytest.fixture
    def pauses(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        found = pauses_of(monkeypatch)
        monkeypatch.setattr(link, "istiod_pods", lambda _: ["istiod-1", "istiod-2"])
        return found

    def rows(self, monkeypatch: pytest.MonkeyPatch, probes: list[str]) -> None:
        """What the second istiod knows of, look by look; the first one knows of the other secret only."""

        def clusterz(_kube: object, pod: str) -> list[RemoteCluster]:
            if pod == "istiod-1":
                return [RemoteCluster(pod, "nhn-nks", "istio-system/other", "synced")]
            known = probes.pop(0) if len(probes) > 1 else probes[0]
            if not known:
                raise ProblemError(Problem(code=Code.NO_ISTIOD, message="no answer"))
            return [RemoteCluster(pod, "ncloud-nks", known, "closed")]

        monkeypatch.setattr(link, "clusterz", clusterz)

    def test_istiods_are_read_until_none_has_the_cluster(
        self, monkeypatch: pytest.MonkeyPatch, pauses: list[float]
    ) -> None:
        self.rows(monkeypatch, ["istio-system/one", "", "istio-system/one", "istio-system/other"])
        _forgotten(cast("Kube", None), "istio-system/one")
        assert len(pauses) == 3

    @pytest.mark.parametrize("last", ["istio-system/one", ""], ids=["known", "unreachable"])
    def test_but_not_for_long(self, monkeypatch: pytest.MonkeyPatch, pauses: list[float], last: str) -> None:
        self.rows(monkeypatch, [last])
        monkeypatch.setattr(link, "_POLL_S", 0.5)
        _forgotten(cast("Kube", None), "istio-system/one")
        assert sum(pauses) == 4.5  # the next look would be at the end of the five seconds
