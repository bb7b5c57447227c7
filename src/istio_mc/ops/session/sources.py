"""What a run reads from files: mesh.yaml and the kubeconfig. No request to a cluster."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from istio_mc.gateways.host import files
from istio_mc.gateways.host.settings_file import load_settings
from istio_mc.gateways.kube import known_secrets
from istio_mc.gateways.kube import kubeconfig as kubeconfigs

if TYPE_CHECKING:
    from istio_mc.domain.kube.kubeconfig import Kubeconfig
    from istio_mc.domain.settings.model import Settings
    from istio_mc.ops.session.inputs import Inputs


@dataclass(frozen=True, slots=True)
class Sources:
    """The files of a run.

    Attributes:
        paths: The files it was merged from, joined as in $KUBECONFIG, for commands to paste.
    """

    settings: Settings
    kubeconfig: Kubeconfig
    paths: str


def read_sources(inputs: Inputs) -> Sources:
    """Reads mesh.yaml and the kubeconfig files.

    Raises:
        InputError: With every fault of what was read.
    """
    settings = load_settings(inputs.config, files.current_folder(), inputs.read)
    paths = kubeconfigs.kubeconfig_paths(inputs.kubeconfig, os.environ, files.home_folder())
    merged = kubeconfigs.read_kubeconfig(paths, inputs.read)
    for context in merged.contexts:
        known_secrets.remember(context.user_entry)
    return Sources(settings, merged, os.pathsep.join(str(path) for path in paths))
