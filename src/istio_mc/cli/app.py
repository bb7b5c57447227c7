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
        "contexts": "Show all contexts: cluster ID, version, mesh, reachability",
        "install": "Join the given clusters into one mesh; resume or repair it",
        "adopt": "Take over a mesh that was installed by other means",
        "address": "Show the gateways' addresses and ports, or set one",
        "link": "Write the remote secrets between all clusters",
        "verify": "Check the mesh: what is wrong, where, and how to fix it",
        "trace": "Follow the calls of a service between clusters: where do they end?",
        "explain": "Explain an error code or a check; works offline",
        "status": "Show pods, services, links and proxies of all clusters",
        "report": "Write one HTML page: faults, topology, links, certificates",
        "bundle": "Write an archive for a ticket: report, logs, objects; no secrets",
        "uninstall": "Remove the mesh, or one cluster from it",
        "sample": "Deploy a sample service, and test calls between the clusters",
        "ca": "The mesh's root CA, and an intermediate CA for each cluster",
        "config": "mesh.yaml: template, effective settings, JSON Schema",
        "cilium": "Settings that a mesh requires of Cilium: show, fix, revert",
        "tools": "istioctl, kubectl, Helm, Gateway API: pinned and verified",
        "version": "Show the version",
        "completion": "Print the completion script of a shell",
    }

    titles = {  # noqa: RUF012 - likewise
        "Mesh": ("install", "adopt", "link", "address", "uninstall"),
        "Inspect": ("contexts", "verify", "status", "trace", "explain", "report", "bundle", "sample"),
        "Certificates": ("ca",),
        "Settings and tools": ("config", "cilium", "tools", "version", "completion"),
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
        """Runs a command line; one that is refused is reported as every other error."""
        words = list(sys.argv[1:] if args is None else args)
        extra |= {"prog_name": prog_name, "complete_var": complete_var}
        run = partial(super().main, words, windows_expand_args=windows_expand_args, **extra)
        if not standalone_mode:
            return run(standalone_mode=False)
        return sys.exit(usage.code_of(partial(run, standalone_mode=False), words, output_asked(words)))


app = typer.Typer(
    name="istio-mc",
    cls=Verbs,
    help="Join Kubernetes clusters of different providers into one Istio mesh, and prove that it works.\n\n"
    "Examples:\n\n"
    "  istio-mc contexts\n\n"
    "  istio-mc install --contexts kt,ncloud,nhn\n\n"
    "  istio-mc verify",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.callback()(edge.root_callback)
