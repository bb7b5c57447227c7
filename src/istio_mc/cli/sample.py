"""`istio-mc sample`: the signatures of deploy, test and remove."""

from __future__ import annotations

from typing import Annotated

import typer

from istio_mc.cli import edge

app = typer.Typer(
    name="sample",
    help="A test service with a different version in each cluster, to show traffic between clusters.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command(short_help="Deploy one version of reviews and a client in each cluster.")
def deploy(
    ctx: typer.Context,
    *,
    client_image: Annotated[
        str | None,
        typer.Option(
            metavar="IMAGE", help="Image with sleep and curl for the client [default: curlimages/curl]."
        ),
    ] = None,
    dry_run: edge.DryRun = False,
) -> None:
    """Deploy reviews v1, v2, v3 … in the clusters, one version each, and a client in every cluster.

    Examples:

      istio-mc sample deploy

      istio-mc sample deploy --dry-run
    """
    from istio_mc.ops import sample as op
    from istio_mc.ops.session.session import open_members
    from istio_mc.present.sample import deployed

    options: edge.Options = ctx.obj

    def work(progress: edge.Progress) -> edge.Report:
        with open_members(options.inputs(), progress) as session:
            run = op.rehearse if dry_run else op.deploy
            done = "to deploy" if dry_run else "running"
            return deployed(run(session, client_image=client_image), session.warnings, done=done)

    edge.run("sample deploy", options, work)


@app.command(name="test", short_help="Call reviews from every cluster: all versions must respond.")
def run_test(
    ctx: typer.Context,
    *,
    calls: Annotated[
        int | None,
        typer.Option(metavar="N", min=60, help="Calls from each cluster [default: 60 for each version]."),
    ] = None,
    wait: Annotated[
        str,
        typer.Option(metavar="DURATION", help="Maximum time until each version responds for the first time."),
    ] = "30s",
) -> None:
    """Call reviews from every cluster: every version must respond, and often enough.

    A version with less than half of its fair share of responses fails the test: such a share shows a detour
    through another gateway. Exit code 4 means that a pair failed.

    Examples:

      istio-mc sample test

      istio-mc sample test --calls 300 -o json
    """
    from istio_mc.ops import sample as op
    from istio_mc.ops.session.session import open_members
    from istio_mc.present.sample import tested

    options: edge.Options = ctx.obj

    def work(progress: edge.Progress) -> edge.Report:
        with open_members(options.inputs(), progress) as session:
            return tested(
                op.test(session, calls=calls, wait_s=edge.seconds(wait, "--wait")), session.warnings
            )

    edge.run("sample test", options, work)


@app.command()
def remove(
    ctx: typer.Context,
    *,
    yes: edge.Yes = False,
    dry_run: edge.DryRun = False,
) -> None:
    """Remove the sample.

    Examples:

      istio-mc sample remove --yes

      istio-mc sample remove --dry-run
    """
    from istio_mc.ops import sample as op
    from istio_mc.ops.session.session import open_members
    from istio_mc.present.sample import deployed

    options: edge.Options = ctx.obj

    def work(progress: edge.Progress) -> edge.Report:
        with open_members(options.inputs(), progress) as session:
            if dry_run:
                return deployed(op.preview_removal(session), session.warnings, done="to remove")
            edge.confirm(f"Remove namespace sample from {', '.join(session.clusters.kubes)}?", yes=yes)
            return deployed(op.remove(session), session.warnings, done="removed")

    edge.run("sample remove", options, work)
