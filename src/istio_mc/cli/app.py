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

# Short enough that `istio-mc --help` cuts none of them off in 80 columns.
app.command(short_help="Show every context: cluster ID, version, mesh, reachable or not.")(contexts.contexts)
app.command(short_help="Make one mesh of the named clusters; finish it, or mend it.")(install.install)
app.command(short_help="Take over a mesh that other means installed.")(adopt.adopt)
app.command(short_help="Show the gateways' addresses and ports; give one an address.")(address.address)
app.command(short_help="Write the remote secrets between all clusters.")(link.link)
app.command(short_help="Check the mesh: what is wrong, where, and what mends it.")(verify.verify)
app.command(short_help="Show what runs in all clusters on one screen.")(status.status)
app.command(short_help="Take the mesh away, or let a cluster leave it.")(uninstall.uninstall)
app.add_typer(sample.app, short_help="Another version of a service in each cluster: who answers whom?")
app.add_typer(ca.app)
app.add_typer(config.app, short_help="mesh.yaml: begin one; show what holds, and its JSON Schema.")
app.add_typer(cilium.app, short_help="The settings a mesh needs of Cilium, and the way back.")
app.add_typer(tools.app, short_help="istioctl, kubectl, Helm, Gateway API: pinned and verified.")


def main() -> None:
    """Entry point of the `istio-mc` program."""
    app()
