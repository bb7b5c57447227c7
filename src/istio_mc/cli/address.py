"""`istio-mc address`: its signature."""

from __future__ import annotations

from typing import Annotated

import typer

from istio_mc.cli import completers, edge


def address(
    ctx: typer.Context,
    *,
    to_set: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="CONTEXT=ADDRESS",
            help="Assign this address to a gateway; repeatable.",
            autocompletion=completers.context_is,
        ),
    ] = None,
    via: Annotated[
        str | None,
        typer.Option(
            metavar="TYPE",
            help="external-ip, metallb or gateway [default: external-ip].",
            autocompletion=completers.address_types,
        ),
    ] = None,
    pool: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONTEXT=RANGES",
            help="Ranges of MetalLB's pool [default: the address].",
            autocompletion=completers.context_is,
        ),
    ] = None,
    announce: Annotated[
        str | None,
        typer.Option(
            metavar="MODE",
            help="How MetalLB announces it: l2, bgp [default: unchanged].",
            autocompletion=completers.announcements,
        ),
    ] = None,
    peer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONTEXT=ROUTER@ASN",
            help="Router for --announce bgp [default: BGPPeers unchanged].",
            autocompletion=completers.context_is,
        ),
    ] = None,
    asn: Annotated[
        int | None,
        typer.Option(
            "--asn",
            metavar="ASN",
            help="The cluster's own AS, with --peer [default: 64512].",
            show_default=False,
        ),
    ] = None,
    unset: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONTEXT",
            help="Remove an address that --set assigned, of any type; repeatable.",
            autocompletion=completers.contexts,
        ),
    ] = None,
    console: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONTEXT[=CLOUD]",
            help="Show the values to enter in its cloud's console.",
            autocompletion=completers.contexts,
        ),
    ] = None,
    dry_run: edge.DryRun = False,
    yes: edge.Yes = False,
) -> None:
    """Show each gateway's address, ports and firewall list; set an address.

    Without --set, --pool and --unset it changes nothing.

    Examples:

      istio-mc address --set kt=203.0.113.7

      istio-mc address --set kt=gw.example.com --via gateway

      istio-mc address --via metallb --pool kt=10.0.0.10-10.0.0.20 --announce l2

      istio-mc address --unset kt

      istio-mc address --console kt
    """
    from istio_mc.domain.gateway.requests import MetalLBWords, parse_options
    from istio_mc.gateways.host.parallel import Failures
    from istio_mc.ops import address as op
    from istio_mc.ops.console import parse_consoles, read_console
    from istio_mc.ops.session.session import open_mesh
    from istio_mc.present import address as shown
    from istio_mc.present import console as shown_console

    options: edge.Options = ctx.obj

    def work(progress: edge.Progress) -> edge.Report:
        words = MetalLBWords(pool or (), announce, peer or (), asn)
        changes_to_make = parse_options(to_set or (), via, edge.each(unset), words)
        consoles = parse_consoles(edge.each(console), alone=changes_to_make.nothing)
        opened, named = open_mesh(options.inputs(), progress)
        reads = dry_run or changes_to_make.nothing
        with opened, opened.changing("address", dry_run=reads, lists_rights=True) as session:
            if consoles:
                found = read_console(session, op.read_addresses(session), consoles)
                return shown_console.report(found, session.warnings)
            seen = op.read_addresses(session, named, changes_to_make)
            if changes_to_make.nothing:
                return shown.report(op.AddressResult(seen), session.warnings)
            changes = op.plan(seen, changes_to_make)
            warnings = op.warnings(session, seen, changes_to_make)
            failures: Failures = {}
            if changes and not dry_run:
                if changes_to_make.unset:
                    edge.confirm(shown.question(changes), yes=yes)
                changes, failures = op.apply(session, changes)
                seen = op.read_addresses(session, named)
            result = op.AddressResult(seen, changes, failures, warnings, requested=True, dry_run=dry_run)
            return shown.report(result, session.warnings)

    edge.run("address", options, work)
