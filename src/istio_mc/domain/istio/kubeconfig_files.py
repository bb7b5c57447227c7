"""Kubeconfigs that an istiod reads from a mounted folder instead of remote secrets. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from istio_mc.domain.istio.choice import istiod_version
from istio_mc.domain.istio.releases import minor_of
from istio_mc.domain.kube.objects import environment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.observed import Observed

VARIABLE = "PILOT_MULTICLUSTER_KUBECONFIG_PATH"
"""Variable of istiod that names the folder; it then ignores remote secrets (pkg/kube/multicluster/
secretcontroller.go, NewController, Istio 1.31.0)."""

_SINCE = (1, 30)


def live_folder(observed: Observed) -> str:
    """The folder that the istiods of a cluster read; empty where one of them reads remote secrets."""
    return folder_of(observed.istiods)


def folder_of(istiods: Iterable[Object]) -> str:
    """The folder that istiods, by their Deployments, read; empty where one of them reads remote secrets."""
    folders = {_folder(istiod) for istiod in istiods}
    return ", ".join(sorted(folders)) if folders and "" not in folders else ""


def folder_of_values(values: Mapping[str, Any], version: str) -> str:
    """The folder that an istiod of these values reads; empty: it reads remote secrets."""
    pilot = values.get("pilot")
    env = pilot.get("env") if isinstance(pilot, Mapping) else None
    found = env.get(VARIABLE) if isinstance(env, Mapping) else None
    return str(found) if found and _knows(version) else ""


def _folder(istiod: Object) -> str:
    return environment(istiod).get(VARIABLE, "") if _knows(istiod_version(istiod) or "") else ""


def _knows(version: str) -> bool:
    minor = minor_of(version)
    return minor is None or minor >= _SINCE
