"""A namespace that an uninstall deletes is waited for until it is gone, and named where it stays."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from istio_mc.domain.events import Event, State
from istio_mc.domain.kube import objects
from istio_mc.domain.problem import ProblemError
from istio_mc.gateways.host import parallel
from istio_mc.ops.session.inputs import Inputs
from istio_mc.ops.session.session import Session, open_named
from istio_mc.ops.uninstall.uninstall import _wait_gone
from tests.support.fake_api import FakeApi, status, write_kubeconfig
from tests.support.sessions import changed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATH = objects.NAMESPACE.path(None, "sample")
GOING: dict[str, Any] = {"kind": "Namespace", "metadata": {"name": "sample", "deletionTimestamp": "now"}}
CONDITION = {"type": "NamespaceContentRemaining", "status": "True", "message": "x.example remains"}


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def session(api: FakeApi, tmp_path: Path, events: list[Event]) -> Iterator[Session]:
    config = write_kubeconfig(tmp_path / "config", {"kt": api.url})
    with open_named(Inputs(str(config), ("kt",), timeout_s=60), events.append) as found:
        yield found


def test_it_is_read_again_until_it_is_gone(
    session: Session, api: FakeApi, events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(parallel, "time", SimpleNamespace(sleep=pauses.append, monotonic=time.monotonic))
    api.on(PATH, GOING, GOING, status(404, "gone"))
    _wait_gone(session, session.clusters.kubes["kt"], "sample")
    assert events == [Event("kt", "uninstall", State.WAITING, "for namespace sample to go")]
    assert pauses == [0.5, 0.5]


@pytest.mark.parametrize(
    ("conditions", "seen"), [([CONDITION], "x.example remains"), ([], "still there at the deadline")]
)
def test_the_reason_of_a_stuck_namespace_is_reported_at_the_deadline(
    session: Session, api: FakeApi, conditions: list[dict[str, str]], seen: str
) -> None:
    api.on(PATH, {**GOING, "status": {"phase": "Terminating", "conditions": conditions}})
    session = changed(session, deadline=time.monotonic())
    with pytest.raises(ProblemError) as error:
        _wait_gone(session, session.clusters.kubes["kt"], "sample")
    (problem,) = error.value.problems
    assert (problem.code, problem.cluster, problem.seen) == ("namespace-stuck", "kt", seen)
    assert len(api.calls) == 1
