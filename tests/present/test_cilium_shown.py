"""What people and programs get to read of Cilium's settings, kept in tests/golden."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from istio_mc.domain import cilium
from istio_mc.domain.cilium import Cilium
from istio_mc.domain.problem import Code, Problem
from istio_mc.ops.cilium import CiliumResult, Verb
from istio_mc.present import cilium as present
from istio_mc.present.output import terminal
from istio_mc.present.output.envelope import Envelope, Report

Golden = Callable[[str, str], None]
CHART = {"kube-proxy-replacement": "true", "bpf-lb-sock-hostns-only": "false", "debug": "false"}
OLD, CHANGED, NEW = "2026-03-01T10:00:00Z", "2026-03-01T10:00:05Z", "2026-03-01T10:00:09Z"
SILENT = Problem(
    code=Code.CLUSTER_UNREACHABLE,
    cluster="nhn",
    message="API server is not reachable",
    seen="no route to host",
)


def found(data: dict[str, str], *, created: str = NEW, backup: dict[str, str] | None = None) -> Cilium:
    entry = {"time": CHANGED, "fieldsV1": {"f:data": {}}}
    kept: dict[str, Any] | None = None
    if backup is not None:
        before = Cilium({"metadata": {}, "data": backup}, {"metadata": {}})
        kept = cilium.backup_document(before, cilium.fix_plan(before, cilium.required_settings()).changes)
    return Cilium(
        {"metadata": {"resourceVersion": "7", "managedFields": [entry]}, "data": data},
        {
            "metadata": {"generation": 1},
            "spec": {},
            "status": {
                "observedGeneration": 1,
                "desiredNumberScheduled": 2,
                "updatedNumberScheduled": 2,
                "numberReady": 2,
            },
        },
        tuple(
            {"metadata": {"name": name, "creationTimestamp": created}} for name in ("cilium-a", "cilium-b")
        ),
        kept,
    )


def result(verb: Verb, seen: Cilium, plan: cilium.Plan, *, finished: bool = False) -> CiliumResult:
    return CiliumResult(
        verb=verb,
        contexts=("kt", "ncloud", "nhn"),
        required_settings=cilium.required_settings(),
        found={"ncloud": seen},
        without={"kt": "no DaemonSet cilium in kube-system"},
        plans={"kt": cilium.Plan(), "ncloud": plan},
        failures={"nhn": (SILENT,)},
        finished=finished,
    )


@pytest.fixture
def shown(
    golden: Golden, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, Report], None]:
    monkeypatch.delenv("COLUMNS", raising=False)

    def compare(name: str, report: Report) -> None:
        report.render(terminal.console())
        text = capsys.readouterr().out + f"exit {int(report.exit)}\n"
        golden(f"{name}.txt", "".join(f"{line.rstrip()}\n" for line in text.splitlines()))
        envelope = Envelope("cilium", report.exit, report.data, report.errors, report.warnings)
        golden(f"{name}.json", envelope.text("json"))

    return compare


def test_a_dry_run_shows_the_difference(shown: Callable[[str, Report], None]) -> None:
    seen = found(CHART)

    shown(
        "cilium-dry-run",
        present.report(result(Verb.FIX, seen, cilium.fix_plan(seen, cilium.required_settings())), ()),
    )


def test_a_fix_that_was_done(shown: Callable[[str, Report], None]) -> None:
    seen = found(CHART)
    plan = cilium.fix_plan(seen, cilium.required_settings())

    shown("cilium-fixed", present.report(result(Verb.FIX, seen, plan, finished=True), ()))


def test_a_status_shows_backup_agents_that_are_too_old_and_what_others_changed(
    shown: Callable[[str, Report], None],
) -> None:
    seen = found(CHART | cilium.required_settings() | {"debug": "true"}, created=OLD, backup=CHART)

    shown("cilium-status", present.report(result(Verb.STATUS, seen, cilium.Plan()), ()))


def test_the_question_lists_all_changes() -> None:
    seen = found(CHART | cilium.required_settings(), backup=CHART)

    assert present.question(result(Verb.REVERT, seen, cilium.revert_plan(seen))) == (
        "ncloud: kube-system/cilium-config changes; rolling restart of DaemonSet cilium "
        "(agents read their settings only at start); "
        "ConfigMap istio-mc-cilium-backup is removed at the end\n"
        '  - bpf-lb-sock-hostns-only: "true"\n'
        '  + bpf-lb-sock-hostns-only: "false"\n'
        '  - cni-exclusive: "false"\n'
        "Go on?"
    )
