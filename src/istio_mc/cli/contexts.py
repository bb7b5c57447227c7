"""`istio-mc contexts`: its signature."""

from __future__ import annotations

from typing import Annotated

import typer

from istio_mc.cli import edge


@edge.verb
def contexts(
    options: edge.Options,
    *,
    offline: Annotated[
        bool, typer.Option("--offline", help="Read the kubeconfig only; ask no cluster.")
    ] = False,
) -> None:
    """Show every context of the merged kubeconfig: its cluster, the ID it has or would get, its mesh.

    Examples:

      istio-mc contexts

      istio-mc contexts -o wide

      istio-mc contexts --kubeconfig kt.yaml:ncloud.yaml --offline -o json
    """
    from istio_mc.ops import contexts as op
    from istio_mc.present.contexts import report

    def work(progress: edge.Progress) -> edge.Report:
        inputs, is_wide = options.inputs(), options.output == edge.WIDE
        if offline:
            from istio_mc.ops.session.sources import read_sources

            sources = read_sources(inputs)
            found = op.offline(sources, inputs.contexts)
            return report(found, sources.kubeconfig.warnings, is_wide=is_wide)
        from istio_mc.ops.session.session import begin

        with begin(inputs, progress) as session:
            found = op.contexts(session, session.kubeconfig.select(inputs.contexts))
            return report(found, session.warnings, is_wide=is_wide)

    edge.run("contexts", options, work, formats=(edge.WIDE,))
