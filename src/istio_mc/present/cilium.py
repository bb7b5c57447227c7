"""How Cilium's settings look: what is, what shall be, and what was."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rich.text import Text

from istio_mc.domain import cilium
from istio_mc.ops.cilium import Verb
from istio_mc.present.output.envelope import Report, exit_for
from istio_mc.present.output.terminal import table

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
            "desired": dict(result.wanted),
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
        lines.append(f"{name}: {_told(result.plans[name])}")
        lines += [text.plain for text in _diff(result.plans[name])]
        lines += _why(result, name)
    return "\n".join([*lines, "Go on?"])


def _told(plan: Plan) -> str:
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
        for sign, value, style in (("-", change.live, "red"), ("+", change.wanted, "green")):
            if value is not None:
                lines.append(Text(f"  {sign} {change.key}: {json.dumps(value)}", style=style))
    return lines


def _cluster(result: CiliumResult, name: str) -> dict[str, Any]:
    found = result.found.get(name)
    plan = result.plans.get(name)
    return {
        "name": name,
        "status": _status(result, name),
        "cilium": None if name in result.failures and found is None else found is not None,
        "reason": result.without.get(name),
        "changes": [{"key": change.key, "from": change.live, "to": change.wanted} for change in plan.changes]
        if plan
        else [],
        "restart": plan.restart or None if plan else None,
        **(_found(result, found) if found else {}),
    }


def _found(result: CiliumResult, found: Cilium) -> dict[str, Any]:
    """How it was before anything was done."""
    rollout = found.rollout
    old = found.backed_up
    why = {need.key: need.why for need in found.needs}
    return {
        "settings": [
            {
                "key": key,
                "desired": result.wanted.get(key),
                "live": found.data.get(key),
                "backup": None if old is None else old.get(key),
                "reason": why.get(key),
            }
            for key in _keys(result, found)
        ],
        "backup": old is not None,
        "changedByOthersSinceBackup": list(found.strangers) if old is not None else [],
        "agents": {
            "desired": rollout.desired,
            "updated": rollout.updated,
            "ready": rollout.ready,
            "olderThanSettings": list(found.stale),
        },
    }


def _keys(result: CiliumResult, found: Cilium) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*result.wanted, *found.fixed_keys)))


def _status(result: CiliumResult, name: str) -> str:
    if name in result.failures:
        return "failed"
    if name in result.without:
        return "no Cilium"
    if result.verb is Verb.STATUS:
        return "right" if cilium.fix_plan(result.found[name], result.wanted).empty else "to fix"
    if name not in result.todo:
        return "unchanged"
    if not result.finished:
        return "planned"
    return "fixed" if result.verb is Verb.FIX else "reverted"


def _render(result: CiliumResult, console: Console) -> None:
    for name in result.contexts:
        line = Text.assemble((name, "bold"), f"  {_status(result, name)}")
        if name in result.without:
            line.append(f" ({result.without[name]})")
        elif name in result.found and result.verb is not Verb.STATUS:
            line.append(f": {_told(result.plans[name])}" if name in result.plans else "")
        console.print(line, soft_wrap=True)
        if name in result.found and result.verb is Verb.STATUS:
            _render_found(result, result.found[name], console)
        for change in _diff(result.plans[name]) if name in result.plans else ():
            console.print(change, soft_wrap=True)
        for reason in _why(result, name):
            console.print(reason, markup=False, soft_wrap=True)


def _why(result: CiliumResult, name: str) -> list[str]:
    """Which of the settings matter in a cluster; K-PaaS's own addition is nobody's need."""
    found = result.found.get(name)
    if found is None or result.verb is Verb.REVERT:
        return []
    why = {need.key: need.why for need in found.needs}
    lines = [f"  {key} matters here: {reason}" for key, reason in why.items()]
    rest = [key for key in result.wanted if key not in why]
    return [*lines, f"  without effect on a mesh here: {', '.join(rest)}"] if rest else lines


def _render_found(result: CiliumResult, found: Cilium, console: Console) -> None:
    rows = table("  SETTING", "DESIRED", "LIVE", "BACKUP")
    old = found.backed_up
    for key in _keys(result, found):
        want, live = result.wanted.get(key), found.data.get(key)
        rows.add_row(
            f"  {key}",
            want or "-",
            Text(live if live is not None else "absent", style="" if want in (None, live) else "red"),
            "-" if old is None else old.get(key, "absent"),
        )
    console.print(rows)
    console.print(f"  agents: {found.rollout}, {_run_with(found)}", soft_wrap=True)
    if old is not None and found.strangers:
        console.print(f"  changed by others since the backup: {', '.join(found.strangers)}", soft_wrap=True)


def _run_with(found: Cilium) -> str:
    if not found.stale:
        return "all started after the settings last changed"
    return f"{len(found.stale)} older than the last change of the settings: {', '.join(found.stale[:3])}"
