"""The table of Istio releases that is packaged with the program."""

from __future__ import annotations

from functools import cache
from importlib import resources

from istio_mc.domain import yamltext
from istio_mc.domain.istio.releases import ReleaseTable, parse_table


def release_table() -> ReleaseTable:
    """Returns the packaged table."""
    return _packaged()


@cache
def _packaged() -> ReleaseTable:
    """The table in the file, read once per process."""
    text = resources.files("istio_mc").joinpath("data", "releases.yaml").read_bytes()
    return parse_table(yamltext.load(text))
