"""The command tree: `istio-mc` and its verbs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

import typer

from istio_mc.cli import edge, usage
from istio_mc.cli.last_resort import output_asked
from istio_mc.cli.lazy import LazyGroup


class Verbs(LazyGroup):
    """Every verb: its module in this package, and what `istio-mc --help` says of it in 80 columns."""

    verbs = {  # noqa: RUF012 - a ClassVar of the base
        "contexts": "Show every context: cluster ID, version, mesh, reachable or not.",
        "install": "Make one mesh of the named clusters; finish it, or mend it.",
        "adopt": "Take over a mesh that other means installed.",
        "address": "Show the gateways' addresses and ports; give one an address.",
        "link": "Write the remote secrets between all clusters.",
        "verify": "Check the mesh: what is wrong, where, and what mends it.",
        "trace": "Follow calls of a service between clusters: where do they end?",
        "status": "Show what runs in all clusters on one screen.",
        "report": "The mesh on one HTML page: what is wrong, links, certificates.",
        "bundle": "An archive for a ticket: report, logs, objects; no secrets.",
        "uninstall": "Take the mesh away, or let a cluster leave it.",
        "sample": "Another version of a service in each cluster: who answers whom?",
        "ca": "The mesh's root CA, and one CA below it for each cluster.",
        "config": "mesh.yaml: begin one; show what holds, and its JSON Schema.",
        "cilium": "The settings a mesh needs of Cilium, and the way back.",
        "tools": "istioctl, kubectl, Helm, Gateway API: pinned and verified.",
    }

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:  # noqa: ANN401 - likewise
        """Runs a command line; one that is refused ends in the envelope where JSON or YAML is asked for."""
        words = list(sys.argv[1:] if args is None else args)
        output = output_asked(words)
        extra |= {"prog_name": prog_name, "complete_var": complete_var}
        run = partial(super().main, words, windows_expand_args=windows_expand_args, **extra)
        if output == "table" or not standalone_mode:
            return run(standalone_mode=standalone_mode)
        return sys.exit(usage.code_of(partial(run, standalone_mode=False), output))


app = typer.Typer(
    name="istio-mc",
    cls=Verbs,
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
