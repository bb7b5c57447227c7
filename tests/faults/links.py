"""Faults of remote secrets: of what kt holds of nhn."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import yaml

from tests.e2e.harness import SYSTEM, get, kubectl
from tests.faults.harness import Fault, fault, of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.harness import Site

_SECRET = "istio-remote-secret-nhn-nks"  # noqa: S105 - a Secret's name
_TOKEN = "istio-reader-service-account-istio-remote-secret-token"  # noqa: S105 - likewise
_BINDING = "istio-reader-clusterrole-istio-system"


def _live() -> dict[str, Any]:
    """The remote secret of nhn in kt, without what Kubernetes adds."""
    found = get("kt", "secret", _SECRET)
    kept = ("name", "namespace", "labels", "annotations")
    return {**found, "metadata": {key: found["metadata"][key] for key in kept if key in found["metadata"]}}


def _write(secret: dict[str, Any]) -> None:
    kubectl("kt", "create", "-n", SYSTEM, "-f", "-", stdin=json.dumps(secret))


def _edited(edit: Callable[[dict[str, Any]], object]) -> Callable[[Site], None]:
    """Edits the kubeconfig in the remote secret."""

    def make(_site: Site) -> None:
        document = yaml.safe_load(base64.b64decode(_live()["data"]["nhn-nks"]))
        edit(document)
        value = base64.b64encode(yaml.safe_dump(document).encode()).decode()
        body = json.dumps({"data": {"nhn-nks": value}})
        kubectl("kt", "patch", "secret", _SECRET, "-n", SYSTEM, "--type=merge", "-p", body)

    return make


def _server(url: str) -> Callable[[dict[str, Any]], object]:
    return lambda document: document["clusters"][0]["cluster"].update(server=url)


def _other_ca(document: dict[str, Any]) -> None:
    """The CA of kt itself in place of nhn's."""
    own = get("kt", "configmap", "kube-root-ca.crt")["data"]["ca.crt"]
    encoded = base64.b64encode(own.encode()).decode()
    document["clusters"][0]["cluster"]["certificate-authority-data"] = encoded


def _plugin(document: dict[str, Any]) -> None:
    plugin = {"command": "aws", "apiVersion": "client.authentication.k8s.io/v1"}
    document["users"][0]["user"] = {"exec": plugin}


def _deleted(_site: Site) -> None:
    kubectl("kt", "delete", "secret", _SECRET, "-n", SYSTEM)


def _revoked(_site: Site) -> None:
    kubectl("nhn", "delete", "secret", _TOKEN, "-n", SYSTEM)


def _no_rights(_site: Site) -> None:
    kubectl("nhn", "delete", "clusterrolebinding", _BINDING)


def _twice(_site: Site) -> None:
    again = _live()
    again["metadata"]["name"] = "another-claim"
    _write(again)


def _stranger(_site: Site) -> None:
    found = _live()
    found["metadata"]["name"] = "istio-remote-secret-gone"
    found["metadata"]["annotations"] = {"networking.istio.io/cluster": "gone"}
    found["data"] = {"gone": found["data"].pop("nhn-nks")}
    _write(found)


FAULTS: tuple[Fault, ...] = (
    fault("remote secret deleted", of("link.secret", "kt", "nhn"), make=_deleted),
    fault(
        "token revoked",
        of("link.token", "kt", "nhn"),
        of("link.token", "ncloud", "nhn"),
        make=_revoked,
    ),
    fault(
        "api server address unreachable",
        of("link.address", "kt", "nhn"),
        make=_edited(_server("https://198.18.0.99:6443")),
    ),
    fault(
        "api server address is a loopback one",
        of("link.address", "kt", "nhn"),
        make=_edited(_server("https://127.0.0.1:6443")),
    ),
    fault("api server CA wrong", of("link.trusted", "kt", "nhn"), make=_edited(_other_ca)),
    fault(
        "api server address leads to something else",
        of("link.api-server", "kt", "nhn"),
        make=_edited(_server("https://198.18.0.13:6443/k8s/clusters/c-m-7x2kq")),
    ),
    fault("remote secret with a credential plugin", of("link.usable", "kt", "nhn"), make=_edited(_plugin)),
    fault("two secrets claim one cluster ID", of("link.unique", "kt", "nhn"), make=_twice),
    fault("secret for a cluster that left", of("link.members", "kt"), make=_stranger),
    fault(
        "reader RBAC removed",
        of("link.rights", "kt", "nhn"),
        of("link.rights", "ncloud", "nhn"),
        make=_no_rights,
    ),
)
