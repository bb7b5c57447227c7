"""What `cilium` sends to an API server, where a cluster is not as the lab's."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from istio_mc.domain.kube.kubeconfig import KubeconfigFile, merge
from istio_mc.gateways.kube.client import Kube
from istio_mc.ops import cilium as op
from tests.support.fake_api import FakeApi, Reply, status
from tests.support.sessions import session_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from istio_mc.ops.session.session import Session

SPACE = "/api/v1/namespaces/kube-system"
CONFIG = f"{SPACE}/configmaps/cilium-config"
BACKUP = f"{SPACE}/configmaps/istio-mc-cilium-backup"
AGENTS = "/apis/apps/v1/namespaces/kube-system/daemonsets/cilium"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
CHART = {"bpf-lb-sock-hostns-only": "false", "cni-exclusive": "true"}


def daemon_set(strategy: str = "RollingUpdate", ready: int = 1) -> dict[str, Any]:
    return {
        "metadata": {"uid": "u", "generation": 1},
        "spec": {"selector": {"matchLabels": {"k8s-app": "cilium"}}, "updateStrategy": {"type": strategy}},
        "status": {
            "observedGeneration": 1,
            "desiredNumberScheduled": 1,
            "updatedNumberScheduled": 1,
            "numberReady": ready,
        },
    }


@pytest.fixture
def session(api: FakeApi) -> Iterator[Session]:
    """A run on one cluster that runs Cilium with its chart's defaults."""
    api.on(CONFIG, {"metadata": {"resourceVersion": "7"}, "data": CHART})
    api.on(AGENTS, daemon_set())
    api.on(f"{SPACE}/pods", {"items": []})
    api.on(f"{SPACE}/configmaps", {})
    api.on("/api/v1/nodes", {"items": []})
    api.on("/api/v1/pods", {"items": []})
    merged = merge([KubeconfigFile("config", json.loads(json.dumps(api.kubeconfig())))])
    kube = Kube("kt", api.kubeconfig(), deadline=time.monotonic() + 5)
    with session_of({"kt": kube}, merged, within_s=5) as made:
        yield made


@pytest.fixture
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has a run look again after milliseconds."""
    monkeypatch.setattr(op, "_POLL_S", 0.05)
    monkeypatch.setattr(op, "_TICK_S", 0.05)


def sent(api: FakeApi) -> list[tuple[str, str]]:
    """What was changed, in order."""
    return [(method, path.partition("?")[0]) for method, path in api.calls if method != "GET"]


@pytest.mark.usefixtures("without_pauses")
def test_the_backup_is_made_before_the_settings_and_the_restart_comes_last(
    api: FakeApi, session: Session
) -> None:
    done = op.carry_out(session, op.prepare_fix(session), NOW, settle_s=0)

    assert done.failures == {}
    assert sent(api) == [("POST", f"{SPACE}/configmaps"), ("PATCH", CONFIG), ("PATCH", AGENTS)]
    (backup,) = [
        json.loads(body) for call, body in zip(api.calls, api.bodies, strict=True) if call[0] == "POST"
    ]
    assert backup["data"] == CHART


def test_a_restart_alone_too_comes_in_a_later_second_than_settings_that_a_stopped_run_has_just_written(
    api: FakeApi, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    just_now, before = (f"2026-03-01T00:00:0{second}Z" for second in (7, 1))
    written = [{"time": just_now, "fieldsV1": {"f:data": {}}}]
    settings = {"bpf-lb-sock-hostns-only": "true", "cni-exclusive": "false"}
    api.on(CONFIG, {"metadata": {"resourceVersion": "8", "managedFields": written}, "data": settings})
    agent = {"name": "cilium-a", "creationTimestamp": before, "ownerReferences": [{"uid": "u"}]}
    api.on(f"{SPACE}/pods", {"items": [{"metadata": agent}]})
    naps: list[tuple[float, list[tuple[str, str]]]] = []
    monkeypatch.setattr(time, "sleep", lambda seconds: naps.append((seconds, sent(api))))

    op.carry_out(session, op.prepare_fix(session), NOW, settle_s=0)

    assert [seconds > 1 for seconds, done in naps if not done] == [True]
    assert sent(api) == [("PATCH", AGENTS)]


def test_nothing_is_changed_if_the_backup_fails(api: FakeApi, session: Session) -> None:
    api.on(f"{SPACE}/configmaps", status(403, "configmaps is forbidden"))

    done = op.carry_out(session, op.prepare_fix(session), NOW, settle_s=0)

    assert [problem.code for problem in done.failures["kt"]] == ["forbidden"]
    assert sent(api) == [("POST", f"{SPACE}/configmaps")]


def test_a_write_by_others_after_the_difference_was_shown_is_not_overwritten(
    api: FakeApi, session: Session
) -> None:
    planned = op.prepare_fix(session)
    api.on(CONFIG, status(409, "the object has been modified"))

    done = op.carry_out(session, planned, NOW, settle_s=0)

    assert [(problem.code, str(problem.hint)) for problem in done.failures["kt"]] == [
        ("changed-meanwhile", "look at what changed there, then run the same command again")
    ]
    assert ("PATCH", AGENTS) not in sent(api)


def test_agents_with_update_strategy_on_delete_are_refused_before_the_first_change(
    api: FakeApi, session: Session
) -> None:
    api.on(AGENTS, daemon_set("OnDelete"))

    done = op.carry_out(session, op.prepare_fix(session), NOW, settle_s=0)

    assert [problem.code for problem in done.failures["kt"]] == ["restart-by-hand"]
    assert sent(api) == []


def test_a_daemon_set_without_its_settings_counts_as_no_cilium_and_reports_why(
    api: FakeApi, session: Session
) -> None:
    api.on(CONFIG, status(404, "not found"))

    assert op.status(session).without == {"kt": "no ConfigMap cilium-config in kube-system"}


@pytest.mark.usefixtures("without_pauses")
def test_a_rollout_that_does_not_end_stops_at_the_deadline(api: FakeApi, session: Session) -> None:
    api.on(AGENTS, daemon_set(ready=0))
    planned = op.prepare_fix(session)
    session = session.until(time.monotonic() + 1)

    done = op.carry_out(session, planned, NOW, settle_s=0)

    (problem,) = done.failures["kt"]
    assert (problem.code, problem.seen) == ("agents-not-rolled-out", "1 of 1 agents updated, 0 ready")
    assert session.run.remaining_s < 0.5


@pytest.mark.usefixtures("without_pauses")
def test_an_api_server_that_is_silent_for_a_moment_of_the_rollout_is_queried_again(
    api: FakeApi, session: Session
) -> None:
    planned = op.prepare_fix(session)
    api.on(AGENTS, daemon_set(), Reply(reset=True), daemon_set())

    assert op.carry_out(session, planned, NOW, settle_s=0).failures == {}
