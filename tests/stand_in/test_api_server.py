"""The stand-in API server answers as a real one does, as far as istio-mc and istioctl look."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import fields
from tests.support.client import MERGE, apply, call
from tests.support.snapshots import owners

if TYPE_CHECKING:
    from tests.support.cluster import Cluster
    from tests.support.mesh import Mesh

MAPS = "/api/v1/namespaces/default/configmaps"
ONE = f"{MAPS}/one"
READER = "/api/v1/namespaces/default/secrets/reader"


def config_map(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": data}


@pytest.fixture
def kt(mesh: Mesh) -> Cluster:
    return mesh["kt"]


def test_what_is_created_is_read_and_listed(kt: Cluster) -> None:
    assert call(kt, "POST", MAPS, config_map(a="1")).code == 201
    assert call(kt, "GET", ONE).body["data"] == {"a": "1"}
    listed = call(kt, "GET", f"{MAPS}?fieldSelector=metadata.name%3Done").body
    assert [item["metadata"]["name"] for item in listed["items"]] == ["one"]
    assert "kind" not in listed["items"][0]


def test_a_second_of_the_same_name_is_refused(kt: Cluster) -> None:
    call(kt, "POST", MAPS, config_map())
    answer = call(kt, "POST", MAPS, config_map())
    assert (answer.code, answer.reason) == (409, "AlreadyExists")
    assert answer.body["message"] == 'configmaps "one" already exists'


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/api/v1/namespaces/default/configmaps/none", 404),
        ("DELETE", "/api/v1/namespaces/default/configmaps/none", 404),
        ("GET", "/apis/networking.istio.io/v1/gateways", 404),
        ("POST", "/api/v1/configmaps", 405),
        ("DELETE", MAPS, 405),
    ],
)
def test_missing_or_forbidden_objects_are_refused(kt: Cluster, method: str, path: str, code: int) -> None:
    assert call(kt, method, path, config_map() if method == "POST" else None).code == code


def test_nothing_is_created_in_a_namespace_that_is_not_there(kt: Cluster) -> None:
    answer = call(kt, "POST", "/api/v1/namespaces/none/configmaps", config_map())
    assert (answer.code, answer.body["message"]) == (404, 'namespaces "none" not found')


def test_a_name_that_is_no_dns_name_is_invalid(kt: Cluster) -> None:
    document = {**config_map(), "metadata": {"name": "One"}}
    answer = call(kt, "POST", MAPS, document)
    assert (answer.code, answer.reason) == (422, "Invalid")


def test_an_apply_that_changes_nothing_leaves_the_version(kt: Cluster) -> None:
    first = apply(kt, ONE, config_map(a="1"), "me").body["metadata"]["resourceVersion"]
    assert apply(kt, ONE, config_map(a="1"), "me").body["metadata"]["resourceVersion"] == first
    assert apply(kt, ONE, config_map(a="2"), "me").body["metadata"]["resourceVersion"] != first


def test_a_field_that_another_manager_owns_is_refused_without_force(kt: Cluster) -> None:
    apply(kt, ONE, config_map(a="1", b="1"), "one")
    answer = apply(kt, ONE, config_map(a="2"), "two")
    assert (answer.code, answer.reason) == (409, "Conflict")
    assert answer.body["message"] == 'Apply failed with 1 conflict: conflict with "one": .data.a'
    assert call(kt, "GET", ONE).body["data"] == {"a": "1", "b": "1"}


def test_force_takes_the_field_over_and_leaves_the_others(kt: Cluster) -> None:
    apply(kt, ONE, config_map(a="1", b="1"), "one")
    found = apply(kt, ONE, config_map(a="2"), "two", force=True).body
    assert found["data"] == {"a": "2", "b": "1"}
    assert owners(found) == {"one": {("f:data", "f:b")}, "two": {("f:data", "f:a")}}


def test_what_a_manager_no_longer_applies_goes_unless_another_owns_it(kt: Cluster) -> None:
    apply(kt, ONE, config_map(a="1", b="1", c="1"), "one")
    apply(kt, ONE, config_map(b="1"), "two")
    assert apply(kt, ONE, config_map(a="1"), "one").body["data"] == {"a": "1", "b": "1"}


def test_a_patch_takes_ownership_of_what_it_changes(kt: Cluster) -> None:
    apply(kt, ONE, config_map(a="1", b="1"), "one")
    found = call(kt, "PATCH", f"{ONE}?fieldManager=two", {"data": {"a": "2", "b": None}}, MERGE).body
    assert found["data"] == {"a": "2"}
    assert owners(found) == {"two": {("f:data", "f:a")}}


def test_lists_of_named_items_are_merged_by_their_names(kt: Cluster) -> None:
    path = "/apis/apps/v1/namespaces/default/deployments/web"

    def deployment(*containers: dict[str, str]) -> dict[str, Any]:
        labels = {"app": "web"}
        spec = {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": list(containers)}},
        }
        return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}

    apply(kt, path, deployment({"name": "a", "image": "a:1"}), "one")
    found = apply(kt, path, deployment({"name": "b", "image": "b:1"}), "two").body
    containers = {one["name"]: one["image"] for one in found["spec"]["template"]["spec"]["containers"]}
    assert containers == {"a": "a:1", "b": "b:1"}


def test_owners_read_back_from_managed_fields_are_those_that_were_written(kt: Cluster) -> None:
    found = apply(kt, ONE, config_map(a="1"), "me").body
    (entry,) = found["metadata"]["managedFields"]
    assert entry["fieldsV1"] == {"f:data": {"f:a": {}}}
    assert fields.owned_paths(entry) == {("f:data", "f:a")}


def test_a_finalizer_holds_an_object_until_it_is_taken_off(kt: Cluster) -> None:
    document = config_map()
    document["metadata"]["finalizers"] = ["example.com/held"]
    call(kt, "POST", MAPS, document)
    assert call(kt, "DELETE", ONE).code == 200
    assert call(kt, "GET", ONE).body["metadata"]["deletionTimestamp"]
    call(kt, "PATCH", ONE, {"metadata": {"finalizers": None}}, MERGE)
    assert call(kt, "GET", ONE).code == 404


def test_a_namespace_is_deleted_with_its_objects_and_reports_its_finalizers(kt: Cluster) -> None:
    call(
        kt,
        "POST",
        "/api/v1/namespaces",
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "gone"}},
    )
    maps = "/api/v1/namespaces/gone/configmaps"
    held = config_map()
    held["metadata"]["finalizers"] = ["example.com/held"]
    call(kt, "POST", maps, held)
    assert call(kt, "DELETE", "/api/v1/namespaces/gone").body["status"]["phase"] == "Terminating"
    refused = call(kt, "POST", maps, {**config_map(), "metadata": {"name": "late"}})
    assert (refused.code, refused.body["details"]["causes"][0]["reason"]) == (403, "NamespaceTerminating")
    kt.settle()
    conditions = call(kt, "GET", "/api/v1/namespaces/gone").body["status"]["conditions"]
    assert "example.com/held in 1 resource instances" in conditions[1]["message"]
    call(kt, "PATCH", f"{maps}/one", {"metadata": {"finalizers": None}}, MERGE)
    kt.settle()
    assert call(kt, "GET", "/api/v1/namespaces/gone").code == 404


def test_what_an_object_owns_goes_with_it(kt: Cluster) -> None:
    owner = call(kt, "POST", MAPS, config_map()).body
    owned = {**config_map(), "metadata": {"name": "owned"}}
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "one", "uid": owner["metadata"]["uid"]}
    owned["metadata"]["ownerReferences"] = [reference]
    call(kt, "POST", MAPS, owned)
    call(kt, "DELETE", ONE)
    kt.settle()
    assert call(kt, "GET", f"{MAPS}/owned").code == 404


def test_a_crd_has_its_kind_served_and_takes_its_objects_along(kt: Cluster) -> None:
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    names = {"kind": "Thing", "plural": "things"}
    versions = [{"name": "v1", "served": True, "storage": True}]
    spec = {"group": "example.com", "scope": "Cluster", "names": names, "versions": versions}
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.com"},
        "spec": spec,
    }
    call(kt, "POST", crds, crd)
    kt.settle()
    thing = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "one"}}
    assert call(kt, "POST", "/apis/example.com/v1/things", thing).code == 201
    call(kt, "DELETE", f"{crds}/things.example.com")
    kt.settle()
    assert call(kt, "GET", "/apis/example.com/v1/things/one").code == 404
    assert not [key for key in kt.store.everything() if key.group == "example.com"]


@pytest.fixture
def token(kt: Cluster) -> str:
    """A token of the account default, as its Secret has it."""
    annotations = {"kubernetes.io/service-account.name": "default"}
    metadata = {"name": "reader", "namespace": "default", "annotations": annotations}
    kind = "kubernetes.io/service-account-token"
    kt.make({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": kind})
    kt.settle()
    return base64.b64decode(call(kt, "GET", READER).body["data"]["token"]).decode()


def test_a_token_is_taken_as_long_as_its_secret_is_there(kt: Cluster, token: str) -> None:
    assert call(kt, "GET", MAPS, token=token).code == 403  # it is known, and may do nothing
    call(kt, "DELETE", READER)
    kt.settle()
    assert call(kt, "GET", MAPS, token=token).code == 401


def test_a_role_grants_an_account_its_rules(kt: Cluster, token: str) -> None:
    rbac = "rbac.authorization.k8s.io"
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]
    name = {"name": "reads"}
    kt.make({"apiVersion": f"{rbac}/v1", "kind": "ClusterRole", "metadata": name, "rules": rules})
    kt.make(
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": name,
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", **name},
            "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "default"}],
        }
    )
    assert call(kt, "GET", MAPS, token=token).code == 200
    assert call(kt, "DELETE", ONE, token=token).code == 403


def test_the_token_of_an_account_that_is_gone_goes_too(kt: Cluster, token: str) -> None:
    assert token
    kt.controllers.held.add("namespaces")  # which would make the account anew
    call(kt, "DELETE", "/api/v1/namespaces/default/serviceaccounts/default")
    kt.settle()
    assert call(kt, "GET", READER).code == 404
