"""How a rotation of the readers' tokens looks, planned and done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from istio_mc.present.output.envelope import Exit, Report, exit_for
from istio_mc.present.output.terminal import print_words, table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from istio_mc.domain.problem import Problem
    from istio_mc.ops.rotation.tokens import RotationResult


def report(result: RotationResult, warnings: Iterable[Problem]) -> Report:
    """The plan or what was done, as data and as a table."""
    todo = result.plan
    failed = [name for name in todo.order if name in result.failures or _is_open(result, name)]
    code = exit_for(len(failed), len(todo.order)) if result.failures else Exit.DONE
    return Report(
        data={
            "begun": todo.rotation.begun,
            "continued": todo.continued,
            "dryRun": result.dry_run,
            "clusters": [_cluster(result, name) for name in todo.order],
        },
        render=lambda console: _render(result, console),
        errors=result.problems,
        warnings=tuple(warnings),
        exit=Exit.FAILED if todo.problems else code,
    )


def _cluster(result: RotationResult, name: str) -> dict[str, Any]:
    todo, done = result.plan, result.done.get(name)
    holders = todo.holders(name)
    return {
        "name": name,
        "clusterId": todo.members[name].cluster_id,
        "status": _status(result, name),
        "tokenSecret": done.secret if done else None,
        "readBy": list(holders),
        "replacedIn": list(done.replaced) if done else [],
        "restarts": [one for one in holders if one in todo.restarts],
        "deleted": list(done.deleted) if done else [],
        "remaining": list(done.left) if done else [],
    }


def _is_open(result: RotationResult, name: str) -> bool:
    return name not in result.done and not result.plan.is_done(name)


def _status(result: RotationResult, name: str) -> str:
    if name in result.failures:
        return "failed"
    if result.plan.is_done(name):
        return "unchanged"
    if result.dry_run:
        return "to rotate" if not result.plan.problems else "not possible"
    return "rotated" if name in result.done else "not begun"


def _render(result: RotationResult, console: Console) -> None:
    todo = result.plan
    rows = table("CLUSTER", "CLUSTER ID", "STATUS", "READ BY", "TOKEN SECRETS NOW")
    for name in todo.order:
        secrets = ", ".join(one.name for one in todo.tokens[name]) or "none"
        readers = ", ".join(todo.holders(name)) or "none"
        rows.add_row(name, todo.members[name].cluster_id, _status(result, name), readers, secrets)
    print_words(console, rows)
    if todo.continued:
        _line(console, f"Continues the rotation that began at {todo.rotation.begun}.")
    for name, why in todo.restarts.items():
        _line(console, f"{name}: istiod is restarted after each replaced remote secret: {why}")
    for name in todo.order:
        if result.dry_run and not todo.is_done(name):
            readers = ", ".join(todo.holders(name)) or "no cluster"
            _line(
                console,
                f"{name}: new token, remote secrets of {readers} one after another, old token, verify",
            )
        if done := result.done.get(name):
            _line(
                console, f"{name}: new token in {done.secret}; deleted: {', '.join(done.deleted) or 'none'}"
            )
            if done.left:
                _line(console, f"{name}: remains, of another tool: {', '.join(done.left)}")


def _line(console: Console, text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)
