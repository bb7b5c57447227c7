"""What came of trying a remote secret's own address, CA and token from here. Pure."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from istio_mc.domain.remote_secrets import Access


class Reading(StrEnum):
    """What came of it."""

    OK = "ok"
    UNREACHABLE = "unreachable"
    UNTRUSTED = "untrusted"
    UNAUTHENTICATED = "unauthenticated"
    DENIED = "denied"
    STRANGE = "strange"
    UNTRIED = "untried"


class CertificateFault(StrEnum):
    """Why a server's certificate was refused."""

    NAME = "name"
    DATES = "dates"
    ISSUER = "issuer"


@dataclass(frozen=True, slots=True)
class Tried:
    """One access that was tried.

    Attributes:
        reading: What came of it.
        detail: As the network or the API server gave it; for DENIED the reads that are not allowed.
        certificate: For UNTRUSTED, what is wrong with the certificate; None: TLS failed before it came.
    """

    reading: Reading
    detail: str = ""
    certificate: CertificateFault | None = None


READS: tuple[tuple[str, str], ...] = (
    ("", "services"),
    ("", "pods"),
    ("", "nodes"),
    ("", "namespaces"),
    ("discovery.k8s.io", "endpointslices"),
)
"""API group and resource of what an istiod watches in a remote cluster.

Source: pilot/pkg/serviceregistry/kube/controller/controller.go and network.go, Istio 1.26.0.
"""


NOT_DATA = frozenset({"exec", "auth-provider", "tokenFile", "client-key", "client-certificate"})
"""Keys of a kubeconfig's user whose value is no credential, but where a reader gets one from."""


def reader_kubeconfig(name: str, access: Access) -> Mapping[str, object]:
    """A kubeconfig of one context, by which this program reaches a cluster as an istiod does.

    Only what is data in it: a program or file that a remote secret names is not for this machine.
    """
    user = {key: value for key, value in json.loads(access.user).items() if key not in NOT_DATA}
    cluster: dict[str, object] = {"server": access.server}
    if access.ca_data:
        cluster["certificate-authority-data"] = base64.b64encode(access.ca_data).decode()
    if access.is_insecure:
        cluster["insecure-skip-tls-verify"] = True
    if access.tls_server_name:
        cluster["tls-server-name"] = access.tls_server_name
    if access.proxy:
        cluster["proxy-url"] = access.proxy
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
