"""A stand-in for istioctl: recorded manifests of the real one, applied as the real one applies them.

The program (istioctl_program.py) only starts and ends: what it does, this module does in the tests' process.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Protocol

import yaml

from istio_mc.domain import yamltext

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

VERSION = "1.26.0"
"""The one that tests run which name none."""
VERSIONS = (VERSION, "1.31.0")
FIELD_MANAGER = "istio-operator"
MARKS = {
    "revision": "zz-revision",
    "meshID": "zz-mesh",
    "network": "zz-network",
    "clusterName": "zz-cluster",
    "hub": "zz.hub.test/istio",
    "tag": "zz-tag",
    "externalIP": "192.0.2.99",
}
"""What stands in the recorded manifests where a mesh has its own values."""

_COMPONENTS = ("Base", "Pilot", "IngressGateways")
_POLL_S = 0.003

Object = dict[str, Any]


class Failed(Exception):  # noqa: N818 - it says what happened
    """istioctl gives up."""


def recorded(version: str) -> Path:
    """The file with what istioctl of that version was recorded to make."""
    return Path(__file__).with_name("recorded") / f"istioctl-{version}.json.gz"


@cache
def _read(version: str) -> Object:
    like = like_of(version)
    text = gzip.decompress(recorded(like).read_bytes()).decode()
    found: Object = json.loads(text if like == version else text.replace(like, version))
    return found


def like_of(version: str) -> str:
    """The recorded version that stands for one that was not recorded: the newest that is not newer."""
    minor = int(version.split(".")[1])
    return max((one for one in VERSIONS if int(one.split(".")[1]) <= minor), default=VERSION)


def shape_of(document: Object) -> tuple[Object, dict[str, Any]]:
    """An IstioOperator document with marks in place of a mesh's own values, and these values."""
    document = json.loads(json.dumps(document))
    spec = document["spec"]
    own: dict[str, Any] = {}

    def mark(where: Any, key: str, name: str) -> None:  # noqa: ANN401 - plain data
        if isinstance(where, dict) and where.get(key):
            own[name] = where[key]
            where[key] = MARKS[name]

    values = (spec.get("values") or {}).get("global") or {}
    for key in ("revision", "hub", "tag"):
        mark(spec, key, key)
    if "revision" in own:
        name, ending = document["metadata"]["name"], f"-{own['revision']}"
        if name.endswith(ending):
            document["metadata"]["name"] = f"{name.removesuffix(ending)}-{MARKS['revision']}"
    mark(values, "meshID", "meshID")
    mark(values, "network", "network")
    mark(values.get("multiCluster"), "clusterName", "clusterName")
    for gateway in (spec.get("components") or {}).get("ingressGateways") or []:
        mark(gateway.get("label"), "topology.istio.io/network", "network")
        for variable in (gateway.get("k8s") or {}).get("env") or []:
            if variable["name"] == "ISTIO_META_REQUESTED_NETWORK_VIEW":
                mark(variable, "value", "network")
        service = (gateway.get("k8s") or {}).get("service") or {}
        if service.get("externalIPs"):
            own["externalIPs"] = service["externalIPs"]
            service["externalIPs"] = [MARKS["externalIP"]]
    return document, own


def key_of(shape: Object) -> str:
    """What a shape is recorded under."""
    return hashlib.sha256(_json_of(shape).encode()).hexdigest()[:16]


def _json_of(shape: Object) -> str:
    return json.dumps(shape, sort_keys=True)


def manifest(document: Object, version: str = VERSION) -> list[Object]:
    """The objects that istioctl makes of an IstioOperator document."""
    shape, own = shape_of(document)
    known = _read(version)
    digests = known["shapes"].get(key_of(shape))
    if digests is None:
        raise Failed(
            "no manifest was recorded for this document: name its shape in tests/support/recording.py and run"
            f" it where the real istioctl is.\nThe shape: {_json_of(shape)}"
        )
    text = json.dumps([known["documents"][digest] for digest in digests])
    for name, value in ({"hub": "docker.io/istio", "tag": version} | own).items():
        if isinstance(value, str):
            text = text.replace(MARKS[name], value)
    made: list[Object] = json.loads(text)
    if "externalIPs" in own:
        for item in made:
            if item["kind"] == "Service" and "externalIPs" in item["spec"]:
                item["spec"]["externalIPs"] = own["externalIPs"]
    return made


class Server(Protocol):
    """The API server of a cluster, as istioctl reaches it."""

    def call(
        self, method: str, path: str, body: Object | None = None, kind: str = "application/json"
    ) -> Object:
        """One request; an empty object where there is nothing of that name.

        Raises:
            Failed: It was refused, or not answered.
        """


def _apply(server: Server, item: Object) -> None:
    """Server-side apply, as istioctl does it."""
    path = f"{path_of(item)}?fieldManager={FIELD_MANAGER}&force=true"
    try:
        server.call("PATCH", path, item, "application/apply-patch+yaml")
    except Failed as failure:
        name = f"{item['kind']}/{item['metadata'].get('namespace', '')}/{item['metadata']['name']}"
        raise Failed(f"failed to update resource with server-side apply for obj {name}: {failure}") from None


_PLURALS = {"NetworkPolicy": "networkpolicies"}
_CLUSTER_WIDE = frozenset(
    {
        "CustomResourceDefinition",
        "ClusterRole",
        "ClusterRoleBinding",
        "MutatingWebhookConfiguration",
        "ValidatingWebhookConfiguration",
        "Namespace",
    }
)


def path_of(item: Object) -> str:
    """Where an object is kept."""
    version, kind, metadata = item["apiVersion"], item["kind"], item["metadata"]
    root = "apis" if "/" in version else "api"
    plural = _PLURALS.get(kind, kind.lower() + "s")
    where = "" if kind in _CLUSTER_WIDE else f"/namespaces/{metadata['namespace']}"
    return f"/{root}/{version}{where}/{plural}/{metadata['name']}"


def install(document: Object, server: Server, patience_s: float, version: str = VERSION) -> None:
    """Applies what the document makes, waits for it, and sets the default revision tag last."""
    spec, metadata = document["spec"], document["metadata"]
    namespace = metadata.get("namespace", "istio-system")
    if not server.call("GET", f"/api/v1/namespaces/{namespace}"):
        network = ((spec.get("values") or {}).get("global") or {}).get("network")
        labels = {"topology.istio.io/network": network} if network else {}
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}
        server.call("POST", "/api/v1/namespaces", body)
    exists = bool(server.call("GET", f"{_HOOKS}?labelSelector=app%3Dsidecar-injector")["items"])
    revision = spec.get("revision") or (spec.get("values") or {}).get("revision") or ""
    made = manifest(document, version)
    for component in _COMPONENTS:
        of_it = [item for item in made if component_of(item) == component]
        for item in of_it:
            _apply(server, labelled(item, document, component, revision, version))
        wait(server, of_it, patience_s)
    if not exists or not revision:
        for item in tagged(server, revision, version):
            _apply(server, item)


_HOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"


def component_of(item: Object) -> str:
    """The component that an object is part of, by the chart that it comes from."""
    labels = item["metadata"].get("labels") or {}
    chart = str(labels.get("helm.sh/chart", "")).rpartition("-")[0]
    return {"base": "Base", "istiod": "Pilot", "istio-ingress": "IngressGateways"}[chart]


def labelled(item: Object, document: Object, component: str, revision: str, version: str) -> Object:
    """An object with the labels of what owns it."""
    metadata = item["metadata"]
    labels = {
        **(metadata.get("labels") or {}),
        "operator.istio.io/managed": "Reconcile",
        "operator.istio.io/version": version,
        "operator.istio.io/component": component,
        "istio.io/rev": revision or "default",
        "install.operator.istio.io/owning-resource": document["metadata"].get("name", ""),
        "install.operator.istio.io/owning-resource-namespace": document["metadata"].get("namespace", ""),
    }
    kept = {key: value for key, value in labels.items() if value}
    return {**item, "metadata": {**metadata, "labels": kept}}


def wait(server: Server, items: list[Object], patience_s: float) -> None:
    """Waits until Deployments are rolled out and CRDs are served."""
    until = time.monotonic() + patience_s
    for item in items:
        ready = _READY.get(item["kind"])
        while ready and not ready(server.call("GET", path_of(item))):
            if time.monotonic() > until:
                name = f"{item['kind']}/{item['metadata'].get('namespace', '')}/{item['metadata']['name']}"
                raise Failed(
                    f"failed to wait for resource: resources not ready after {patience_s:.0f}s: "
                    f"context deadline exceeded\n  {name}"
                )
            time.sleep(_POLL_S)


def _rolled_out(deployment: Object) -> bool:
    status, desired = deployment.get("status") or {}, deployment["spec"]["replicas"]
    return bool(
        status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
        and status.get("updatedReplicas", 0) >= desired
        and status.get("availableReplicas", 0) >= desired
    )


def _established(crd: Object) -> bool:
    conditions = (crd.get("status") or {}).get("conditions") or []
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)


_READY = {"Deployment": _rolled_out, "CustomResourceDefinition": _established}


def tagged(server: Server, revision: str, version: str) -> list[Object]:
    """What makes up the revision tag `default`; the webhooks of the revision itself are switched off."""
    name = _injector(revision)
    live = server.call("GET", f"{_HOOKS}/{name}")
    if not live:
        return []  # a document without a control plane, before there is one
    if not revision:
        never = {"matchLabels": {"istio.io/deactivated": "never-match"}}
        for hook in live["webhooks"]:
            hook["namespaceSelector"], hook["objectSelector"] = never, never
        server.call("PUT", f"{_HOOKS}/{name}", live)
    text = json.dumps(_read(version)["tag"]["revision" if revision else "default"])
    made: list[Object] = json.loads(text.replace(MARKS["revision"], revision))
    kept = {key: value for key, value in live["metadata"]["labels"].items() if key != "app"}
    bundle = next((hook["clientConfig"].get("caBundle") for hook in live["webhooks"]), None)
    for item in made:
        labels = {**item["metadata"]["labels"], **kept, "istio.io/tag": "default"}
        labels["install.operator.istio.io/owning-resource-not-pruned"] = "true"
        item["metadata"]["labels"] = labels
        for hook in item.get("webhooks", ()):
            if bundle:
                hook["clientConfig"]["caBundle"] = bundle
        if item["kind"] == "Service":  # `install` renders it otherwise than `manifest generate` (1.31.0)
            item["spec"]["selector"] = {"app": "istiod", "istio.io/rev": revision or "default"}
            for port in item["spec"]["ports"]:
                port.setdefault("targetPort", port["port"])
    return made


def set_tag(server: Server, tag: str, revision: str, version: str) -> None:
    """What `tag set --overwrite` does: the tag points to a revision whose webhook is there."""
    bare = "" if revision == "default" else revision
    if not server.call("GET", f"{_HOOKS}/{_injector(bare)}"):
        raise Failed(f'cannot modify tag: no webhook of revision "{revision}"')
    if tag == "default":
        for item in tagged(server, bare, version):
            _apply(server, item)
        return
    live = server.call("GET", f"{_HOOKS}/istio-revision-tag-{tag}")
    live["metadata"]["labels"]["istio.io/rev"] = revision
    for hook in live["webhooks"]:
        hook["clientConfig"]["service"]["name"] = f"istiod-{bare}" if bare else "istiod"
    server.call("PUT", f"{_HOOKS}/istio-revision-tag-{tag}", live)


def _injector(revision: str) -> str:
    return f"istio-sidecar-injector-{revision}" if revision else "istio-sidecar-injector"


class Ended(NamedTuple):
    """How a run of istioctl ended."""

    code: int
    stdout: str
    stderr: str


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Failed(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="istioctl")
    verbs = parser.add_subparsers(dest="verb", required=True)
    generating = (
        verbs.add_parser("manifest").add_subparsers(dest="what", required=True).add_parser("generate")
    )
    installing = verbs.add_parser("install")
    for verb in (generating, installing):
        verb.add_argument("-f", "--filename", required=True)
    generating.add_argument("--log_target", default="stdout")
    installing.add_argument("--context", default="")
    installing.add_argument("--kubeconfig", default="")
    installing.add_argument("--namespace", "-n", default="istio-system")
    installing.add_argument("--readiness-timeout", default="300s")
    installing.add_argument("--skip-confirmation", "-y", action="store_true")
    tagging = verbs.add_parser("tag").add_subparsers(dest="what", required=True).add_parser("set")
    tagging.add_argument("tag")
    tagging.add_argument("--revision", required=True)
    tagging.add_argument("--context", default="")
    tagging.add_argument("--istioNamespace", default="istio-system")
    for flag in ("--overwrite", "--skip-confirmation"):
        tagging.add_argument(flag, action="store_true")
    return parser


def run(
    version: str,
    words: Sequence[str],
    folder: Path,
    kubeconfig: str,
    reach: Callable[[Object, str], Server],
) -> Ended:
    """One run.

    Args:
        version: Of which it is.
        words: Its arguments.
        folder: Where it runs.
        kubeconfig: KUBECONFIG of its environment.
        reach: Gives the API server of a context, once it is given a kubeconfig and the context's name.
    """
    try:
        given = _parser().parse_args(words)
        if given.verb == "tag":
            server = reach(yamltext.load((folder / kubeconfig).read_bytes()), given.context)
            set_tag(server, given.tag, given.revision, version)
            return Ended(0, f"Revision tag {given.tag!r} created\n", "")
        document = yamltext.load((folder / given.filename).read_bytes())
        if given.verb == "manifest":
            return Ended(
                0, "\n---\n".join(json.dumps(item) for item in manifest(document, version)) + "\n", ""
            )
        read = yamltext.load((folder / (given.kubeconfig or kubeconfig)).read_bytes())
        install(document, reach(read, given.context), float(given.readiness_timeout.rstrip("s")), version)
    except (Failed, OSError, yaml.YAMLError) as failure:
        return Ended(1, "", f"Error: failed to install manifests: {failure}\n")
    return Ended(0, "✔ Installation complete\n", "")
