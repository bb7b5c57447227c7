"""`istio-mc bundle`: its signature."""

from __future__ import annotations

from typing import Annotated

import typer

from istio_mc.cli import edge


def bundle(
    ctx: typer.Context,
    *,
    file: Annotated[
        str | None,
        typer.Option(
            "--file",
            "-f",
            metavar="FILE",
            help="Output file; - is standard output [default: istio-mc-bundle-TIME.tar.gz].",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    since: Annotated[str, typer.Option(metavar="DURATION", help="Only log lines newer than this.")] = "24h",
    lines: Annotated[
        int, typer.Option(metavar="N", min=1, max=100_000, help="Last lines of each log.")
    ] = 5000,
    redact: Annotated[
        list[str] | None,
        typer.Option(metavar="REGEX", help="Also remove text that matches this; repeatable."),
    ] = None,
) -> None:
    """Write an archive for a ticket: results of verify, logs, objects and versions, without secrets.

    Values of Secrets, private keys, tokens and passwords are removed everywhere. Certificates, names and
    addresses stay; --redact removes more. Only you can read the file, and its size is limited. Changes
    nothing in any cluster. Exit code 3 means that a cluster did not respond: the bundle contains the
    others.

    Examples:

      istio-mc bundle

      istio-mc bundle --contexts kt,ncloud -f ticket.tar.gz --since 2h

      istio-mc bundle --redact 'cust-[0-9]+' --redact '(?i)acme'

      istio-mc bundle -f - | gpg -e -r support@example.com > bundle.gpg
    """
    from datetime import UTC, datetime

    from istio_mc.ops import bundle as op
    from istio_mc.ops import handout
    from istio_mc.ops.bundle import Logs, OwnPatterns
    from istio_mc.ops.session.session import open_members
    from istio_mc.present import bundle as shown

    options: edge.Options = ctx.obj

    def work(progress: edge.Progress) -> edge.Report:
        now = datetime.now(UTC)
        logs = Logs(edge.seconds(since, "--since"), lines)
        own = OwnPatterns.of(redact or [])
        name = file or f"istio-mc-bundle-{now:%Y%m%d-%H%M%S}.tar.gz"
        place = handout.place(name, force=force, output=options.output)
        with open_members(options.inputs(), progress) as session:
            gathered = op.gather(session, now, logs, own)
            about = shown.about(gathered, logs, session.warnings)
            made = op.archive(gathered, shown.folder(gathered), about)
            handout.write(place, made, private=True)
            return shown.report(gathered, place, made, session.warnings)

    edge.run("bundle", options, work)
