"""`istio-mc addons`: the signatures of list, status, install, remove and default-storage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from istio_mc.cli import completers, edge

if TYPE_CHECKING:
    from istio_mc.domain.addons import Addon

app = typer.Typer(
    name="addons",
    help="Metrics Server and MetalLB at pinned versions, and a default StorageClass.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="ADD-ON", help="metrics-server, metallb [default: both].", show_default=False),
]


def _addons(names: list[str] | None, registry: str = "", *, is_insecure: bool = False) -> list[Addon]:
    """Returns the add-ons of these names.

    Raises:
        BadParameter: A name is unknown.
    """
    from istio_mc.domain.addons import AddonName, AddonOptions
    from istio_mc.gateways.kube.addons import read_addon

    known = [one.value for one in AddonName]
    for name in names or ():
        if name not in known:
            raise typer.BadParameter(f'ADD-ON: unknown add-on "{name}"; use {" or ".join(known)}')
    options = AddonOptions(registry, is_insecure)
    return [read_addon(AddonName(name), options) for name in dict.fromkeys(names or known)]


@app.command("list", short_help="Show the add-ons and their versions.")
def list_(ctx: typer.Context) -> None:
    """Show the add-ons that can be installed, with version and images. Reads no cluster.

    Examples:

      istio-mc addons list

      istio-mc addons list -o json
    """
    from istio_mc.present.addons import known

    options: edge.Options = ctx.obj

    edge.run("addons list", options, lambda _progress: known(_addons(None)))


@app.command(short_help="Show the add-ons of each cluster.")
def status(ctx: typer.Context, *, names: Names = None) -> None:
    """Show which add-ons each cluster has, who installed them, and whether they work.

    Examples:

      istio-mc addons status

      istio-mc addons status metallb --contexts kt
    """
    from istio_mc.ops import addons as op
    from istio_mc.ops.session.session import open_members
    from istio_mc.present.addons import report

    options: edge.Options = ctx.obj

    def work(progress: edge.Progress) -> edge.Report:
        addons = _addons(names)
        with open_members(options.inputs(), progress) as session:
            return report(op.read(session, addons), session.warnings)

    edge.run("addons status", options, work)


@app.command(short_help="Install add-ons that are missing.")
def install(
    ctx: typer.Context,
    *,
    names: Names = None,
    insecure_kubelet_tls: Annotated[
        bool,
        typer.Option(
            "--insecure-kubelet-tls",
            help="Metrics Server accepts any kubelet certificate: for clusters with self-signed ones.",
        ),
    ] = False,
    registry: Annotated[
        str,
        typer.Option(metavar="HOST", help="Pull the images from this registry [default: the publisher's]."),
    ] = "",
    dry_run: edge.DryRun = False,
) -> None:
    """Install add-ons in all clusters of the run; add-ons that others installed stay unchanged.

    Examples:

      istio-mc addons install metrics-server --insecure-kubelet-tls

      istio-mc addons install metallb --contexts kt --dry-run
    """
    from istio_mc.ops import addons as op
    from istio_mc.ops.session.session import open_members
    from istio_mc.present.addons import report

    options: edge.Options = ctx.obj

    def work(progress: edge.Progress) -> edge.Report:
        addons = _addons(names, registry, is_insecure=insecure_kubelet_tls)
        with (
            open_members(options.inputs(), progress) as opened,
            opened.changing("addons install", dry_run=dry_run, lists_rights=True) as session,
        ):
            state = op.read(session, addons)
            done = op.rehearse(session, state) if dry_run else op.install(session, state)
            return report(done, session.warnings)

    edge.run("addons install", options, work)


@app.command(short_help="Remove add-ons that istio-mc installed.")
def remove(
    ctx: typer.Context, *, names: Names = None, yes: edge.Yes = False, dry_run: edge.DryRun = False
) -> None:
    """Remove add-ons that istio-mc installed, and nothing else.

    Examples:

      istio-mc addons remove metallb --contexts kt --dry-run

      istio-mc addons remove --yes
    """
    from istio_mc.ops import addons as op
    from istio_mc.ops.session.session import open_members
    from istio_mc.present.addons import question, report

    options: edge.Options = ctx.obj

    def work(progress: edge.Progress) -> edge.Report:
        addons = _addons(names)
        with (
            open_members(options.inputs(), progress) as opened,
            opened.changing("addons remove", dry_run=dry_run, lists_rights=True) as session,
        ):
            planned = op.prepare_removal(session, op.read(session, addons))
            if dry_run:
                return report(planned, session.warnings)
            if any(removal.objects for removals in planned.removals.values() for removal in removals):
                edge.confirm(question(planned), yes=yes)
            return report(op.remove(session, planned), session.warnings)

    edge.run("addons remove", options, work)


@app.command("default-storage", short_help="Mark the default StorageClass of clusters.")
def default_storage(
    ctx: typer.Context,
    *,
    classes: Annotated[
        list[str],
        typer.Argument(
            metavar="CONTEXT=NAME",
            help="The StorageClass of each cluster.",
            autocompletion=completers.context_is,
        ),
    ],
    yes: edge.Yes = False,
    dry_run: edge.DryRun = False,
) -> None:
    """Mark a StorageClass as the default of its cluster; asks before it unmarks another one.

    Examples:

      istio-mc addons default-storage kt=nfs-csi

      istio-mc addons default-storage kt=nfs-csi nhn=cinder --dry-run
    """
    from dataclasses import replace

    from istio_mc.ops import addons as op
    from istio_mc.ops.session.session import open_named
    from istio_mc.present.addons import classes_question, classes_report

    options: edge.Options = ctx.obj

    def work(progress: edge.Progress) -> edge.Report:
        names = dict(_parse_class(one) for one in classes)
        inputs = replace(options.inputs(), contexts=tuple(names))
        with (
            open_named(inputs, progress) as opened,
            opened.changing("addons default-storage", dry_run=dry_run, lists_rights=True) as session,
        ):
            planned = op.prepare_default_class(session, names)
            if dry_run:
                return classes_report(planned, session.warnings)
            if any(plan.to_unmark for plan in planned.plans.values()):
                edge.confirm(classes_question(planned), yes=yes)
            return classes_report(op.set_default_class(session, planned), session.warnings)

    edge.run("addons default-storage", options, work)


def _parse_class(text: str) -> tuple[str, str]:
    context, equals, name = text.partition("=")
    if not (context and equals and name):
        raise typer.BadParameter(f'CONTEXT=NAME: invalid value "{text}"; use for example kt=nfs-csi')
    return context, name
