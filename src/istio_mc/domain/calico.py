"""Calico in eBPF mode: whether it translates a Service's address inside the pod, past the sidecar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from istio_mc.domain.kube.objects import Object

DAEMON_SET = "calico-node"
FELIX = "default"
"""The FelixConfiguration of the whole cluster."""

_BPF = "bpfEnabled"
_LOAD_BALANCING = "bpfConnectTimeLoadBalancing"
_OLD_LOAD_BALANCING = "bpfConnectTimeLoadBalancingEnabled"
_DISABLED = "Disabled"
_TRUE = frozenset({"true", "1", "yes", "y", "t"})


@dataclass(frozen=True, slots=True)
class Calico:
    """One cluster's Calico, as far as sidecars are concerned.

    Attributes:
        settings: What the FelixConfiguration says of the keys that matter here; the environment of
            calico-node, which wins, is laid over it.
    """

    settings: Mapping[str, str]
    is_known: bool = True

    @property
    def is_bpf(self) -> bool:
        """Whether Calico's eBPF dataplane is on."""
        return self.settings.get(_BPF, "").lower() in _TRUE

    @property
    def bypasses_sidecars(self) -> bool:
        """Whether it chooses the pod behind a Service when a pod connects, before its sidecar sees it.

        Felix does so in eBPF mode unless it is told otherwise; either key may tell it, and istioctl too takes
        whichever turns it on (detectCniIncompatibility, 1.26.0).
        """
        new, old = self.settings.get(_LOAD_BALANCING), self.settings.get(_OLD_LOAD_BALANCING)
        off = (new, old) != (None, None) and new in (None, _DISABLED) and (old or "").lower() not in _TRUE
        return self.is_bpf and not off

    def __str__(self) -> str:
        parts = [f"{key}: {self.settings.get(key)}" for key in _KEYS if key in self.settings]
        unset = f"{_LOAD_BALANCING}: unset, which is on"
        return ", ".join(parts if len(parts) > 1 or not self.is_bpf else [*parts, unset])


_KEYS = (_BPF, _LOAD_BALANCING, _OLD_LOAD_BALANCING)


def calico_of(node: Object, felix: Object | None, *, is_known: bool = True) -> Calico:
    """What a cluster's Calico is set to."""
    spec: Mapping[str, Any] = (felix or {}).get("spec") or {}
    values = {key: _text(spec[key]) for key in _KEYS if spec.get(key) is not None}
    environment = _environment(node)
    for key in _KEYS:
        if value := environment.get(f"felix_{key.lower()}"):
            values[key] = value
    return Calico(values, is_known)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _environment(daemon_set: Object) -> dict[str, str]:
    """The variables of its containers, names in lower case: Felix reads them in any."""
    containers = daemon_set["spec"]["template"]["spec"].get("containers") or []
    return {
        str(one.get("name")).lower(): str(one.get("value") or "")
        for container in containers
        for one in container.get("env") or []
    }
