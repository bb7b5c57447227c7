"""Output of a rotation of the readers' tokens: plan and result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from istio_mc.domain.links import renewal
from istio_mc.present.output.envelope import Exit, Report, exit_for
from istio_mc.present.output.terminal import print_words, table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from istio_mc.domain.problem import Problem
    from istio_mc.ops.rotation.tokens import Rotated, RotationResult


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
            "expires": todo.rotation.expiry or None,
            "clusters": [_cluster(result, name) for name in todo.order],
            "renewal": _renewal(result),
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
        "lifetime": todo.lifetime(name) or None,
        "expires": done.times.expires.isoformat() if done and done.times.expires else None,
        "readBy": list(holders),
        "replacedIn": list(done.replaced) if done else [],
        "restarts": [one for one in holders if one in todo.restarts],
        "deleted": list(done.deleted) if done else [],
        "remaining": list(done.left) if done else [],
    }


def _renewal(result: RotationResult) -> dict[str, str] | None:
    """What renews the tokens that expire, for the clusters of this run."""
    if result.granted is None:
        return None
    names = [name for name in result.plan.order if result.plan.lifetime(name)]
    command = renewal.renewing_command(result.plan.lifetime(names[0]), names)
    when = renewal.schedule(result.granted)
    return {"schedule": when, "command": str(command), "cronJob": renewal.cron_job(command, when)}


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
            lifetime = todo.lifetime(name) or "does not expire"
            others = f"remote secrets of {readers} one after another"
            _line(console, f"{name}: new token ({lifetime}), {others}, old token, verify")
        if done := result.done.get(name):
            deleted = ", ".join(done.deleted) or "none"
            _line(console, f"{name}: new token in {done.secret}, {_expiry(done)}; deleted: {deleted}")
            if done.left:
                _line(console, f"{name}: remains, of another tool: {', '.join(done.left)}")
    if found := _renewal(result):
        _render_renewal(console, found)


def _expiry(done: Rotated) -> str:
    return f"expires {done.times.expires:%Y-%m-%d %H:%M} UTC" if done.times.expires else "does not expire"


def _render_renewal(console: Console, found: dict[str, str]) -> None:
    _line(console, "")
    _line(console, "Renew the tokens before they expire, in CI with this line, on a schedule of")
    _line(console, f'"{found["schedule"]}":')
    _line(console, f"  {found['command']}")
    _line(console, "Or with this CronJob, in a cluster that reaches all API servers:")
    _line(console, found["cronJob"])


def _line(console: Console, text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)
