"""Asks a person at a terminal which clusters a mesh shall have."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from istio_mc.cli import edge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from istio_mc.domain.kube.kubeconfig import Context


def contexts_to_join(contexts: Sequence[Context]) -> tuple[str, ...]:
    """Shows contexts and asks which of them; their names, in the order given.

    None where there is no terminal to ask on, or where the answer is Ctrl-D.
    """
    from istio_mc.present.contexts import choices
    from istio_mc.present.output import terminal

    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return ()

    def question() -> tuple[str, ...]:
        terminal.print_whole(terminal.console(stderr=True), choices(contexts))
        known = [context.name for context in contexts]
        chosen: tuple[str, ...] = typer.prompt(
            "Clusters of the mesh (names or numbers, separated by commas)",
            value_proc=lambda text: chosen_of(text, known),
            err=True,
        )
        return chosen

    chosen = edge.answer(question) or ()
    if chosen:
        edge.tell(f"The same without a prompt: --contexts {','.join(chosen)}")
    return chosen


def chosen_of(text: str, known: Sequence[str]) -> tuple[str, ...]:
    """The contexts that an answer names, each once: by name, or by place in the list, counted from 1.

    Raises:
        BadParameter: It names none, or one that is not in the list.
    """
    words: list[str] = []
    for part in text.split(","):
        words += [part.strip()] if part.strip() in known else part.split()
    places = {str(place): name for place, name in enumerate(known, 1)} | {name: name for name in known}
    if strange := [word for word in words if word not in places]:
        raise typer.BadParameter(f"not in the list: {', '.join(strange)}")
    if not words:
        raise typer.BadParameter("name at least one")
    return tuple(dict.fromkeys(places[word] for word in words))
