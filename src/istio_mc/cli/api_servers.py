"""Options for the API server address that other clusters use, shared by all commands that link clusters."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from istio_mc.cli import completers


def _option(name: str, value: str, text: str) -> Any:  # noqa: ANN401 - as Typer has it
    return typer.Option(name, metavar=f"CONTEXT={value}", help=text, autocompletion=completers.context_is)


ApiServerOption = Annotated[
    list[str] | None, _option("--api-server", "URL", "API server as other clusters reach it; repeatable.")
]
ApiServerCaOption = Annotated[
    list[str] | None, _option("--api-server-ca", "FILE", "PEM file with the CA of its certificate.")
]
ApiServerNameOption = Annotated[
    list[str] | None, _option("--api-server-name", "NAME", "Name in its certificate, if not the URL's host.")
]
