"""The manifests of add-ons that are packaged with the program, and their objects in a cluster."""

from __future__ import annotations

import re
from functools import cache, partial
from importlib import resources
from typing import TYPE_CHECKING

import yaml

from istio_mc.domain.addons import (
    Addon,
    AddonName,
    AddonOptions,
    AddonState,
    Owner,
    addon_of,
    foreign_objects,
    unready,
)
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import ref_of
from istio_mc.domain.observed import metrics
from istio_mc.gateways.host.parallel import all_of
from istio_mc.gateways.kube.snapshot import read_each

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from istio_mc.domain.kube.objects import Object, Ref
    from istio_mc.gateways.kube.client import Kube


def read_addon(name: AddonName, options: AddonOptions | None = None) -> Addon:
    """Returns the packaged add-on."""
    version, manifest = _packaged(name)
    return addon_of(name, version, manifest, options or AddonOptions())


@cache
def _packaged(name: AddonName) -> tuple[str, list[Object]]:
    text = resources.files("istio_mc").joinpath("data", "addons", f"{name}.yaml").read_text("utf-8")
    match = re.match(rf"# {name} (\S+),", text)
    if match is None:
        raise ValueError(f"{name}.yaml does not begin with its version")
    return match[1], list(yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


def read_state(kube: Kube, addon: Addon) -> AddonState:
    """State of an add-on in a cluster; all of its objects are read at once.

    Raises:
        ProblemError: The cluster cannot be read.
    """
    live = read_each(kube, addon.refs)
    state = AddonState(addon, live)
    if state.owner is Owner.ABSENT:
        return state
    return AddonState(
        addon, live, _unready(addon, live), tuple(_custom(kube, addon)), _foreign_objects(kube, addon)
    )


def read_unready(kube: Kube, addon: Addon) -> str:
    """Why an add-on is not ready, from its workloads and its APIService; empty if it is ready.

    Raises:
        ProblemError: The cluster cannot be read.
    """
    kinds = {ref: kind for ref, kind in addon.refs.items() if kind.kind in _SHOWS_READINESS}
    return _unready(addon, read_each(kube, kinds))


_SHOWS_READINESS = frozenset({"Deployment", "DaemonSet", "APIService"})


def _unready(addon: Addon, live: Mapping[Ref, Object]) -> str:
    refs = [ref_of(one) for one in addon.workloads]
    service = next((live.get(ref) for ref in addon.refs if ref.kind == "APIService"), None)
    return unready([live.get(ref) for ref in refs], [*map(str, refs)], available=metrics(service))


_IN_NAMESPACE = (objects.DEPLOYMENT, objects.DAEMON_SET, objects.SERVICE, objects.CONFIG_MAP, objects.SECRET)


def _foreign_objects(kube: Kube, addon: Addon) -> tuple[Object, ...]:
    """Objects of other owners in the namespace that the add-on creates; none if it creates no namespace."""
    own = next((ref.name for ref in addon.refs if ref.kind == "Namespace"), None)
    if own is None:
        return ()
    calls: dict[str, Callable[[], list[Object]]] = {
        kind.kind: partial(kube.list, kind, own) for kind in _IN_NAMESPACE
    }
    return foreign_objects(addon, (item for items in all_of(calls).values() for item in items))


def _custom(kube: Kube, addon: Addon) -> list[Object]:
    """Objects of the add-on's own kinds, without the statuses that its speaker pods write."""
    kinds = [kind for kind in addon.custom_kinds if not kind.kind.endswith("Status")]
    calls: dict[str, Callable[[], list[Object]]] = {kind.kind: partial(kube.list, kind) for kind in kinds}
    return [item for items in all_of(calls).values() for item in items]
