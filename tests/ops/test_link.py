"""Linking: whose token, which secrets, and when there is nothing to do."""

from __future__ import annotations

import re
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, cast

import pytest

from istio_mc.domain import plan
from istio_mc.domain.codes import Code
from istio_mc.domain.events import Event, State
from istio_mc.domain.istio import documents
from istio_mc.domain.istio.istiod import RemoteCluster
from istio_mc.domain.kube import objects
from istio_mc.domain.links.state import LinkState, ReaderToken
from istio_mc.domain.problem import Problem, ProblemError
from istio_mc.gateways.host import parallel
from istio_mc.ops import link
from istio_mc.ops.link import _forgotten, mint, planned
from istio_mc.ops.session.inputs import Inputs
from istio_mc.ops.session.session import Session, open_named
from tests.support.fake_api import FakeApi, write_kubeconfig
from tests.support.world import CLUSTERS, encoded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from istio_mc.gateways.kube.client import Kube


def token_secret(name: str, token: str | None, created: str = "2026-01-01T00:00:00Z") -> dict[str, Any]:
    secret = documents.reader_token_secret()
    secret["metadata"] |= {"name": name, "creationTimestamp": created}
    return secret | ({"data": {"token": encoded(token), "ca.crt": encoded("ca")}} if token else {})


class TestMint:
    @pytest.fixture
    def session(self, api: FakeApi, tmp_path: Path) -> Iterator[Session]:
        api.on(objects.SECRET.path("istio-system"), {})
        config = write_kubeconfig(tmp_path / "c", {"kt": api.url})
        with open_named(Inputs(str(config), ("kt",), timeout_s=60), self.seen.append) as found:
            yield found

    seen: ClassVar[list[Event]] = []

    @pytest.mark.parametrize(
        ("there", "seen"), [(True, r"without a token after \d s"), (False, "is gone")], ids=["empty", "gone"]
    )
    def test_a_token_is_waited_for_until_the_runs_deadline(
        self, session: Session, api: FakeApi, seen: str, *, there: bool
    ) -> None:
        wanted = documents.reader_token_secret()
        name = wanted["metadata"]["name"]
        if there:
            api.on(objects.SECRET.path("istio-system", name), wanted)
        session.clusters.kubes["kt"].list(objects.SECRET, "istio-system")  # the first request takes longer
        session = session.until(time.monotonic() + 1)
        with pytest.raises(ProblemError) as error:
            mint(session, CLUSTERS["kt"], plan.LINK)
        assert re.fullmatch(rf"Secret {name} {seen}", error.value.problems[0].seen or "")
        assert Event("kt", "link", State.WAITING, f"for a token in Secret istio-system/{name}") in self.seen
        assert len(api.calls) < 15  # ten a second are enough


class TestPlanned:
    @pytest.mark.parametrize("filled", [True, False])
    def test_says_what_a_link_would_write_without_minting_a_token(self, *, filled: bool) -> None:
        token = ReaderToken("t", b"ca") if filled else None
        steps = planned(CLUSTERS, {name: LinkState(token, ()) for name in CLUSTERS})
        assert [len(step.documents) if step else 0 for step in steps.values()] == [2, 2, 2]


class TestForgotten:
    """A remote secret that istiod could not use is written again once no istiod knows of the old one."""

    @pytest.fixture
    def pauses(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        """The pauses, by which time passes."""
        found: list[float] = []
        clock = SimpleNamespace(monotonic=lambda: sum(found), sleep=found.append)
        for module in (link, parallel):
            monkeypatch.setattr(module, "time", clock)
        monkeypatch.setattr(link, "istiod_pods", lambda _: ["istiod-1", "istiod-2"])
        return found

    def rows(self, monkeypatch: pytest.MonkeyPatch, looks: list[str]) -> None:
        """What the second istiod knows of, look by look; the first one knows of the other secret only."""

        def clusterz(_kube: object, pod: str) -> list[RemoteCluster]:
            if pod == "istiod-1":
                return [RemoteCluster(pod, "nhn-nks", "istio-system/other", "synced")]
            known = looks.pop(0) if len(looks) > 1 else looks[0]
            if not known:
                raise ProblemError(Problem(code=Code.NO_ISTIOD, message="no answer"))
            return [RemoteCluster(pod, "ncloud-nks", known, "closed")]

        monkeypatch.setattr(link, "clusterz", clusterz)

    def test_istiods_are_looked_at_until_none_knows_of_it(
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
