"""Verbs that are imported when they are called: `--help` pays for none of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

import typer

from istio_mc.cli import edge
from istio_mc.cli.commands import Group, Verb

if TYPE_CHECKING:
    from typer._click import Command, Context
    from typer.core import TyperGroup


class _Commands(MutableMapping[str, "Command"]):
    """Verbs by name, each imported and built at its first use."""

    def __init__(self, verbs: dict[str, str]) -> None:
        self._verbs = verbs
        self._built: dict[str, Command] = {}

    def __getitem__(self, name: str) -> Command:
        if name not in self._built:
            self._built[name] = _built(name, self._verbs[name])
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


class LazyGroup(Group):
    """A group whose verbs are modules of this package, each with a function or `app` of its own.

    Attributes:
        verbs: Name and one line of help of each verb.
        titles: The verbs' names by the title they are listed under, in the order they are shown.
    """

    verbs: ClassVar[dict[str, str]] = {}
    titles: ClassVar[dict[str, tuple[str, ...]]] = {}

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _Commands(self.verbs)

    def groups(self, ctx: Context) -> Mapping[str, Sequence[tuple[str, str]]]:
        """Lists the verbs without importing any."""
        del ctx
        return {title: [(name, self.verbs[name]) for name in names] for title, names in self.titles.items()}


def _built(name: str, short_help: str) -> Command:
    module = import_module(f"istio_mc.cli.{name}")
    command: Command
    if app := getattr(module, "app", None):
        app.info.cls = Group
        for inner in app.registered_commands:
            inner.cls = Verb
        command = typer.main.get_group(app)
        _take_global_options(command)
    else:
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(name, cls=Verb)(getattr(module, name))
        command = typer.main.get_command(app)
    command.name, command.short_help = name, short_help
    return command


def _take_global_options(group: TyperGroup) -> None:
    """Has a group take the options of every verb before the name of one: `istio-mc ca -o json show`."""
    taken = typer.Typer(add_completion=False, rich_markup_mode=None)
    taken.callback()(edge.group_callback)
    taken.command("any")(lambda: None)
    model = typer.main.get_group(taken)
    group.params, group.callback = [*model.params, *group.params], model.callback
