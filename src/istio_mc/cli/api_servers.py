"""Options that say how the other clusters reach an API server: the same in every verb that links."""

from __future__ import annotations

from typing import Annotated

import typer

from istio_mc.cli import completion

ApiServerOption = Annotated[
    list[str] | None,
    typer.Option(
        "--api-server",
        metavar="CONTEXT=URL",
        help="API server as the other clusters reach it; repeat it.",
        autocompletion=completion.context_is,
    ),
]
ApiServerCaOption = Annotated[
    list[str] | None,
    typer.Option(
        "--api-server-ca",
        metavar="CONTEXT=FILE",
        help="CA of the certificate shown there, in PEM [default: the cluster's own]; repeat it.",
        autocompletion=completion.context_is,
    ),
]
ApiServerNameOption = Annotated[
    list[str] | None,
    typer.Option(
        "--api-server-name",
        metavar="CONTEXT=NAME",
        help="Name in that certificate, where it is not the URL's host; repeat it.",
        autocompletion=completion.context_is,
    ),
]
