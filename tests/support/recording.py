"""Records what the real istioctl makes, for the stand-in: `python -m tests.support.recording`.

The real programs are those of the lab's cache. Each shape of document is recorded once, with marks in place
of a mesh's own values. The schemas of CRDs are left out: they are nine tenths of the text, and nothing here
reads them.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING, Any

import yaml

from benchmarks import documents as guide
from istio_mc.domain import yamltext
from istio_mc.domain.istio.operator import istio_operator
from istio_mc.domain.mesh import ApiServer, Cluster, Mesh
from lab.settings import cache
from tests.support.istioctl import MARKS, VERSION, VERSIONS, key_of, recorded, shape_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.kinds import Object

_LAB_VALUES: Object = {
    "global": {"imagePullPolicy": "IfNotPresent"},
    "telemetry": {"enabled": False},
    "pilot": {"env": {"PILOT_ENABLE_METADATA_EXCHANGE": "false", "PILOT_ENABLE_ALPN_FILTER": "false"}},
    "meshConfig": {"defaultProviders": {"metrics": []}},
}
"""The lab's own, so that one mesh.yaml does for it and for the stand-in."""

NETWORK_POLICY: Object = {"global": {"networkPolicy": {"enabled": True}}}
"""Values that make objects of a kind which no other document has; known since 1.28."""

READER: Object = {"global": {"readerServiceAccount": {"name": "reader", "namespace": "istio-system"}}}
"""Values that bind the reader's rights to an account which others make; known since 1.31."""

NO_READER: Object = {"global": {"enableReaderRBAC": False}}
"""Values that make neither the reader's account nor its rights; known since 1.30."""

TRUST_BUNDLE: Object = {"global": {"trustBundleName": "our-roots"}}
"""Values that give the ConfigMap with the roots another name; known since 1.27."""

KUBECONFIGS: Object = {
    "pilot": {
        "env": {"PILOT_MULTICLUSTER_KUBECONFIG_PATH": "/var/run/remote-kubeconfigs"},
        "volumes": [{"name": "remote-kubeconfigs", "secret": {"secretName": "remote-kubeconfigs"}}],
        "volumeMounts": [{"name": "remote-kubeconfigs", "mountPath": "/var/run/remote-kubeconfigs"}],
    }
}
"""Values that have istiod read kubeconfigs of other clusters from a mounted Secret; known since 1.30."""

_OF_NEWER = (NETWORK_POLICY, READER, NO_READER, TRUST_BUNDLE, KUBECONFIGS)

_NO_SCHEMA = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}


def documents(version: str) -> Iterator[Object]:
    """The IstioOperator documents whose shapes are recorded."""
    if version != VERSION:  # istioctl refuses values that its version does not know
        images = (MARKS["hub"], MARKS["tag"])
        for values in _OF_NEWER:
            yield istio_operator(Mesh(MARKS["meshID"], version, "", *images, values), _cluster(()))
    addresses = ((), (MARKS["externalIP"],))
    for revision in ("", MARKS["revision"]):
        for hub, tag in ((None, None), (MARKS["hub"], MARKS["tag"])):
            for values in ({}, _LAB_VALUES):
                for given in addresses:
                    mesh = Mesh(MARKS["meshID"], version, revision, hub, tag, values)
                    yield istio_operator(mesh, _cluster(given))
    yield another_revision()
    scripts = guide.Settings(MARKS["meshID"], MARKS["hub"], MARKS["tag"], {}, "", {})
    yield guide.control_plane(scripts, MARKS["clusterName"], MARKS["network"])
    yield guide.gateway(scripts, MARKS["clusterName"], MARKS["network"])


def another_revision(revision: str = MARKS["revision"]) -> Object:
    """A control plane of others beside the mesh's, as they would install it."""
    return {
        "apiVersion": "install.istio.io/v1alpha1",
        "kind": "IstioOperator",
        "metadata": {"name": "canary", "namespace": "istio-system"},
        "spec": {
            "profile": "minimal",
            "revision": revision,
            "hub": MARKS["hub"],
            "tag": MARKS["tag"],
        },
    }


def _cluster(addresses: tuple[str, ...]) -> Cluster:
    server = ApiServer("https://kt.example:6443")
    return Cluster("kt", MARKS["clusterName"], MARKS["network"], server, addresses)


def main() -> None:
    """Records all shapes in all versions."""
    for version in VERSIONS:
        path = recorded(version)
        sys.stdout.write(f"{path}: {record(lab_istioctl(version), path, version)}\n")


def lab_istioctl(version: str) -> str:
    """The real istioctl of that version, as the lab has it."""
    return str(cache() / "bin" / f"istio-{version}" / "istioctl")


def record(istioctl: str, path: Path, version: str) -> str:
    """Writes what an istioctl makes of each shape into a file; says how much it is."""
    versions = json.loads(_run(istioctl, "version", "--remote=false", "--output", "json"))
    assert versions["clientVersion"]["version"] == version, versions
    kept: dict[str, Object] = {}
    shapes: dict[str, list[str]] = {}
    for document in documents(version):
        shape, _ = shape_of(document)
        assert shape == document, "a mark is missing in a document"
        shapes[key_of(shape)] = [_keep(kept, item) for item in _generated(istioctl, document)]
    revisions = {"default": "", "revision": MARKS["revision"]}
    tags = {name: _tag(istioctl, revision) for name, revision in revisions.items()}
    whole = {"istioctl": version, "shapes": shapes, "documents": kept, "tag": tags}
    raw = json.dumps(whole, sort_keys=True, separators=(",", ":")).encode()
    path.write_bytes(gzip.compress(raw, 9, mtime=0))
    return f"{len(shapes)} shapes, {len(kept)} documents, {path.stat().st_size} bytes"


def _run(*words: str) -> bytes:
    env = {**os.environ, "KUBECONFIG": os.devnull}
    return subprocess.run(words, capture_output=True, check=True, timeout=60, env=env).stdout


def _generated(istioctl: str, document: Object) -> list[Object]:
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(document, file)
        file.flush()
        found = yamltext.load_all(
            _run(istioctl, "manifest", "generate", "--log_target", "stderr", "-f", file.name)
        )
    return [_trimmed(item) for item in _as_released(found)]


def _as_released(found: list[Object]) -> list[Object]:
    """An istioctl that was built from source has another registry in it than a released one."""
    text = json.dumps(found)
    text = text.replace("gcr.io/istio-testing", MARKS["hub"])
    text = text.replace(f"{MARKS['hub']}/pilot:latest", f"{MARKS['hub']}/pilot:{MARKS['tag']}")
    text = text.replace(f"{MARKS['hub']}/proxyv2:latest", f"{MARKS['hub']}/proxyv2:{MARKS['tag']}")
    text = text.replace('\\"tag\\": \\"latest\\"', f'\\"tag\\": \\"{MARKS["tag"]}\\"')
    released: list[Object] = json.loads(text)
    return released


def _trimmed(item: Object) -> Object:
    if item["kind"] != "CustomResourceDefinition":
        return item
    versions: list[Any] = []
    for version in item["spec"]["versions"]:
        kept = {key: value for key, value in version.items() if key != "additionalPrinterColumns"}
        versions.append({**kept, "schema": _NO_SCHEMA})
    return {**item, "spec": {**item["spec"], "versions": versions}}


def _keep(kept: dict[str, Object], item: Object) -> str:
    digest = hashlib.sha256(json.dumps(item, sort_keys=True).encode()).hexdigest()[:16]
    kept[digest] = item
    return digest


def _tag(istioctl: str, revision: str) -> list[Object]:
    """The webhooks of the revision tag `default` that points to a revision, as istioctl renders them."""
    values: Object = {"revision": revision, "revisionTags": ["default"]}
    spec: Object = {"profile": "empty", "components": {"pilot": {"enabled": True}}, "values": values}
    document = {
        "apiVersion": "install.istio.io/v1alpha1",
        "kind": "IstioOperator",
        "metadata": {"name": "tag", "namespace": "istio-system"},
        "spec": spec,
    }
    found = _generated(istioctl, document)
    tagged = [item for item in found if "istio.io/tag" in item["metadata"].get("labels", {})]
    validating = [item for item in found if item["kind"] == "ValidatingWebhookConfiguration"]
    return [*tagged, *map(_default_validator, validating)]


def _default_validator(item: Object) -> Object:
    """The validator for all that names no revision: a chart of its own, which only `install` renders.

    It is that of the revision but for its name and what it selects (seen on the lab, 1.26.0).
    """
    (hook,) = item["webhooks"]
    named_by_none = {"matchExpressions": [{"key": "istio.io/rev", "operator": "DoesNotExist"}]}
    kept = {key: value for key, value in hook.items() if key != "failurePolicy"}
    webhook = {**kept, "name": "validation.istio.io", "objectSelector": named_by_none}
    metadata = {**item["metadata"], "name": "istiod-default-validator"}
    return {**item, "metadata": metadata, "webhooks": [webhook]}


if __name__ == "__main__":
    main()
