"""istio-mc's command line in this process, built once: building it takes longer than most verbs.

What is built keeps nothing of a run but what Typer works out of the verbs' signatures.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import typer
from typer import testing

if TYPE_CHECKING:
    from collections.abc import Sequence

tree = cache(typer.main.get_command)
"""The commands of a Typer app."""

vars(testing).update(_get_command=tree)  # its CliRunner builds them for each run


def run(words: Sequence[str]) -> Any:  # noqa: ANN401 - Typer's own Result
    """One run, with nobody at the keyboard; an exception that is no exit is the test's."""
    from istio_mc.cli.app import app

    return testing.CliRunner().invoke(app, [*words], catch_exceptions=False)
