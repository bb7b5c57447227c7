"""The guide's sample: bookinfo's reviews, another version in each cluster, and a client in each."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from istio_mc.domain.mesh import MANAGED_BY, Mesh

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from istio_mc.domain.objects import Object

NAMESPACE = "sample"
SERVICE = "reviews"
CLIENT = "sleep"
PORT = 9080
LEAST_CALLS = 60
"""Fewer calls than this do not tell an uneven share from chance."""

_REVIEWS_IMAGE = "docker.io/istio/examples-bookinfo-reviews-v{}:1.20.3"
"""samples/bookinfo/platform/kube/bookinfo.yaml, Istio 1.26.0."""
_REVIEWS_IMAGES = 3
_CLIENT_IMAGE = "docker.io/curlimages/curl:8.16.0"
_POD = re.compile(r"reviews-(v[0-9]+)-")


def version_of(index: int) -> str:
    """The version of the index-th cluster, counted from 0: v1, v2, v3 …."""
    return f"v{index + 1}"


def documents(mesh: Mesh, version: str, *, client_image: str | None = None) -> list[Object]:
    """What one cluster gets: the service everywhere alike, one version of it, and the client."""
    number = (int(version[1:]) - 1) % _REVIEWS_IMAGES + 1
    reviews = {"app": SERVICE, "version": version}
    return [
        _namespace(mesh),
        _object("v1", "ServiceAccount", "bookinfo-reviews", {"account": SERVICE}),
        _object("v1", "ServiceAccount", CLIENT, {}),
        {
            **_object("v1", "Service", SERVICE, {"app": SERVICE, "service": SERVICE}),
            "spec": {"ports": [{"port": PORT, "name": "http"}], "selector": {"app": SERVICE}},
        },
        _deployment(
            f"{SERVICE}-{version}",
            reviews,
            "bookinfo-reviews",
            {
                "name": SERVICE,
                "image": _REVIEWS_IMAGE.format(number),
                "imagePullPolicy": "IfNotPresent",
                "env": [{"name": "LOG_DIR", "value": "/tmp/logs"}],  # noqa: S108 - inside the container
                "ports": [{"containerPort": PORT}],
                "volumeMounts": [
                    {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - as above
                    {"name": "wlp-output", "mountPath": "/opt/ibm/wlp/output"},
                ],
            },
            volumes=("tmp", "wlp-output"),
        ),
        _deployment(
            CLIENT,
            {"app": CLIENT},
            CLIENT,
            {
                "name": CLIENT,
                "image": client_image or _CLIENT_IMAGE,
                "imagePullPolicy": "IfNotPresent",
                "command": ["/bin/sleep", "infinity"],
            },
        ),
    ]


def _namespace(mesh: Mesh) -> Object:
    injection = {"istio.io/rev": mesh.revision} if mesh.revision else {"istio-injection": "enabled"}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": {**MANAGED_BY, **injection}},
    }


def _object(api_version: str, kind: str, name: str, labels: Mapping[str, str]) -> Object:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {**MANAGED_BY, **labels}},
    }


def _deployment(
    name: str, labels: Mapping[str, str], account: str, container: Object, volumes: Iterable[str] = ()
) -> Object:
    pod: Object = {
        "serviceAccountName": account,
        "terminationGracePeriodSeconds": 0,
        "containers": [container],
        "volumes": [{"name": volume, "emptyDir": {}} for volume in volumes],
    }
    return {
        **_object("apps/v1", "Deployment", name, labels),
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": dict(labels)},
            "template": {"metadata": {"labels": dict(labels)}, "spec": pod},
        },
    }


def is_injected(pod: Object) -> bool:
    """Whether a pod has a sidecar, as a container or as a native sidecar (an init container that stays)."""
    containers = [*(pod["spec"].get("initContainers") or []), *pod["spec"]["containers"]]
    return any(container["name"] == "istio-proxy" for container in containers)


def command(calls: int) -> list[str]:
    """Asks for the reviews so many times in one process, each answer followed by its status on a line."""
    url = f"http://{SERVICE}:{PORT}/reviews/1?call=[1-{calls}]"
    return ["curl", "--silent", "--show-error", "--max-time", "5", "--write-out", "\n%{http_code}\n", url]


@dataclass(frozen=True, slots=True)
class Calls:
    """What came of the calls of one client.

    Attributes:
        answered: Answers by version.
        failed: Calls without an answer of any version, by what came instead.
    """

    answered: Mapping[str, int]
    failed: Mapping[str, int]

    @property
    def total(self) -> int:
        """All calls, answered or not."""
        return sum(self.answered.values()) + sum(self.failed.values())


def count(output: str) -> Calls:
    """Counts the versions in what `command` printed: the pod's name in each answer tells the version."""
    answered: dict[str, int] = {}
    failed: dict[str, int] = {}
    body: list[str] = []
    for line in output.splitlines():
        if not re.fullmatch(r"\d{3}", line):
            body.append(line)
            continue
        version = _version_in("\n".join(body)) if line == "200" else None
        if version:
            answered[version] = answered.get(version, 0) + 1
        else:
            failed[line] = failed.get(line, 0) + 1
        body = []
    return Calls(answered, failed)


def _version_in(body: str) -> str | None:
    try:
        pod = str(json.loads(body).get("podname", ""))
    except (ValueError, AttributeError):
        return None
    match = _POD.match(pod)
    return match[1] if match else None


def least_share(versions: int) -> float:
    """The share of all calls below which a version is seen too seldom.

    Half of its fair part: a version reached only by a detour through another gateway falls below it
    (seen on Istio 1.26.0 without a network view: 12, 7 and 11 of 30, and one missing at times).
    """
    return 0.5 / versions
