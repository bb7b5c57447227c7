"""`istio-mc address`: its signature."""

from __future__ import annotations

from typing import Annotated

import typer

from istio_mc.cli import completers, edge


@edge.verb
def address(
    options: edge.Options,
    *,
    to_set: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="CONTEXT=ADDRESS",
            help="Give a gateway this address; repeat it.",
            autocompletion=completers.context_is,
        ),
    ] = None,
    via: Annotated[
        str | None,
        typer.Option(
            metavar="WAY",
            help="external-ip, metallb or gateway [default: external-ip].",
            autocompletion=completers.ways,
        ),
    ] = None,
    unset: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONTEXT",
            help="Take away what --set gave, by whatever way; repeat it.",
            autocompletion=completers.contexts,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, with the documents; touch nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Show where each gateway is called, its ports and firewall list; give one an address.

    Without --set and --unset nothing is changed: for a gateway whose address is pending, the three ways
    to give it one are shown, with what each means for traffic.

    Examples:

      istio-mc address

      istio-mc address --set kt=203.0.113.7

      istio-mc address --set kt=gw.example.com --via gateway

      istio-mc address --unset kt
    """
    from istio_mc.gateways.host.parallel import Failures
    from istio_mc.ops import address as op
    from istio_mc.ops.session.session import open_mesh
    from istio_mc.present import address as shown

    def work(progress: edge.Progress) -> edge.Report:
        want = op.wanted(to_set or (), via, edge.each(unset))
        session, named = open_mesh(options.inputs(), progress)
        with session:
            seen = op.look(session, named, want)
            if want.nothing:
                return shown.report(op.AddressResult(seen), session.warnings)
            changes = op.plan(seen, want)
            told = op.warnings(session, seen, want)
            failures: Failures = {}
            if changes and not dry_run:
                if want.unset:
                    edge.confirm(shown.question(changes), yes=yes)
                changes, failures = op.apply(session, changes)
                seen = op.look(session, named)
            result = op.AddressResult(seen, changes, failures, told, asked=True, dry_run=dry_run)
            return shown.report(result, session.warnings)

    edge.run("address", options, work)
