"""istio-mc as pip leaves it: with its bytecode beside it, whatever PYTHONDONTWRITEBYTECODE says here."""

from __future__ import annotations

import compileall
from importlib.util import find_spec

from lab.errors import LabError


def compiled() -> None:
    """Compile the package that is measured, where its files are newer than their bytecode.

    Raises:
        LabError: It is not installed, or cannot be compiled.
    """
    found = find_spec("istio_mc")
    for folder in (found and found.submodule_search_locations) or ():
        if compileall.compile_dir(folder, quiet=2):
            return
    raise LabError("istio-mc is not installed here, or its bytecode cannot be written")
