"""`istio-mc contexts`: its signature."""

from __future__ import annotations

from typing import Annotated

import typer

from istio_mc.cli import edge


def contexts(
    ctx: typer.Context,
    *,
    offline: Annotated[
        bool, typer.Option("--offline", help="Read the kubeconfig only; read no cluster.")
    ] = False,
) -> None:
    """Show every context of the merged kubeconfig: its cluster, its ID (present or future), and its mesh.

    Examples:

      istio-mc contexts

      istio-mc contexts -o wide

      istio-mc contexts --kubeconfig kt.yaml:ncloud.yaml --offline -o json
    """
    from istio_mc.ops import contexts as op
    from istio_mc.present.contexts import report

    options: edge.Options = ctx.obj

    def work(progress: edge.Progress) -> edge.Report:
        inputs, is_wide = options.inputs(), options.output == edge.WIDE
        if offline:
            from istio_mc.ops.session.sources import read_sources

            sources = read_sources(inputs)
            result = op.offline(sources, inputs.contexts)
            return report(result, sources.kubeconfig.warnings, is_wide=is_wide)
        from istio_mc.ops.session.session import begin

        with begin(inputs, progress) as session:
            result = op.contexts(session, session.kubeconfig.select(inputs.contexts))
            return report(result, session.warnings, is_wide=is_wide)

    edge.run("contexts", options, work, formats=(edge.WIDE,))
