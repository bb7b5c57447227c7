"""The clusters of a run: which can be used, and work on all of them."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, field
from typing import TYPE_CHECKING

import pytest

from istio_mc.domain.events import Event, State
from istio_mc.domain.kube.kubeconfig import KubeconfigFile, merge
from istio_mc.domain.problem import Code, Problem, ProblemError
from tests.support.fake_api import kubeconfig
from tests.support.sessions import session_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from istio_mc.ops.session.session import Session

NAMES = ("kt", "ncloud", "nhn")
LOST = Problem(code=Code.CLUSTER_UNREACHABLE, message="no route")


@dataclass
class Server:
    """An API server that notes what is done with it."""

    deadline: float = 0.0
    closed: list[str] = field(default_factory=list)

    def until(self, deadline: float) -> Server:
        return Server(deadline, self.closed)

    def close(self) -> None:
        self.closed.append("closed")


@pytest.fixture
def servers() -> dict[str, Server]:
    return {name: Server() for name in NAMES}


@pytest.fixture
def session(servers: dict[str, Server]) -> Iterator[Session]:
    merged = merge([KubeconfigFile("config", kubeconfig(dict.fromkeys(NAMES, "https://127.0.0.1:1")))])
    with session_of(servers, merged) as made:
        yield made


def test_work_is_done_for_each_that_can_be_used(session: Session) -> None:
    session.clusters.mark_unusable({"ncloud": (LOST,)})
    assert session.clusters.each(str.upper) == ({"kt": "KT", "nhn": "NHN"}, {})
    assert session.clusters.each(str.upper, ["nhn"]) == ({"nhn": "NHN"}, {})


def test_what_fails_in_one_is_its_own(session: Session) -> None:
    def work(name: str) -> str:
        if name == "kt":
            raise ProblemError(LOST)
        return name

    found, failed = session.clusters.each(work)
    assert (list(found), failed) == (["ncloud", "nhn"], {"kt": (LOST.on("kt"),)})
    assert "kt" in session.clusters.kubes  # whether it can be used any longer is for the caller to decide


def test_a_step_is_reported_as_pending_for_each(servers: dict[str, Server]) -> None:
    events: list[Event] = []
    with session_of(servers, progress=events.append) as session:
        session.clusters.each(str, step="link")
    assert events == [Event(name, "link", State.PENDING) for name in NAMES]


def test_one_that_becomes_unusable_is_closed_and_left_out(
    session: Session, servers: dict[str, Server]
) -> None:
    session.clusters.mark_unusable({"kt": (LOST,), "outside": (LOST,)})
    assert list(session.clusters.kubes) == ["ncloud", "nhn"]
    assert set(session.clusters.unusable) == {"kt", "outside"}
    assert [one.closed for one in servers.values()] == [["closed"], [], []]
    assert session.clusters.names == NAMES  # it is a cluster of the run all the same


def test_those_that_are_not_chosen_are_closed_and_forgotten(
    session: Session, servers: dict[str, Server]
) -> None:
    session.clusters.mark_unusable({"nhn": (LOST,)})
    session.clusters.choose([one for one in session.clusters.contexts if one.name == "kt"])
    assert (session.clusters.names, list(session.clusters.kubes)) == (("kt",), ["kt"])
    assert dict(session.clusters.unusable) == {}
    assert servers["ncloud"].closed == ["closed"]


def test_another_deadline_is_another_session_over_the_same_connections(
    session: Session, servers: dict[str, Server]
) -> None:
    session.clusters.mark_unusable({"nhn": (LOST,)})
    before = session.run.deadline
    later = session.until(before + 5.0)
    assert (session.run.deadline, later.run.deadline) == (before, before + 5.0)
    assert {name: vars(kube)["deadline"] for name, kube in later.clusters.kubes.items()} == {
        "kt": before + 5.0,
        "ncloud": before + 5.0,
    }
    assert dict(later.clusters.unusable) == dict(session.clusters.unusable)
    later.clusters.mark_unusable({"kt": (LOST,)})
    assert servers["kt"].closed == ["closed"]


@pytest.mark.parametrize(
    ("part", "name", "value"), [("run", "deadline", 0.0), ("clusters", "kubes", {}), ("", "warnings", ())]
)
def test_nothing_of_it_can_be_set(session: Session, part: str, name: str, value: object) -> None:
    with pytest.raises((FrozenInstanceError, AttributeError)):
        setattr(getattr(session, part) if part else session, name, value)


@pytest.mark.parametrize("name", ["kubes", "unusable", "namespaces"])
def test_data_read_from_the_clusters_is_immutable(session: Session, name: str) -> None:
    with pytest.raises(TypeError):
        getattr(session.clusters, name)["kt"] = None
