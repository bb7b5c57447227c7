"""The guide's sample: bookinfo's reviews, another version in each cluster, and a client in each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from istio_mc.domain import jsontext
from istio_mc.domain.istio.operator import CROSS_NETWORK_PORT
from istio_mc.domain.mesh import MANAGED_BY, Mesh, injection_labels

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from istio_mc.domain.kube.objects import Object

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
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": {**MANAGED_BY, **injection_labels(mesh.revision)}},
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


PATIENCE_S = 5
"""How long a call may take."""
SHORT_TIMEOUT_S = 1
"""How long it may take once some have come to nothing: what answers at all does so in less."""

_FEW = 3
_ENOUGH_PER_VERSION = 10
"""Calls after which a version that answers now and then has answered once: of 10 a version, chance alone
leaves one out once in 20,000 times."""
_TOO_MANY = 20
_NOTHING = "000"
"""What curl writes as status where there was no answer at all."""


def command(calls: int, *, each_s: int = PATIENCE_S) -> list[str]:
    """Asks for the reviews so many times in one process, each answer followed by its status on a line.

    The process ends at the first call that comes to nothing, so that whoever counts can decide anew.
    """
    url = f"http://{SERVICE}:{PORT}/reviews/1?call=[1-{calls}]"
    bounds = ["--fail-early", "--max-time", str(each_s)]
    return ["curl", "--silent", "--show-error", *bounds, "--write-out", "\n%{http_code}\n", url]


def hello_command(address: str) -> list[str]:
    """Says hello to a gateway: it refuses who names no service, but it answers."""
    host = f"[{address}]" if ":" in address else address
    url = f"https://{host}:{CROSS_NETWORK_PORT}/"
    return ["curl", "--silent", "--insecure", "--output", "/dev/null", "--max-time", str(PATIENCE_S), url]


SWALLOWED = 28
"""Exit code of `hello_command` where nothing came back in time (curl's CURLE_OPERATION_TIMEDOUT)."""


@dataclass(frozen=True, slots=True)
class Calls:
    """What came of the calls of one client.

    Attributes:
        failed: Calls without an answer of any version, by what came instead.
        given_up: Whether calling ended before all were made, for too many came to nothing.
    """

    answered: Mapping[str, int]
    failed: Mapping[str, int]
    given_up: bool = False

    @property
    def total(self) -> int:
        """All calls, answered or not."""
        return sum(self.answered.values()) + sum(self.failed.values())

    @property
    def unanswered(self) -> int:
        """Calls to which nothing came back."""
        return self.failed.get(_NOTHING, 0)

    @property
    def each_s(self) -> int:
        """How long the next call may take, in seconds."""
        return PATIENCE_S if self.unanswered < _FEW else SHORT_TIMEOUT_S

    def is_conclusive(self, versions: Collection[str]) -> bool:
        """Whether more calls would only take more time.

        So it is where some came to nothing and a version still keeps silent when each should have answered
        several times, and where too many came to nothing whoever answers.
        """
        silent = set(versions) - self.answered.keys()
        enough = self.total >= _ENOUGH_PER_VERSION * len(versions)
        return self.unanswered >= _TOO_MANY or bool(self.unanswered >= _FEW and enough and silent)

    def lacks_answers(self, versions: Collection[str]) -> bool:
        """Whether some came to nothing and a version keeps silent: a count goes on from here."""
        return self.unanswered >= _FEW and bool(set(versions) - self.answered.keys())

    def too_few(self, version: str, versions: int) -> bool:
        """Whether a version answered less than half of its fair part.

        Where calling was given up, too few were made to tell a small part from chance: one is enough.
        """
        answers = self.answered.get(version, 0)
        return answers < (1 if self.given_up else least_share(versions) * max(self.total, 1))

    def __add__(self, more: Calls) -> Calls:
        return Calls(
            _sum(self.answered, more.answered),
            _sum(self.failed, more.failed),
            self.given_up or more.given_up,
        )


def _sum(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {key: one.get(key, 0) + other.get(key, 0) for key in {**one, **other}}


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
        pod = str(jsontext.load(body).get("podname", ""))
    except (ValueError, AttributeError):
        return None
    match = _POD.match(pod)
    return match[1] if match else None


def least_share(versions: int) -> float:
    """The share of all calls below which a version is seen too seldom.

    Half of its fair part: a version reached only by a detour through another gateway falls below it
    (seen on Istio 1.26.0 without a network view: 12, 7 and 11 of 30, and one missing at times).
    """
    return 0.5 / max(1, versions)
