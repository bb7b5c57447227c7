"""The command tree: `istio-mc` and its verbs."""

from __future__ import annotations

import typer

from istio_mc.cli import (
    address,
    adopt,
    ca,
    cilium,
    config,
    contexts,
    edge,
    install,
    link,
    sample,
    status,
    tools,
    uninstall,
    verify,
)

app = typer.Typer(
    name="istio-mc",
    help="Join Kubernetes clusters of different providers into one Istio mesh, and prove that it works.\n\n"
    "Examples:\n\n"
    "  istio-mc contexts\n\n"
    "  istio-mc install --contexts kt,ncloud,nhn\n\n"
    "  istio-mc verify\n\n"
    "Options may stand before or after the verb.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.callback()(edge.root_callback)

app.command()(contexts.contexts)
app.add_typer(ca.app)
app.add_typer(config.app)
app.command()(install.install)
app.command()(adopt.adopt)
app.command()(address.address)
app.command()(link.link)
app.command()(verify.verify)
app.command()(status.status)
app.add_typer(sample.app)
app.add_typer(cilium.app)
app.add_typer(tools.app)
app.command()(uninstall.uninstall)


def main() -> None:
    """Entry point of the `istio-mc` program."""
    app()
