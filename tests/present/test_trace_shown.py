"""How trace looks: the matrix with its hops, and every hop of a path that was named."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from istio_mc.domain.hint import kubectl
from istio_mc.domain.problem import Code, Problem
from istio_mc.domain.trace.hops import HOPS
from istio_mc.domain.trace.model import OK, HopResult, Outcome, ServiceName, State, Trace, broken
from istio_mc.ops.trace import TraceResult
from istio_mc.present.output import terminal
from istio_mc.present.output.envelope import Exit
from istio_mc.present.trace import report

if TYPE_CHECKING:
    import pytest

PROBLEM = Problem(
    code=Code.PEER_AUTHENTICATION_OFF,
    cluster="nhn",
    message="nhn: PeerAuthentication sample/off turns mTLS off for sample/reviews",
    seen="mtls mode DISABLE",
    expected="PERMISSIVE or STRICT: calls from another network are mTLS",
    hint=kubectl("nhn", "-n", "sample", "get", "peerauthentications"),
)
CLIENTS = {"kt": "sample/sleep-1", "nhn": ""}
IDS = [hop.id for hop in HOPS]


def path(client: str, target: str, hop: str = "", outcome: Outcome = OK) -> Trace:
    """A path whose hops are whole up to one."""
    chosen = HOPS[: IDS.index(hop) + 1] if hop else HOPS
    results = [HopResult(one, OK) for one in chosen]
    if hop:
        results[-1] = HopResult(chosen[-1], outcome)
    return Trace(client, target, tuple(results))


def shown(capsys: pytest.CaptureFixture[str], *traces: Trace) -> list[str]:
    result = TraceResult(ServiceName("sample", "reviews"), 9080, CLIENTS, traces)
    report(result).render(terminal.console())
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def test_a_matrix_names_the_hop_of_each_path_and_sentences_are_not_folded(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    local = Outcome(State.LOCAL, "cluster-local by meshConfig.serviceSettings of kt")
    assert shown(
        capsys,
        path("kt", "kt"),
        path("kt", "ncloud", "sharing", local),
        path("kt", "nhn", "peer-authentication", broken(PROBLEM)),
        path("nhn", "kt", "proxy", Outcome(State.UNKNOWN, "no proxy of nhn was read")),
    ) == [
        "sample/reviews, port 9080",
        "FROM \\ TO  kt  ncloud     nhn",
        "kt         √   = sharing  × peer-authentication",
        "nhn        ?   -          -",
        "kt → ncloud: local by configuration: cluster-local by meshConfig.serviceSettings of kt",
        "4 paths: 1 ok, 1 broken, 1 local by configuration, 1 with hops that are unknown",
    ]


def test_request_dependent_rules_are_listed_once_below_the_matrix(
    capsys: pytest.CaptureFixture[str],
) -> None:
    open_hop = Outcome(State.OK, "depends on the request: AuthorizationPolicy sample/jwt", is_open=True)
    paths = [path(client, "nhn", "authorization", open_hop) for client in ("kt", "ncloud", "nhn", "eu")]
    assert shown(capsys, *paths)[-2:] == [
        (
            "authorization: depends on the request: AuthorizationPolicy sample/jwt "
            "(kt → nhn, ncloud → nhn, nhn → nhn and 1 more)"
        ),
        "4 paths: 4 ok",
    ]


def test_of_a_cause_that_proxies_do_not_have_yet_calls_may_still_pass(
    capsys: pytest.CaptureFixture[str],
) -> None:
    at_link = replace(PROBLEM, code=Code.NETWORK_LABEL_DIFFERS, hint=None)
    traces = (
        path("kt", "nhn", "link", broken(at_link)),
        path("nhn", "kt", "peer-authentication", broken(PROBLEM)),
    )
    result = TraceResult(ServiceName("sample", "reviews"), 9080, CLIENTS, traces, delayed=(at_link,))
    report(result).render(terminal.console())
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == [
        "link: calls may still pass until proxies get new configuration (kt → nhn)",
        "2 paths: 2 broken",
    ]


def test_of_a_single_path_every_hop_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, path("kt", "nhn", "service", broken(PROBLEM)))
    assert lines[3:] == [
        "  √ link: clusters, control planes and links, by the checks of verify",
        "  × service: mtls mode DISABLE",
        "1 path: 1 broken",
    ]


def test_a_cause_of_several_paths_is_one_error() -> None:
    traces = (
        path("kt", "nhn", "peer-authentication", broken(PROBLEM)),
        path("ncloud", "nhn", "peer-authentication", broken(PROBLEM)),
    )
    found = report(TraceResult(ServiceName("sample", "reviews"), 9080, CLIENTS, traces))
    assert (found.errors, found.exit) == ((PROBLEM,), Exit.CHECKS_FAILED)
    assert [(one["from"], one["to"], one["state"], one["brokenHop"]) for one in found.data["paths"]] == [
        ("kt", "nhn", "broken", "peer-authentication"),
        ("ncloud", "nhn", "broken", "peer-authentication"),
    ]
    assert found.data["clients"] == {"kt": "sample/sleep-1", "nhn": None}
    assert found.data["paths"][0]["hops"][-1] == {
        "id": "peer-authentication",
        "title": "mTLS of the target",
        "state": "broken",
        "seen": "mtls mode DISABLE",
        "dependsOnRequest": False,
    }


def test_paths_without_a_broken_hop_are_no_fault() -> None:
    traces = (path("kt", "kt"), path("kt", "nhn", "proxy", Outcome(State.UNKNOWN, "unread")))
    found = report(TraceResult(ServiceName("sample", "reviews"), 9080, CLIENTS, traces))
    assert (found.errors, found.exit) == ((), Exit.DONE)
