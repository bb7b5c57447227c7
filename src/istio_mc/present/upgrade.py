"""Output of the upgrade command: plan and result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from istio_mc.domain.text import plural
from istio_mc.present.output.envelope import Exit, Report, exit_for
from istio_mc.present.output.terminal import print_words, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.console import Console

    from istio_mc.domain.problem import Problem
    from istio_mc.ops.upgrade.prepare import ClusterUpgrade, Upgrading
    from istio_mc.ops.upgrade.upgrade import UpgradeResult

_PHASES = ("control plane", "gateway")
_IN_PLACE = "record, control plane, gateway, verify"
_BY_REVISION = "record, control plane beside the old one, gateway, tags, verify, old control plane"


def question(todo: Upgrading) -> str:
    """What is asked before workloads are restarted."""
    count = sum(len(one.old) for one in todo.upgrades.values())
    names = ", ".join(todo.upgrades)
    return f"Upgrade {names} to Istio {todo.to}, and restart workloads ({count} have an older proxy now)?"


def report(result: UpgradeResult, warnings: Iterable[Problem]) -> Report:
    """The plan or what was done, as data and as a table."""
    todo = result.plan
    open_ones = [name for name in todo.upgrades if not result.is_done(name)]
    code = exit_for(len(open_ones), len(todo.upgrades)) if result.failures else Exit.DONE
    return Report(
        data={
            "to": todo.to,
            "back": todo.is_back,
            "revision": todo.revision,
            "path": list(todo.path),
            "dryRun": result.dry_run,
            "clusters": [_cluster(result, name, one) for name, one in todo.upgrades.items()],
        },
        render=lambda console: _render(result, console),
        errors=result.problems,
        warnings=(*warnings, *todo.warnings),
        exit=Exit.FAILED if todo.problems else code,
    )


def _cluster(result: UpgradeResult, name: str, one: ClusterUpgrade) -> dict[str, Any]:
    reached = result.reached.get(name, ())
    left = reached[-1].remaining if reached else ()
    return {
        "name": name,
        "clusterId": one.cluster.cluster_id,
        "from": one.running,
        "status": _status(result, name),
        "hops": [{"to": goal.version, "phases": [*_PHASES]} for goal in one.goals],
        "reached": [
            {"version": hop.version, "changed": hop.changed, "seconds": round(hop.took_s, 1)}
            for hop in reached
        ],
        "oldRevisionKeptFor": list(reached[-1].keeps) if reached else [],
        "olderProxies": [
            {
                "workload": str(each.proxy.workload),
                "versions": list(each.proxy.versions),
                "pods": each.proxy.pods,
                "reason": each.reason,
            }
            for each in left
        ],
        "notes": list(one.notes),
    }


def _status(result: UpgradeResult, name: str) -> str:
    if name in result.failures:
        return "failed"
    if not result.plan.upgrades[name].goals:
        return "unchanged"
    if result.dry_run:
        return "to upgrade" if not result.plan.problems else "not possible"
    if result.is_done(name):
        changed = any(hop.changed for hop in result.reached[name])
        return ("returned" if result.plan.is_back else "upgraded") if changed else "unchanged"
    return "not finished" if result.reached.get(name) else "not begun"


def _render(result: UpgradeResult, console: Console) -> None:
    todo = result.plan
    shown = table("CLUSTER", "CLUSTER ID", "FROM", "PATH", "STATUS", "OLDER PROXIES")
    for name, one in todo.upgrades.items():
        reached = result.reached.get(name, ())
        left = reached[-1].remaining if reached else ()
        older = plural(len(left), "workload") if reached else plural(len(one.old), "workload")
        path = " → ".join(goal.version for goal in one.goals) or "-"
        shown.add_row(name, one.cluster.cluster_id, one.running, path, _status(result, name), older)
    print_words(console, shown)
    for name, one in todo.upgrades.items():
        for line in _lines(result, name, one):
            _line(console, f"{name}: {line}")
    if not any(one.goals for one in todo.upgrades.values()) and not result.problems:
        console.print("Nothing to change.")


def _lines(result: UpgradeResult, name: str, one: ClusterUpgrade) -> Iterator[str]:
    """What is printed of one cluster below the table."""
    reached = result.reached.get(name, ())
    for hop in reached:
        yield f"Istio {hop.version} in {hop.took_s:.0f} s"
    for last in reached[-1:]:
        yield from (f"{each.proxy} keeps its proxy: {each.reason}" for each in last.remaining)
        yield from (f"{user} keeps the old control plane" for user in last.keeps)
    if result.dry_run:
        yield from one.notes
        if one.goals:
            steps = _IN_PLACE if result.plan.revision is None else _BY_REVISION
            yield f"for each version of its path: {steps}"


def _line(console: Console, text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)
