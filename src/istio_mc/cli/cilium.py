"""`istio-mc cilium`: the signatures of fix, revert and status."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from istio_mc.cli import edge

if TYPE_CHECKING:
    from collections.abc import Callable

    from istio_mc.ops.cilium import CiliumResult
    from istio_mc.ops.session.session import Session

app = typer.Typer(
    name="cilium",
    help="Cilium settings that a mesh requires, on the clusters that run Cilium.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

KPaas = Annotated[bool, typer.Option("--k-paas", help='Also set what K-PaaS sets: enable-l7-proxy "false".')]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the difference; change nothing.")]
Settle = Annotated[
    str,
    typer.Option(
        metavar="DURATION",
        help="How long to watch previously ready nodes and pods after the restart.",
    ),
]


@app.command(short_help="Set what a mesh requires, and restart the agents.")
def fix(
    ctx: typer.Context,
    *,
    k_paas: KPaas = False,
    yes: edge.Yes = False,
    dry_run: DryRun = False,
    settle: Settle = "30s",
) -> None:
    """Set what a mesh requires: bpf-lb-sock-hostns-only "true", cni-exclusive "false".

    Backs up the settings in the cluster, then restarts and watches the agents one after another.
    Changes nothing if the settings are right and every agent uses them.

    Examples:

      istio-mc cilium fix --dry-run

      istio-mc cilium fix --contexts ncloud --yes

      istio-mc cilium fix --contexts ncloud --k-paas
    """
    from istio_mc.ops import cilium as op

    options: edge.Options = ctx.obj

    _change(
        "cilium fix",
        options,
        lambda session: op.prepare_fix(session, k_paas=k_paas),
        yes=yes,
        dry_run=dry_run,
        settle=settle,
    )


@app.command(short_help="Restore the settings that the first fix backed up.")
def revert(
    ctx: typer.Context,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Restore every key, also those that others have changed since.")
    ] = False,
    keep_others: Annotated[
        bool, typer.Option("--keep-others", help="Restore only the keys that fix has set.")
    ] = False,
    yes: edge.Yes = False,
    dry_run: DryRun = False,
    settle: Settle = "30s",
) -> None:
    """Restore exactly the settings that the first fix backed up, and restart the agents.

    If others have changed more keys since, it changes nothing and lists those keys: --keep-others leaves
    them unchanged, --force restores them too.

    Examples:

      istio-mc cilium revert --dry-run

      istio-mc cilium revert --contexts ncloud --yes

      istio-mc cilium revert --contexts ncloud --keep-others
    """
    from istio_mc.ops import cilium as op

    options: edge.Options = ctx.obj

    if force and keep_others:
        raise typer.BadParameter("--force and --keep-others cannot be used together")
    _change(
        "cilium revert",
        options,
        lambda session: op.prepare_revert(session, force=force, keep_others=keep_others),
        yes=yes,
        dry_run=dry_run,
        settle=settle,
    )


@app.command(short_help="Show required, current and backed-up settings.")
def status(ctx: typer.Context, *, k_paas: KPaas = False) -> None:
    """Show required, current and backed-up settings, and whether every agent uses the current ones.

    Examples:

      istio-mc cilium status

      istio-mc cilium status --contexts kt,ncloud,nhn -o json
    """
    from istio_mc.ops import cilium as op
    from istio_mc.ops.session.session import open_members
    from istio_mc.present.cilium import report

    options: edge.Options = ctx.obj

    def work(progress: edge.Progress) -> edge.Report:
        with open_members(options.inputs(), progress) as session:
            return report(op.status(session, k_paas=k_paas), session.warnings)

    edge.run("cilium status", options, work)


def _change(
    command: str,
    options: edge.Options,
    plan: Callable[[Session], CiliumResult],
    *,
    yes: bool,
    dry_run: bool,
    settle: str,
) -> None:
    from datetime import UTC, datetime

    from istio_mc.ops import cilium as op
    from istio_mc.ops.session.session import open_members
    from istio_mc.present import cilium as shown

    settle_s = edge.seconds(settle, "--settle")

    def work(progress: edge.Progress) -> edge.Report:
        with (
            open_members(options.inputs(), progress) as opened,
            opened.changing(command, dry_run=dry_run) as session,
        ):
            planned = plan(session)
            if dry_run:
                return shown.report(planned, session.warnings)
            if planned.todo:
                edge.confirm(shown.question(planned), yes=yes)
            done = op.carry_out(session, planned, datetime.now(UTC), settle_s=settle_s)
            return shown.report(done, session.warnings)

    edge.run(command, options, work)
