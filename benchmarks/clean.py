"""Take everything of Istio out of the clusters, so that each round starts from the same ones."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from lab import proc
from lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Sequence

NAMESPACES = ("istio-system", "sample")
_GROUPS = ("istio.io", "gateway.networking.k8s.io")
_PATIENCE_S = 120
_CLUSTER_WIDE = (
    "mutatingwebhookconfigurations",
    "validatingwebhookconfigurations",
    "clusterroles",
    "clusterrolebindings",
)


def clean(contexts: Sequence[str]) -> None:
    """Clean all these clusters at once.

    Raises:
        LabError: Something of Istio stayed.
    """
    with ThreadPoolExecutor() as pool:
        list(pool.map(_clean, contexts))


def is_istios(name: str) -> bool:
    """Whether an object, as `kubectl get -o name` names it, is Istio's or the Gateway API's."""
    kind, _, own = name.partition("/")
    if kind.startswith("customresourcedefinition"):
        return own.endswith(tuple(f".{group}" for group in _GROUPS))
    return own.startswith(("istio-", "istiod-", "istio.", "istiod."))


def _clean(context: str) -> None:
    _delete(context, _istios(context, *_CLUSTER_WIDE))
    _kubectl(context, "delete", "namespaces", *NAMESPACES, "--ignore-not-found", "--wait=false")
    for namespace in NAMESPACES:
        # A namespace that goes takes no new pods, and its old ones need no time to say goodbye.
        pods = ("delete", "pods", "--all", "--grace-period=0", "--force")
        _kubectl(context, "-n", namespace, *pods, check=False)
    for namespace in NAMESPACES:
        _kubectl(context, "wait", "--for=delete", f"namespace/{namespace}", f"--timeout={_PATIENCE_S}s")
    _delete(context, _istios(context, "customresourcedefinitions"))
    _kubectl(context, "delete", "configmaps", "-A", "--field-selector", "metadata.name=istio-ca-root-cert")
    if left := _istios(context, *_CLUSTER_WIDE, "customresourcedefinitions"):
        raise LabError(f"{context}: still there: {', '.join(left)}")


def _kubectl(context: str, *words: str, check: bool = True) -> str:
    command = ["kubectl", "--context", context, "--request-timeout", f"{_PATIENCE_S}s", *words]
    return proc.run(command, timeout=_PATIENCE_S + 30, check=check).stdout


def _istios(context: str, *kinds: str) -> list[str]:
    found = _kubectl(context, "get", ",".join(kinds), "-o", "name").split()
    return [name for name in found if is_istios(name)]


def _delete(context: str, names: Sequence[str]) -> None:
    if names:
        _kubectl(context, "delete", "--ignore-not-found", *names)
