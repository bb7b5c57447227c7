"""The command tree: `istio-mc` and its commands."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from istio_mc import __version__
from istio_mc.cli import completers, usage
from istio_mc.cli.commands import Group, Verb
from istio_mc.cli.edge import GLOBAL_OPTIONS
from istio_mc.cli.last_resort import output_format

if TYPE_CHECKING:
    from typer._click import Command, Context, Parameter


class _Commands(MutableMapping[str, "Command"]):
    """Commands by name, each imported and built at its first use."""

    def __init__(self, verbs: dict[str, str], shared: Sequence[Parameter]) -> None:
        self._verbs = verbs
        self._shared = shared
        self._built: dict[str, Command] = {}

    def __getitem__(self, name: str) -> Command:
        if name not in self._built:
            self._built[name] = _built(name, self._verbs[name], self._shared)
        return self._built[name]

    def __setitem__(self, name: str, command: Command) -> None:
        self._built[name] = command

    def __delitem__(self, name: str) -> None:
        del self._built[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._verbs)

    def __len__(self) -> int:
        return len(self._verbs)

    def __contains__(self, name: object) -> bool:
        return name in self._verbs


class Verbs(Group):
    """Every command: its module in this package, and its line in `istio-mc --help` (80 columns).

    A command is imported when it is called: `--help` imports none of them.
    """

    verbs: ClassVar = {
        "contexts": "Show all contexts: cluster ID, version, mesh, reachability",
        "install": "Join the given clusters into one mesh; resume or repair it",
        "adopt": "Take over a mesh that another tool installed",
        "address": "Show the gateways' addresses and ports, or set one",
        "link": "Write the remote secrets between all clusters",
        "verify": "Check the mesh: what is wrong, where, and how to fix it",
        "trace": "Trace calls to a service between clusters: where do they fail?",
        "explain": "Explain an error code or a check; works offline",
        "status": "Show pods, services, links and proxies of all clusters",
        "report": "Write one HTML page: faults, topology, links, certificates",
        "bundle": "Write an archive for a ticket: report, logs, objects; no secrets",
        "upgrade": "Upgrade Istio, one cluster at a time; or return to the old one",
        "uninstall": "Remove the mesh, or one cluster from it",
        "sample": "Deploy a sample service, and test calls between the clusters",
        "ca": "The mesh's root CA, and an intermediate CA for each cluster",
        "config": "mesh.yaml: template, effective settings, JSON Schema",
        "cilium": "Cilium settings that a mesh requires: show, fix, revert",
        "addons": "Metrics Server, MetalLB, a default StorageClass: install, remove",
        "tools": "istioctl, kubectl, Helm, Gateway API: pinned and verified",
        "version": "Show the version",
        "completion": "Print the completion script of a shell",
    }

    titles: ClassVar = {
        "Mesh": ("install", "adopt", "link", "address", "upgrade", "uninstall"),
        "Inspect": ("contexts", "verify", "status", "trace", "explain", "report", "bundle", "sample"),
        "Certificates": ("ca",),
        "Settings and tools": ("config", "cilium", "addons", "tools", "version", "completion"),
    }

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        shared = [parameter for parameter in self.params if parameter.name in GLOBAL_OPTIONS]
        self.commands = _Commands(self.verbs, shared)

    def groups(self, ctx: Context) -> Mapping[str, Sequence[tuple[str, str]]]:
        """Lists the commands without importing any."""
        del ctx
        return {title: [(name, self.verbs[name]) for name in names] for title, names in self.titles.items()}

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:  # noqa: ANN401 - as in Typer
        """Runs a command line; a rejected one is reported like every other error."""
        words = list(sys.argv[1:] if args is None else args)
        # Typer's own name for `python -m istio_mc` is not what a user can paste.
        extra |= {"prog_name": prog_name or "istio-mc", "complete_var": complete_var}
        run = partial(super().main, words, windows_expand_args=windows_expand_args, **extra)
        if not standalone_mode:
            return run(standalone_mode=False)
        return sys.exit(usage.code_of(partial(run, standalone_mode=False), words, output_format(words)))


def _built(name: str, short_help: str, shared: Sequence[Parameter]) -> Command:
    module = import_module(f"istio_mc.cli.{name}")
    command: Command
    if verbs := getattr(module, "app", None):
        verbs.info.cls = Group
        for inner in verbs.registered_commands:
            inner.cls = Verb
        command = typer.main.get_group(verbs)
    else:
        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        alone.command(name, cls=Verb)(getattr(module, name))
        command = typer.main.get_command(alone)
    command.name, command.short_help = name, short_help
    for one in (command, *getattr(command, "commands", {}).values()):
        one.params = [*one.params, *shared]
    return command


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


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"istio-mc {__version__}")
        raise typer.Exit


@app.callback()
def program(
    *,
    kubeconfig: Annotated[
        str | None,
        typer.Option(
            metavar="FILES",
            help="Kubeconfig files, as in $KUBECONFIG [default: $KUBECONFIG, ~/.kube/config].",
        ),
    ] = None,
    contexts: Annotated[
        list[str] | None,
        typer.Option(
            "--contexts",
            "--context",
            metavar="A,B",
            help="Contexts of the clusters; repeatable [default: those in mesh.yaml, else the members].",
            autocompletion=completers.contexts,
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Settings file [default: $ISTIO_MC_CONFIG, else ./mesh.yaml if it exists].",
            dir_okay=False,
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FORMAT",
            autocompletion=completers.formats,
            help="table, json or yaml; contexts: wide; verify: short, junit or github [default: table].",
        ),
    ] = None,
    timeout: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Deadline of the whole run [default: 10m].")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Clusters processed in parallel [default: 16].")
    ] = None,
    verbose: Annotated[
        bool | None, typer.Option("--verbose", "-v", help="Log every API call and child process.")
    ] = None,
    no_progress: Annotated[bool | None, typer.Option("--no-progress", help="Show no progress.")] = None,
    no_color: Annotated[bool | None, typer.Option("--no-color", help="No colours; like $NO_COLOR.")] = None,
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_print_version),
    ] = False,
) -> None:
    """The options of every command: `commands.py` adds them to each, and collects their values."""
