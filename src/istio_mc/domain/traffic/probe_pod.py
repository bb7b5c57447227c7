"""verify --deep: a pod with a sidecar in each cluster, which each of the others calls by a name of its own.

The pod of the n-th cluster alone stands behind Service `probe-<n>`, which is in every cluster: so a call
to it from another cluster takes the way through its gateway, and the answer names the cluster.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from istio_mc.domain.kube.objects import labels_of
from istio_mc.domain.mesh import MANAGED_BY, Mesh, injection_labels

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from istio_mc.domain.kube.objects import Object

DEFAULT_IMAGE = "docker.io/curlimages/curl:8.16.0"
"""Has sh, curl and nc, as each image for this must. The sample's client is the same one."""

COMPONENT = {"app.kubernetes.io/component": "probe"}
SELECTOR = "app.kubernetes.io/managed-by=istio-mc,app.kubernetes.io/component=probe"
POD = "probe"
PORT = 8080
CALL_S = 8

_PREFIX = "istio-mc-probe-"
_HOLDER, _UNTIL = "istio-mc/holder", "istio-mc/until"
_NUMBER = "istio-mc/probe"
_USER = 65_532
_ANSWERED = 200
_FORBIDDEN = 403
_DENIED = "RBAC: access denied"
"""How a sidecar answers what an AuthorizationPolicy does not allow (Envoy's RBAC filter)."""

# nc's option to go on listening has another name in each busybox: so it is begun again each time.
_SERVE = 'while :; do nc -l -p "$PORT" -e /bin/sh -c "$ANSWER"; done'
# What is left unread when the connection is closed would turn it into a reset: so the head is read first.
_ANSWER = (
    "while read -r line && [ ${{#line}} -gt 1 ]; do :; done; "
    'printf "HTTP/1.1 200 OK\\r\\ncontent-length: {length}\\r\\nconnection: close\\r\\n\\r\\n{text}"'
)
_REQUEST = (
    'namespace=$1; shift; for number in "$@"; do {{ '
    "said=$(curl --silent --max-time {call_s} --write-out ' %{{http_code}} %{{exitcode}}' "
    '"http://probe-$number.$namespace:{port}/" | tr "\\r\\n" "  "); echo "$number $said"; }} & done; wait'
)
_REPLY = re.compile(r"(\d+) (.*) (\d{3}) (\d+) *", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a pod got that called a cluster.

    Attributes:
        body: What was answered, or the client's own words where there was no answer.
    """

    status: int
    body: str = ""

    def is_from(self, cluster_id: str) -> bool:
        """Whether it shows that a sidecar of that cluster was reached: by its answer, or its refusal."""
        denied = self.status == _FORBIDDEN and _DENIED in self.body
        return denied or (self.status == _ANSWERED and self.body == cluster_id)

    def __str__(self) -> str:
        if not self.status:
            return self.body or f"no response within {CALL_S} s"
        return f"HTTP status {self.status}: {self.body}" if self.body else f"HTTP status {self.status}"


def namespace_of(run: str) -> str:
    """Name of a run's namespace, the same in every cluster."""
    return _PREFIX + run


def namespace(run: str, mesh: Mesh, holder: str, until: datetime) -> Object:
    """The namespace; it says who made it, and when that run is over at the latest."""
    injection = injection_labels(mesh.revision)
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": namespace_of(run),
            "labels": {**MANAGED_BY, **COMPONENT, **injection},
            "annotations": {_HOLDER: holder, _UNTIL: until.isoformat()},
        },
    }


def is_left_behind(item: Object, now: datetime, has_ended: Callable[[str], bool]) -> bool:
    """Whether the run that made a namespace is over.

    Args:
        has_ended: Whether a holder is known to be gone; one on another machine is not.
    """
    if not {**MANAGED_BY, **COMPONENT}.items() <= labels_of(item).items():
        return False
    annotations = item["metadata"].get("annotations") or {}
    try:
        over = datetime.fromisoformat(annotations.get(_UNTIL, "")) < now
    except (ValueError, TypeError):
        over = True
    return over or has_ended(annotations.get(_HOLDER, ""))


def documents(
    run: str, mesh: Mesh, cluster_ids: Sequence[str], number: int, *, image: str, lives_s: int
) -> list[Object]:
    """What a cluster gets beside the namespace: a Service for each cluster, and its own pod.

    Args:
        lives_s: After how many seconds the pod ends by itself, if it is not removed before.
    """
    return [
        _object(run, "ServiceAccount", POD),
        *(_service(run, each) for each in range(len(cluster_ids))),
        _pod(run, mesh, cluster_ids[number], number, image=image, lives_s=lives_s),
    ]


def _object(run: str, kind: str, name: str) -> Object:
    labels = {**MANAGED_BY, **COMPONENT}
    return {
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace_of(run), "labels": labels},
    }


def _service(run: str, number: int) -> Object:
    document = _object(run, "Service", f"probe-{number}")
    # The gateway, in another namespace, must know it whatever the mesh's default is.
    document["metadata"]["annotations"] = {"networking.istio.io/exportTo": "*"}
    return document | {
        "spec": {"ports": [{"name": "http", "port": PORT}], "selector": {_NUMBER: str(number)}}
    }


def _pod(run: str, mesh: Mesh, cluster_id: str, number: int, *, image: str, lives_s: int) -> Object:
    document = _object(run, "Pod", POD)
    document["metadata"]["labels"] |= {"app": POD, _NUMBER: str(number)}
    if mesh.revision:
        document["metadata"]["labels"]["istio.io/rev"] = mesh.revision
    answer = _ANSWER.format(length=len(cluster_id), text=cluster_id)
    return document | {
        "spec": {
            "serviceAccountName": POD,
            "automountServiceAccountToken": False,
            "restartPolicy": "Never",
            "activeDeadlineSeconds": lives_s,
            "terminationGracePeriodSeconds": 1,
            "containers": [
                {
                    "name": POD,
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["/bin/sh", "-c", _SERVE],
                    "env": [{"name": "PORT", "value": str(PORT)}, {"name": "ANSWER", "value": answer}],
                    "ports": [{"containerPort": PORT}],
                    "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": _USER,
                        "runAsGroup": _USER,
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                }
            ],
        }
    }


def command(run: str, numbers: Sequence[int]) -> list[str]:
    """Calls these clusters at once, from within a pod; a line for each."""
    script = _REQUEST.format(call_s=CALL_S, port=PORT)
    return ["/bin/sh", "-c", script, "sh", namespace_of(run), *map(str, numbers)]


def replies(output: str, numbers: Sequence[int], error: str = "") -> Mapping[int, Reply]:
    """What `command` printed, by number; what is missing is reported with the pod's output."""
    result = {number: Reply(0, " ".join(error.split())) for number in numbers}
    for line in output.splitlines():
        if match := _REPLY.fullmatch(line):
            result[int(match[1])] = Reply(int(match[3]), match[2].strip())
    return result
