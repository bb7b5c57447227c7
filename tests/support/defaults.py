"""What an API server makes of an object before it keeps it: what is empty goes, what is left out comes."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any

from istio_mc.domain.kube.diff import quantity
from tests.support import refusals

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.kinds import Object, Served

_TEXTS = frozenset(
    {"labels", "annotations", "data", "stringData", "binaryData", "matchLabels", "nodeSelector"}
)
"""Mappings of free keys to texts: an empty text is a value there."""

_QUANTITIES = frozenset({"limits", "requests"})
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_RBAC = "rbac.authorization.k8s.io"
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
_TOKEN = "kubernetes.io/service-account-token"  # noqa: S105 - a type of Secrets
_LONGEST_NAME, _LONGEST_LABEL = 253, 63
_STANDS_FOR = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40}


def normalised(document: Object, served: Served) -> Object:
    """An object without what an API server drops, quantities as it writes them; a copy."""
    if served.custom:
        return {key: _copied(value) for key, value in document.items() if value is not None}
    found: Object = _shrunk(document, "")
    if served.kind == "Secret" and "stringData" in found:
        texts = {key: base64.b64encode(text.encode()).decode() for key, text in found["stringData"].items()}
        found["data"] = {**found.get("data", {}), **texts}
        del found["stringData"]
    return found


def _copied(value: Any) -> Any:  # noqa: ANN401 - plain data
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items() if item is not None}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def _shrunk(value: Any, name: str) -> Any:  # noqa: ANN401 - plain data
    if isinstance(value, list):
        return [_shrunk(item, "") for item in value]
    if not isinstance(value, dict):
        return value
    if name in _TEXTS:
        return {key: item for key, item in value.items() if item is not None}
    if name in _QUANTITIES:
        return {key: _canonical(item) for key, item in value.items()}
    return {
        key: _shrunk(item, key) for key, item in value.items() if item is not None and item not in ("", [])
    }


def _canonical(value: Any) -> Any:  # noqa: ANN401 - plain data
    """A quantity as API servers write it: 2000m is 2, 1024Mi is 1Gi."""
    number = quantity(value)
    if number is None:
        return value
    text = str(value)
    suffix = text[-2:]
    if suffix in _STANDS_FOR:
        best = max(
            (name for name, power in _STANDS_FOR.items() if number % 2**power == 0),
            key=lambda name: _STANDS_FOR[name],
            default=suffix,
        )
        return f"{int(number / 2 ** _STANDS_FOR[best])}{best}"
    if text.endswith("m") and number == int(number):
        return str(int(number))
    return text


class Numbers:
    """Hands out what is different in each Service: cluster IPs and node ports."""

    def __init__(self) -> None:
        self._addresses = self._ports = 0

    def state(self) -> tuple[int, int]:
        """How many of each were given, to be had back later."""
        return self._addresses, self._ports

    def restore(self, state: tuple[int, int]) -> None:
        """Goes on from there: what a mesh gets does not depend on what tests did before with another."""
        self._addresses, self._ports = state

    def address(self) -> str:
        """Another cluster IP."""
        high, low = divmod(self._addresses, 254)
        self._addresses += 1
        return f"10.96.{high + 1}.{low + 1}"

    def port(self) -> int:
        """Another node port."""
        self._ports += 1
        return 29999 + self._ports


def fill(document: Object, served: Served, numbers: Numbers) -> None:
    """Sets what the client left out; in place."""
    filler = _FILLERS.get((served.group, served.kind))
    if filler:
        filler(document, numbers)


def _namespace(document: Object, _: Numbers) -> None:
    metadata = document["metadata"]
    metadata["labels"] = {**(metadata.get("labels") or {}), "kubernetes.io/metadata.name": metadata["name"]}
    document.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
    document.setdefault("status", {}).setdefault("phase", "Active")


def _secret(document: Object, _: Numbers) -> None:
    document.setdefault("type", "Opaque")


def _service(document: Object, numbers: Numbers) -> None:
    spec = document.setdefault("spec", {})
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    spec.setdefault("internalTrafficPolicy", "Cluster")
    for port in spec.get("ports") or []:
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port["port"])
        if spec["type"] in ("LoadBalancer", "NodePort"):
            port.setdefault("nodePort", numbers.port())
    if spec["type"] in ("LoadBalancer", "NodePort"):
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if spec["type"] == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
    if spec["type"] != "ExternalName" and "clusterIP" not in spec:
        spec["clusterIP"] = numbers.address()
    document.setdefault("status", {}).setdefault("loadBalancer", {})


def _workload(document: Object, _: Numbers) -> None:
    spec = document.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    _pod_spec((spec.get("template") or {}).get("spec") or {})


def _pod(document: Object, _: Numbers) -> None:
    _pod_spec(document.setdefault("spec", {}))


def _pod_spec(spec: Object) -> None:
    for name in ("initContainers", "containers"):
        for container in spec.get(name) or []:
            container.setdefault("imagePullPolicy", "IfNotPresent")
            for port in container.get("ports") or []:
                port.setdefault("protocol", "TCP")
    for reference in _found(spec, "fieldRef"):
        reference.setdefault("apiVersion", "v1")
    for reference in _found(spec, "resourceFieldRef"):
        reference.setdefault("divisor", "0")


def _found(part: Any, name: str) -> Iterator[Object]:  # noqa: ANN401 - plain data
    """Every mapping of a name within plain data."""
    for key, value in part.items() if isinstance(part, dict) else enumerate(part):
        if key == name:
            yield value
        elif isinstance(value, dict | list):
            yield from _found(value, name)


def _webhooks(document: Object, _: Numbers) -> None:
    for hook in document.get("webhooks") or []:
        hook.setdefault("timeoutSeconds", 10)
        hook.setdefault("matchPolicy", "Equivalent")
        hook.setdefault("failurePolicy", "Fail")
        hook["clientConfig"].get("service", {}).setdefault("port", 443)
        for rule in hook.get("rules") or []:
            rule.setdefault("scope", "*")


_FILLERS = {
    ("", "Namespace"): _namespace,
    ("", "Secret"): _secret,
    ("", "Service"): _service,
    ("", "Pod"): _pod,
    ("apps", "Deployment"): _workload,
    ("apps", "StatefulSet"): _workload,
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): _webhooks,
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): _webhooks,
}


_PROGRESS_DEADLINE_S = 600


def _check_deadline(spec: Object, served: Served, name: str) -> None:
    deadline_s = spec.get("progressDeadlineSeconds", _PROGRESS_DEADLINE_S)
    if deadline_s <= spec.get("minReadySeconds", 0):
        why = f"Invalid value: {deadline_s}: must be greater than minReadySeconds"
        raise refusals.invalid(served, name, "spec.progressDeadlineSeconds", why)


def check(document: Object, served: Served, old: Object | None) -> None:
    """Refuses what an API server refuses as invalid.

    Raises:
        Refused: With status 422.
    """
    name = document["metadata"].get("name") or ""
    _check_name(name, served)
    for key, value in (document["metadata"].get("labels") or {}).items():
        if not isinstance(value, str) or len(value) > _LONGEST_LABEL or not _LABEL_VALUE.fullmatch(value):
            raise refusals.invalid(
                served, name, "metadata.labels", f'Invalid value: "{value}": label {key} is not valid'
            )
    if served.kind == "Deployment":
        _check_deadline(document["spec"], served, name)
    if served.kind == "Secret" and document.get("type") == _TOKEN:
        account = "kubernetes.io/service-account.name"
        if not (document["metadata"].get("annotations") or {}).get(account):
            path = f"metadata.annotations[{account}]"
            raise refusals.invalid(served, name, path, "Required value")
    if old is not None:
        _check_fixed(document, old, served, name)


def _check_name(name: str, served: Served) -> None:
    if served.group == _RBAC:
        return
    short = (served.group, served.kind) in (("", "Namespace"), ("", "Service"))
    longest = _LONGEST_LABEL if short else _LONGEST_NAME
    if len(name) > longest or not (_LABEL if short else _SUBDOMAIN).fullmatch(name):
        kind = "label" if short else "subdomain"
        raise refusals.invalid(
            served,
            name,
            "metadata.name",
            f'Invalid value: "{name}": a lowercase RFC 1123 {kind} must consist of lower case alphanumeric '
            "characters, '-' or '.', and must start and end with an alphanumeric character",
        )


_FIXED = {
    ("", "Secret"): (("type",),),
    ("apps", "Deployment"): (("spec", "selector"),),
    ("rbac.authorization.k8s.io", "RoleBinding"): (("roleRef",),),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): (("roleRef",),),
}


def _check_fixed(document: Object, old: Object, served: Served, name: str) -> None:
    for path in _FIXED.get((served.group, served.kind), ()):
        before: Any = old
        after: Any = document
        for step in path:
            before, after = before.get(step, {}), after.get(step, {})
        if before != after:
            raise refusals.invalid(served, name, ".".join(path), "Invalid value: field is immutable")
