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
            help="Where to write; - is standard output [default: istio-mc-bundle-TIME.tar.gz].",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    since: Annotated[str, typer.Option(metavar="DURATION", help="How far back logs go.")] = "24h",
    lines: Annotated[
        int, typer.Option(metavar="N", min=1, max=100_000, help="Last lines of each log.")
    ] = 5000,
    redact: Annotated[
        list[str] | None,
        typer.Option(metavar="REGEX", help="Take out what this matches, too; may be repeated."),
    ] = None,
) -> None:
    """Write an archive for a ticket: what verify finds, logs, objects and versions, all secrets taken out.

    Values of Secrets, private keys, tokens and passwords are taken out wherever they stand; certificates,
    names and addresses stay: --redact takes out what no rule knows. The file is readable by you alone, and
    bounded in size. Changes nothing in any cluster. Exit code 3 says that a cluster did not answer: the
    bundle holds the others.

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
