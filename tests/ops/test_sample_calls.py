"""A client calls until all calls are made, or until more would only take more time."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from istio_mc.domain.events import Event, State
from istio_mc.domain.kube.kubeconfig import KubeconfigFile, merge
from istio_mc.domain.problem import ProblemError
from istio_mc.domain.traffic.sample import Calls
from istio_mc.gateways.kube.stream import Execution
from istio_mc.ops import sample
from istio_mc.ops.sample import calls_of, silent_gateway
from istio_mc.ops.session import wait_report
from tests.support.fake_api import kubeconfig
from tests.support.sessions import session_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from istio_mc.ops.session.session import Session


VERSIONS = ("v1", "v2", "v3")
SILENT = None


class Client:
    """curl in a pod, behind an Envoy that takes endpoints in turn; time passes as fast as it is told."""

    def __init__(self, turns: Iterable[str | None]) -> None:
        self._turns = itertools.cycle(turns)
        self.took_s = 0.0
        self.runs = 0

    def execute(
        self,
        _namespace: str,
        _pod: str,
        _container: str,
        command: Sequence[str],
        *,
        timeout_s: float,
        reads: bool,
    ) -> Execution:
        match = re.search(r"call=\[1-(\d+)\]", command[-1])
        assert match, command
        each_s = float(command[command.index("--max-time") + 1])
        self.runs += 1
        lines: list[str] = []
        begun = self.took_s
        for version in itertools.islice(self._turns, int(match[1])):
            if version is SILENT:
                self.took_s += each_s
                lines += ["", "000"]
                break
            lines += [json.dumps({"podname": f"reviews-{version}-x"}), "200"]
        assert reads
        assert self.took_s - begun < timeout_s, "no exec outlives its deadline"
        return Execution("\n".join(lines), "", 28 if lines[-1] == "000" else 0)

    def close(self) -> None:
        """Nothing is open."""


def session(client: object, *, within_s: float = 600.0) -> Session:
    merged = merge([KubeconfigFile("config", kubeconfig({"kt": "https://127.0.0.1:1"}))])
    return session_of({"kt": client}, merged, within_s=within_s)


def called(client: Client, versions: Sequence[str] = VERSIONS, within_s: float = 600.0) -> Calls:
    with session(client, within_s=within_s) as run:
        return calls_of(run, "kt", "sleep-1", versions, calls=180, wait_s=0.0)


def test_all_calls_are_made_in_one_process_if_every_version_responds() -> None:
    client = Client(["v1", "v2", "v3"])
    assert called(client) == Calls({"v1": 60, "v2": 60, "v3": 60}, {})
    assert client.runs == 2  # one for each to have answered once, and one that counts


def test_a_version_that_never_answers_does_not_keep_the_others_from_being_counted() -> None:
    found = called(Client(["v1", "v2"]))
    assert found == Calls({"v1": 90, "v2": 90}, {})


def test_a_version_behind_silence_is_given_up_within_half_a_minute() -> None:
    client = Client(["v1", "v2", SILENT])
    found = called(client)
    assert found.given_up
    assert client.took_s < 30
    assert min(found.answered.values()) >= 9
    assert [found.too_few(version, 3) for version in VERSIONS] == [False, False, True]


@pytest.mark.parametrize("turns", [[SILENT], ["v1", SILENT, SILENT]], ids=["everywhere", "two of three"])
def test_silence_during_the_whole_wait_is_not_waited_for_again(
    monkeypatch: pytest.MonkeyPatch, turns: list[str | None]
) -> None:
    monkeypatch.setattr(sample, "poll_rounds", lambda *_: iter([30.0] * 13))  # 30 s of silence
    client = Client(turns)
    assert called(client).given_up
    assert client.took_s < 35


def test_a_gateway_that_answers_late_has_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "poll_rounds", lambda *_: iter([30.0] * 13))
    found = called(Client([*[SILENT] * 13, *VERSIONS * 100]))
    assert not found.given_up
    assert [found.too_few(version, 3) for version in VERSIONS] == [False, False, False]


def test_silence_from_everywhere_is_given_up_too() -> None:
    client = Client([SILENT])
    found = called(client)
    assert found == Calls({}, {"000": found.total}, given_up=True)
    assert client.took_s < 40


def test_calls_to_a_cluster_outside_the_test_do_not_use_up_the_time() -> None:
    client = Client(["v1", "v2", SILENT])
    found = called(client, versions=("v1", "v2"))
    assert found.given_up
    assert client.took_s < 40
    assert not any(found.too_few(version, 2) for version in ("v1", "v2"))


def test_a_few_lost_calls_do_not_end_the_count() -> None:
    found = called(Client([*["v1", "v2", "v3"] * 15, SILENT]))
    assert not found.given_up
    assert (found.total, found.unanswered) == (180, 4)


def test_the_runs_deadline_ends_it_with_what_was_counted() -> None:
    found = called(Client(["v1", "v2", "v3"]), within_s=sample._RESERVE_S)
    assert found == Calls({}, {}, given_up=True)


def test_a_client_that_cannot_call_is_an_error_and_not_a_count_of_zero() -> None:
    class Broken(Client):
        def execute(self, *_: object, **__: object) -> Execution:
            return Execution("", "sh: curl: not found", 127)

    with pytest.raises(ProblemError, match="made no call") as raised:
        called(Broken([]))
    assert raised.value.problems[0].seen == "sh: curl: not found"


@pytest.mark.parametrize(
    ("codes", "silent"), [((28,), "one"), ((35,), None), ((35, 28), "two"), ((6,), None)]
)
def test_a_gateway_is_silent_where_nothing_comes_back_in_time(
    codes: Sequence[int], silent: str | None
) -> None:
    ended = iter(codes)

    class Knocking(Client):
        def execute(self, *_: object, **__: object) -> Execution:
            return Execution("", "", next(ended))

    with session(Knocking([])) as run:
        assert silent_gateway(run, "kt", "sleep-1", ("one", "two")[: len(codes)]) == silent


def waits_of(monkeypatch: pytest.MonkeyPatch, turns: Sequence[str | None], wait_s: float) -> list[str]:
    """What is reported while a client waits, if every wait is long enough to be reported again."""
    monkeypatch.setattr(wait_report, "REMIND_S", 0.0)
    monkeypatch.setattr(sample, "_POLL_S", 0.01)
    events: list[Event] = []
    with session(Client(turns)) as run:
        reporting = replace(run, run=replace(run.run, progress=events.append))
        calls_of(reporting, "kt", "sleep-1", VERSIONS, calls=180, wait_s=wait_s)
    return [event.detail for event in events if event.state is State.WAITING]


def test_a_wait_for_a_version_is_reported_again_with_the_seconds_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = waits_of(monkeypatch, ["v1", "v2"], wait_s=1.0)
    assert texts[0] == "for a response from v3"
    assert re.fullmatch(r"for a response from v3; [01] s left", texts[1])


def test_calls_that_are_counted_for_long_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = waits_of(monkeypatch, ["v1", "v2", SILENT], wait_s=0.0)
    assert "for responses to 180 requests, some get none" in texts


def test_responses_are_listed_by_version_in_their_order() -> None:
    assert sample._counted(Calls({"v2": 88, "v1": 92}, {})) == "responses by version: v1 92, v2 88"
