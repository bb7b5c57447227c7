"""Output of the addons commands: available add-ons, state per cluster, changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from istio_mc.domain.addons import Owner
from istio_mc.domain.kube.objects import ref_of
from istio_mc.domain.text import plural
from istio_mc.present.output.envelope import Report, exit_for
from istio_mc.present.output.terminal import print_words, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console

    from istio_mc.domain.addons import Addon, AddonState, Removal
    from istio_mc.domain.problem import Problem
    from istio_mc.ops.addons import AddonsResult, ClassesResult


def known(addons: Sequence[Addon]) -> Report:
    """The add-ons that can be installed."""

    def render(console: Console) -> None:
        rows = table("ADD-ON", "VERSION", "PURPOSE", "IMAGES")
        for one in addons:
            rows.add_row(one.name.value, one.version, one.summary, ", ".join(one.images))
        print_words(console, rows)

    data = [
        {"name": one.name.value, "version": one.version, "purpose": one.summary, "images": list(one.images)}
        for one in addons
    ]
    return Report({"addons": data}, render)


def report(result: AddonsResult, warnings: Iterable[Problem]) -> Report:
    """The add-ons of each cluster, and what was or would be done."""
    return Report(
        data={
            "dryRun": result.dry_run,
            "clusters": [
                {
                    "name": name,
                    "addons": [
                        _data(result, name, number) for number, _ in enumerate(result.states.get(name, ()))
                    ],
                }
                for name in result.contexts
            ],
        },
        render=lambda console: _render(result, console),
        errors=tuple(problem for problems in result.failures.values() for problem in problems),
        warnings=tuple(warnings),
        exit=exit_for(len(result.failures), len(result.contexts)),
    )


def _data(result: AddonsResult, name: str, number: int) -> dict[str, Any]:
    state = result.states[name][number]
    removal = _removal(result, name, number)
    return {
        "name": state.addon.name.value,
        "version": state.version or None,
        "owner": state.owner.value,
        "installedBy": state.made_by or None,
        "ready": None if state.owner is Owner.ABSENT else not state.unready,
        "status": _status(result, name, state, removal),
        "apply": [str(ref_of(one)) for one in state.steps()] if removal is None else [],
        "delete": [str(ref_of(one)) for one in (*removal.custom, *removal.objects)] if removal else [],
        "remaining": [
            {"object": str(ref), "reason": reason}
            for ref, reason in (removal.remaining if removal else {}).items()
        ],
    }


def _removal(result: AddonsResult, name: str, number: int) -> Removal | None:
    return result.removals[name][number] if name in result.removals else None


def _status(result: AddonsResult, name: str, state: AddonState, removal: Removal | None) -> str:
    if name in result.failures:
        return "failed"
    if removal is not None:
        if not removal.objects:
            return "unchanged"
        return "to remove" if result.dry_run else "removed"
    if not state.steps():
        return "unchanged"
    return "to install" if result.dry_run else "installed"


def _render(result: AddonsResult, console: Console) -> None:
    rows = table("CLUSTER", "ADD-ON", "VERSION", "OWNER", "STATE", "STATUS")
    for name in result.contexts:
        for number, state in enumerate(result.states.get(name, ())):
            rows.add_row(
                name,
                state.addon.name.value,
                state.version or "-",
                "-" if state.owner is Owner.ABSENT else state.owner.value,
                _state(state, is_done=name in result.finished and state.owner is not Owner.OTHERS),
                _status(result, name, state, _removal(result, name, number)),
            )
    print_words(console, rows)
    for name, states in result.states.items():
        for state in states:
            if state.owner is Owner.OTHERS:
                console.print(f"{name}: {state.addon.name} is left alone: {state.made_by}", highlight=False)
        for removal in result.removals.get(name, ()):
            for ref, reason in removal.remaining.items():
                console.print(f"{name}: {ref} remains: {reason}", highlight=False)


def _state(state: AddonState, *, is_done: bool) -> str:
    if state.owner is Owner.ABSENT and not is_done:
        return "not installed"
    return "ready" if is_done or not state.unready else state.unready


def question(result: AddonsResult) -> str:
    """What is asked before add-ons are removed."""
    lines = [
        f"{name}: {state.addon.name} {state.version}, {plural(len(removal.objects), 'object')}"
        for name, removals in result.removals.items()
        for state, removal in zip(result.states[name], removals, strict=True)
        if removal.objects
    ]
    return "\n".join(["Remove:", *lines, "Go on?"])


def classes_report(result: ClassesResult, warnings: Iterable[Problem]) -> Report:
    """The default StorageClass of each cluster."""

    def status(name: str) -> str:
        plan = result.plans.get(name)
        if name in result.failures or plan is None:
            return "failed"
        if not (plan.to_mark or plan.to_unmark):
            return "unchanged"
        return "to change" if result.dry_run else "changed"

    def render(console: Console) -> None:
        rows = table("CLUSTER", "DEFAULT STORAGECLASS", "BEFORE", "STATUS")
        for name in result.contexts:
            plan = result.plans.get(name)
            rows.add_row(
                name, plan.name if plan else "-", ", ".join(plan.before) if plan else "-", status(name)
            )
        print_words(console, rows)

    return Report(
        data={
            "dryRun": result.dry_run,
            "clusters": [
                {
                    "name": name,
                    "defaultStorageClass": plan.name if (plan := result.plans.get(name)) else None,
                    "before": list(plan.before) if plan else [],
                    "status": status(name),
                }
                for name in result.contexts
            ],
        },
        render=render,
        errors=tuple(problem for problems in result.failures.values() for problem in problems),
        warnings=tuple(warnings),
        exit=exit_for(len(result.failures), len(result.contexts)),
    )


def classes_question(result: ClassesResult) -> str:
    """What is asked before another StorageClass is unmarked."""
    lines = [
        f"{name}: {plan.name} becomes the default; {', '.join(plan.to_unmark)} no longer is"
        for name, plan in result.plans.items()
        if plan.to_unmark
    ]
    return "\n".join([*lines, "Go on?"])
