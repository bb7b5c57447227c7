"""Output of the cilium commands: current, required and backed-up settings."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from istio_mc.domain import cilium
from istio_mc.ops.cilium import Verb
from istio_mc.present.output.envelope import Report, exit_for
from istio_mc.present.output.terminal import table
from istio_mc.present.output.wrap import print_item, print_wrapped

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from istio_mc.domain.cilium import Cilium, Plan
    from istio_mc.domain.problem import Problem
    from istio_mc.ops.cilium import CiliumResult


def report(result: CiliumResult, warnings: Iterable[Problem]) -> Report:
    """What was found and done, cluster by cluster."""
    return Report(
        data={
            "dryRun": result.verb is not Verb.STATUS and not result.finished,
            "desired": dict(result.required_settings),
            "clusters": [_cluster(result, name) for name in result.contexts],
        },
        render=lambda console: _render(result, console),
        errors=tuple(problem for problems in result.failures.values() for problem in problems),
        warnings=tuple(warnings),
        exit=exit_for(len(result.failures), len(result.contexts)),
    )


def question(result: CiliumResult) -> str:
    """What will change, told before it does."""
    lines = []
    for name in result.todo:
        lines.append(f"{name}: {_summary(result.plans[name])}")
        lines += [text.plain for text in _diff(result.plans[name])]
        lines += _why(result, name)
    return "\n".join([*lines, "Go on?"])


def _summary(plan: Plan) -> str:
    parts = []
    if plan.changes:
        parts.append(f"{cilium.NAMESPACE}/{cilium.CONFIG} changes")
    if plan.restart:
        parts.append(f"rolling restart of DaemonSet {cilium.DAEMON_SET} ({plan.restart})")
    elif plan.watch:
        parts.append("the rolling restart that is under way is watched to its end")
    if plan.drop_backup:
        parts.append(f"ConfigMap {cilium.BACKUP} is removed at the end")
    return "; ".join(parts) or "nothing to change"


def _diff(plan: Plan) -> list[Text]:
    lines = []
    for change in plan.changes:
        for sign, value, style in (("-", change.live, "red"), ("+", change.desired, "green")):
            if value is not None:
                lines.append(Text(f"  {sign} {change.key}: {json.dumps(value)}", style=style))
    return lines


def _cluster(result: CiliumResult, name: str) -> dict[str, Any]:
    current = result.found.get(name)
    plan = result.plans.get(name)
    return {
        "name": name,
        "status": _status(result, name),
        "cilium": None if name in result.failures and current is None else current is not None,
        "reason": result.without.get(name),
        "changes": [{"key": change.key, "from": change.live, "to": change.desired} for change in plan.changes]
        if plan
        else [],
        "restart": plan.restart or None if plan else None,
        **(_state_before(result, current) if current else {}),
    }


def _state_before(result: CiliumResult, current: Cilium) -> dict[str, Any]:
    """How it was before anything was done."""
    rollout = current.rollout
    old = current.backed_up
    why = {need.key: need.why for need in current.needs}
    return {
        "settings": [
            {
                "key": key,
                "desired": result.required_settings.get(key),
                "live": current.data.get(key),
                "backup": None if old is None else old.get(key),
                "reason": why.get(key),
            }
            for key in _keys(result, current)
        ],
        "backup": old is not None,
        "changedByOthersSinceBackup": list(current.changed_by_others) if old is not None else [],
        "agents": {
            "desired": rollout.desired,
            "updated": rollout.updated,
            "ready": rollout.ready,
            "olderThanSettings": list(current.stale),
        },
    }


def _keys(result: CiliumResult, current: Cilium) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*result.required_settings, *current.fixed_keys)))


def _status(result: CiliumResult, name: str) -> str:
    if name in result.failures:
        return "failed"
    if name in result.without:
        return "no Cilium"
    if result.verb is Verb.STATUS:
        return "right" if cilium.fix_plan(result.found[name], result.required_settings).empty else "to fix"
    if name not in result.todo:
        return "unchanged"
    if not result.finished:
        return "planned"
    return "fixed" if result.verb is Verb.FIX else "reverted"


def _render(result: CiliumResult, console: Console) -> None:
    wide = max(map(cell_len, result.contexts), default=0)
    for name in result.contexts:
        text = _status(result, name)
        if name in result.without:
            text += f": {result.without[name]}"
        elif name in result.plans and name in result.found and result.verb is not Verb.STATUS:
            text += f": {_summary(result.plans[name])}"
        print_item(console, (f"{set_cell_size(name, wide)} ", "bold"), text, margin=0)
        if name in result.found and result.verb is Verb.STATUS:
            _render_state(result, result.found[name], console)
        for change in _diff(result.plans[name]) if name in result.plans else ():
            console.print(change, soft_wrap=True)
        for reason in _why(result, name):
            print_wrapped(console, reason.split(), indent=4, first=Text(" " * 2))


def _why(result: CiliumResult, name: str) -> list[str]:
    """Which of the settings matter in a cluster; K-PaaS's own addition is nobody's need."""
    current = result.found.get(name)
    if current is None or result.verb is Verb.REVERT:
        return []
    why = {need.key: need.why for need in current.needs}
    lines = [f"  {key} matters here: {reason}" for key, reason in why.items()]
    rest = [key for key in result.required_settings if key not in why]
    return [*lines, f"  no effect on the mesh in this cluster: {', '.join(rest)}"] if rest else lines


def _render_state(result: CiliumResult, current: Cilium, console: Console) -> None:
    rows = table("  SETTING", "DESIRED", "LIVE", "BACKUP")
    old = current.backed_up
    for key in _keys(result, current):
        desired, live = result.required_settings.get(key), current.data.get(key)
        rows.add_row(
            f"  {key}",
            desired or "-",
            Text(live if live is not None else "absent", style="" if desired in (None, live) else "red"),
            "-" if old is None else old.get(key, "absent"),
        )
    console.print(rows)
    print_item(console, "rollout:", f"{current.rollout}, {_run_with(current)}")
    if old is not None and current.changed_by_others:
        print_item(console, "changed by others since the backup:", ", ".join(current.changed_by_others))


def _run_with(current: Cilium) -> str:
    if not current.stale:
        return "all started after the settings last changed"
    return f"{len(current.stale)} older than the last change of the settings: {', '.join(current.stale[:3])}"
