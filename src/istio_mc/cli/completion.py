"""`istio-mc completion`: its signature."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from istio_mc.cli import edge


def completion(
    ctx: typer.Context,
    *,
    shell: Annotated[
        Literal["bash", "zsh", "fish", "pwsh"],
        typer.Argument(metavar="SHELL", help="bash, zsh, fish or pwsh."),
    ],
) -> None:
    """Print the completion script of a shell: for commands, options, contexts and checks.

    Examples:

      istio-mc completion bash > /etc/bash_completion.d/istio-mc

      istio-mc completion zsh > ~/.zfunc/_istio-mc

      istio-mc completion fish > ~/.config/fish/completions/istio-mc.fish
    """
    from typer._completion_shared import get_completion_script

    from istio_mc.present.version import script

    options: edge.Options = ctx.obj

    text = get_completion_script(prog_name="istio-mc", complete_var="_ISTIO_MC_COMPLETE", shell=shell)
    edge.run("completion", options, lambda _: script(shell, text))
