"""Options that say how the other clusters reach an API server: the same in every verb that links."""

from __future__ import annotations

from typing import Annotated

import typer

from istio_mc.cli import completers

ApiServerOption = Annotated[
    list[str] | None,
    typer.Option(
        "--api-server",
        metavar="CONTEXT=URL",
        help="API server as other clusters reach it; repeatable.",
        autocompletion=completers.context_is,
    ),
]
ApiServerCaOption = Annotated[
    list[str] | None,
    typer.Option(
        "--api-server-ca",
        metavar="CONTEXT=FILE",
        help="PEM file with the CA of its certificate.",
        autocompletion=completers.context_is,
    ),
]
ApiServerNameOption = Annotated[
    list[str] | None,
    typer.Option(
        "--api-server-name",
        metavar="CONTEXT=NAME",
        help="Name in its certificate, if not the URL's host.",
        autocompletion=completers.context_is,
    ),
]
