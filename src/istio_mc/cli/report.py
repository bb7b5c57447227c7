"""`istio-mc report`: its signature."""

from __future__ import annotations

from typing import Annotated

import typer

from istio_mc.cli import edge


def report(
    ctx: typer.Context,
    *,
    file: Annotated[
        str, typer.Option("--file", "-f", metavar="FILE", help="Output file; - is standard output.")
    ] = "mesh-report.html",
    force: Annotated[
        bool, typer.Option("--force", help="Replace a file that is not an earlier report.")
    ] = False,
    lang: Annotated[
        str | None,
        typer.Option(
            "--lang",
            metavar="LANG",
            help="Language of the page: en or ko.  [default: lang in mesh.yaml, else en]",
        ),
    ] = None,
) -> None:
    """Write one HTML page about the mesh: faults, topology, calls between clusters, certificates, all checks.

    The page needs no network and no script. It contains the results of verify, and no key or token. An
    earlier report of the same name is replaced. Changes nothing in any cluster. Exit code 0 means that the
    page was written, for any result of the checks; use verify in scripts.

    Examples:

      istio-mc report

      istio-mc report --contexts kt,ncloud,nhn -f mesh.html

      istio-mc report --lang ko

      istio-mc report -f - | ssh web 'cat > /srv/www/mesh.html'
    """
    from datetime import UTC, datetime

    from istio_mc.checks.catalogue import ALL
    from istio_mc.domain.text import printable
    from istio_mc.domain.translation import Language
    from istio_mc.ops import handout
    from istio_mc.ops.session.session import open_members
    from istio_mc.ops.verify import verify as op
    from istio_mc.present.html import page as rendered
    from istio_mc.present.html.page import is_own_page, page

    options: edge.Options = ctx.obj
    if lang not in (None, *Language):
        raise typer.BadParameter(f'--lang: unknown language "{printable(lang or "")}"; use en or ko')

    def work(progress: edge.Progress) -> edge.Report:
        place = handout.place(file, force=force, ours=is_own_page, output=options.output)
        with open_members(options.inputs(), progress) as session:
            now = datetime.now(UTC)
            result = op.verify(session, ALL, now)
            made = page(result, now, Language(lang or session.settings.lang))
            handout.write(place, made.encode(), private=False)
            return rendered.report(result, place, made, (*session.warnings, *result.warnings))

    edge.run("report", options, work)
