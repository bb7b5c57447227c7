"""The folder of the mesh's CA, for verbs that ask no cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.domain.events import Progress, silent
from istio_mc.gateways.host import files
from istio_mc.gateways.host.root_store import current_store
from istio_mc.gateways.host.settings_file import load_settings

if TYPE_CHECKING:
    from pathlib import Path

    from istio_mc.domain.settings.model import Settings
    from istio_mc.gateways.host.ca_store import CaStore
    from istio_mc.ops.session.inputs import Inputs


def ca_store(inputs: Inputs, certs_dir: Path | None, progress: Progress = silent) -> CaStore:
    """The folder of the mesh's CA: the flag's, else the settings'.

    Raises:
        InputError: The settings cannot be read.
    """
    if certs_dir:
        return current_store(certs_dir, inputs.deadline, progress)
    return ca_and_settings(inputs, None, progress)[0]


def ca_and_settings(
    inputs: Inputs, certs_dir: Path | None, progress: Progress = silent
) -> tuple[CaStore, Settings]:
    """The folder of the mesh's CA, as `ca_store` finds it, and the settings.

    Raises:
        InputError: The settings cannot be read.
    """
    settings = load_settings(inputs.config, files.current_folder(), inputs.read)
    return current_store(certs_dir or settings.certs_dir, inputs.deadline, progress), settings
