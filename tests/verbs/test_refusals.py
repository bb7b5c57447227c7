"""What install refuses before its first change: every cluster stays as it was, to the last object."""

from __future__ import annotations

import ast
import base64
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

import istio_mc
from istio_mc.domain.problem import Code
from tests.support import world
from tests.support.identity import move_to_network
from tests.support.kept_values import keep_a_value
from tests.support.marks import in_thorough
from tests.support.refusals import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.kinds import Object
    from tests.support.mesh import Mesh

SYSTEM = "istio-system"
SOURCE = Path(istio_mc.__file__).parent
THREE = "kt,ncloud,nhn"
SECRETS = "/api/v1/namespaces/istio-system/secrets"


def settings_of_kt(mesh: Mesh, **settings: Any) -> None:
    mesh.settings(clusters=[{"context": "kt", **settings}, {"context": "ncloud"}, {"context": "nhn"}])


def kt_in_the_network_of_ncloud(mesh: Mesh) -> None:
    move_to_network(mesh, "kt", "network2")


def cacerts_of_nhn(mesh: Mesh, data: dict[str, str]) -> None:
    nhn = mesh["nhn"]
    nhn.edit(nhn.get("Secret", "cacerts", SYSTEM), lambda item: item.update(data=data))


def half_a_certificate_of_cert_manager(mesh: Mesh) -> None:
    names = ("tls.crt", "tls.key", "ca.crt")
    cacerts_of_nhn(mesh, {name: base64.b64encode(b"half").decode() for name in names})


def no_cacerts_on_kt(mesh: Mesh) -> None:
    mesh["kt"].delete(mesh["kt"].get("Secret", "cacerts", SYSTEM))


def no_ca_of_kt(mesh: Mesh) -> None:
    no_cacerts_on_kt(mesh)
    shutil.rmtree(mesh.certs / "kt-k2p")


def revocation_lists_that_its_istiod_refuses(mesh: Mesh) -> None:
    nhn = mesh["nhn"]
    data = dict(nhn.get("Secret", "cacerts", SYSTEM)["data"])
    del data["ca-key.pem"]
    cacerts_of_nhn(mesh, {**data, "ca-crl.pem": base64.b64encode(b"lists").decode()})

    def newer(item: Object) -> None:  # the first that reads them at its start
        (container,) = item["spec"]["template"]["spec"]["containers"]
        container["image"] = container["image"].replace("1.26.0", "1.31.0")

    nhn.edit(nhn.get("Deployment", "istiod", SYSTEM), newer)


def readable_root_key(mesh: Mesh) -> None:
    no_ca_of_kt(mesh)
    (mesh.certs / "root-ca.key").chmod(0o644)


def no_root_key(mesh: Mesh) -> None:
    no_ca_of_kt(mesh)
    (mesh.certs / "root-ca.key").unlink()


def no_key_beside_kts_certificate(mesh: Mesh) -> None:
    no_cacerts_on_kt(mesh)
    (mesh.certs / "kt-k2p" / "ca-key.pem").unlink()


def namespace_that_does_not_end(mesh: Mesh) -> None:
    held = {"name": "held", "namespace": SYSTEM, "finalizers": ["example.com/held"]}
    mesh["kt"].make({"apiVersion": "v1", "kind": "ConfigMap", "metadata": held})
    mesh["kt"].delete(mesh["kt"].get("Namespace", SYSTEM))


def ztunnel_on_ncloud(mesh: Mesh) -> None:
    labels = {"app": "ztunnel"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": []}}
    mesh["ncloud"].make(
        {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": {"name": "ztunnel", "namespace": "default", "labels": labels},
            "spec": {"selector": {"matchLabels": labels}, "template": template},
        }
    )


def no_gateway_api_and_no_manifest(mesh: Mesh) -> None:
    kt = mesh["kt"]
    for name in kt.names("CustomResourceDefinition"):
        if name.endswith(".gateway.networking.k8s.io"):
            kt.delete(kt.get("CustomResourceDefinition", name))
    mesh.settings(gatewayAPI={"manifest": "absent.yaml"})


class Refusal(NamedTuple):
    """A mesh that install refuses to touch.

    Attributes:
        code: Of the Problem.
        cluster: That the Problem names first; None: it is about all of them.
        exits: The exit code.
        arrange: Brings an installed mesh there.
        words: Further arguments of install.
    """

    code: str
    cluster: str | None
    exits: int
    arrange: Callable[[Mesh], object]
    words: tuple[str, ...] = ()


REFUSALS = {
    "another mesh ID": Refusal(
        "member-of-another-mesh", "kt", 2, lambda mesh: mesh.settings(meshID="another")
    ),
    "another network": Refusal(
        "identity-changed", "kt", 2, lambda mesh: settings_of_kt(mesh, network="other")
    ),
    "another cluster ID": Refusal("identity-changed", "kt", 2, lambda mesh: settings_of_kt(mesh, id="other")),
    "one network for two clusters": Refusal("identity-shared", None, 2, kt_in_the_network_of_ncloud),
    "an address of this machine": Refusal(
        "api-server-for-us-only",
        "kt",
        2,
        lambda mesh: settings_of_kt(mesh, apiServer={"server": "https://127.0.0.1:6443"}),
    ),
    "another root in one cluster": Refusal(
        "roots-differ",
        None,
        1,
        lambda mesh: cacerts_of_nhn(mesh, world.ca_certs("nhn", "another").secret_data()),
    ),
    "another root in the folder": Refusal(
        "root-is-another",
        None,
        1,
        lambda mesh: mesh.run("ca", "init", "--certs-dir", "another").exits(0),
        ("--certs-dir", "another"),
    ),
    "no root in the folder": Refusal(
        "root-not-at-hand", None, 1, no_cacerts_on_kt, ("--certs-dir", "absent")
    ),
    "a CA of others that is not whole": Refusal(
        "cacerts-made-by-others", "nhn", 1, half_a_certificate_of_cert_manager
    ),
    "revocation lists that do not fit": Refusal(
        "cacerts-crl", "nhn", 1, revocation_lists_that_its_istiod_refuses
    ),
    "a key that others can read": Refusal("ca-key-exposed", None, 1, readable_root_key),
    "no key to sign with": Refusal("ca-no-signer", None, 1, no_root_key),
    "a certificate without its key": Refusal("ca-key-lost", "kt", 1, no_key_beside_kts_certificate),
    "a CA for a cluster that is not named": Refusal(
        "not-in-this-run", None, 2, lambda _: None, ("--replace-ca", "other")
    ),
    "no istioctl of that version": Refusal(
        "istioctl-version", None, 2, lambda mesh: mesh.settings(istio={"version": "1.27.9"})
    ),
    "no manifest of the Gateway API": Refusal("file-unreadable", None, 1, no_gateway_api_and_no_manifest),
    "another trust domain": Refusal(
        "trust-domains-differ",
        None,
        1,
        lambda mesh: settings_of_kt(mesh, values={"meshConfig": {"trustDomain": "kt.example"}}),
    ),
    "a rejected token": Refusal(
        "unauthenticated",
        "nhn",
        1,
        lambda mesh: mesh["nhn"].faults.refuse(Refused(401, "Unauthorized", "Unauthorized")),
    ),
    "no right to read": Refusal("forbidden", "nhn", 1, lambda mesh: mesh["nhn"].faults.denied.add("list *")),
    "no right to write": Refusal(
        "rights-missing", "nhn", 1, lambda mesh: mesh["nhn"].faults.denied.add("create secrets")
    ),
    "a namespace on its way out": Refusal("namespace-terminating", "kt", 1, namespace_that_does_not_end),
    "another manager": Refusal("managed-by-others", "ncloud", 1, ztunnel_on_ncloud),
    "values that no mesh.yaml has": Refusal("values-lost", "kt", 2, keep_a_value),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS.keys())
def test_nothing_is_written_anywhere(installed: Mesh, refusal: Refusal) -> None:
    refusal.arrange(installed)
    before, files = installed.snapshots(), sorted(installed.folder.rglob("*"))
    refused = installed.run("install", "--contexts", THREE, *refusal.words, "-o", "json").exits(refusal.exits)
    assert {code for code, _ in refused.errors} == {refusal.code}
    assert refused.errors[0][1] == refusal.cluster
    assert installed.snapshots() == before
    assert sorted(installed.folder.rglob("*")) == files


@pytest.mark.parametrize("words", [("status",), *in_thorough(("link",), ("install", "--contexts", THREE))])
def test_a_missing_right_to_list_is_one_error(installed: Mesh, words: tuple[str, ...]) -> None:
    installed["nhn"].faults.denied.add("list *")
    (error,) = installed.run(*words, "-o", "json").json["errors"]
    assert (error["code"], error["cluster"]) == ("forbidden", "nhn")
    assert error["message"].startswith(f"the API server of nhn refused GET {SECRETS} and ")
    assert 'User "kubernetes-admin" cannot list resource "secrets"' in error["seen"]
    assert "; also GET /api/v1/namespaces/istio-system/services, GET " in error["seen"]


ONLY_WARNINGS = frozenset({"network-by-id", "workload-outlives-ca"})
ONLY_VERIFY = frozenset(
    {
        "clock-skew",
        "istiod-certificate-expired",
        "istiod-signs-with-another-ca",
        "namespace-roots-differ",
        "namespace-roots-missing",
        "not-installed",
        "proxy-trusts-old-root",
        "workload-certificate-older",
    }
)
"""What these modules report of the mesh that lives, after an install."""


def codes(*modules: str) -> set[str]:
    """Every code of a Problem that modules make."""
    return {
        Code[keyword.value.attr].value
        for module in modules
        for keyword in ast.walk(ast.parse((SOURCE / module).read_text(encoding="utf-8")))
        if isinstance(keyword, ast.keyword)
        and keyword.arg == "code"
        and isinstance(keyword.value, ast.Attribute)
        and ast.unparse(keyword.value.value) == "Code"
    }


def test_each_refusal_before_the_first_change_is_among_these() -> None:
    made = codes(
        "checks/access.py",
        "checks/trust.py",
        "domain/links/state.py",
        "domain/kube/objects.py",
        "ops/install/prepare.py",
        "ops/install/manifest.py",
        "ops/install/preflight.py",
        "ops/session/topology.py",
        "ops/ca/trust.py",
    )
    assert len(made) > 10
    assert made - ONLY_WARNINGS - ONLY_VERIFY - {refusal.code for refusal in REFUSALS.values()} == set()
