"""Rights by one request for all rules, and by one request each: both ways say the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from istio_mc.domain.kube.rights import Right
from istio_mc.gateways.kube.client import Kube
from istio_mc.gateways.kube.errors import KubeError
from istio_mc.gateways.kube.rights import allowed, not_granted_everywhere
from tests.support.fake_api import Reply, status
from tests.support.mesh import remembering_mesh

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.cluster import Cluster
    from tests.support.fake_api import FakeApi

RULES = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
ACCESS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
LIST_PODS = Right("list", "pods", "", "")
WATCH_NODES = Right("watch", "nodes", "", "")
RBAC = "rbac.authorization.k8s.io"
HERE = "default"
WHO = {"kind": "ServiceAccount", "name": "reader", "namespace": HERE}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster with a service account and its token."""
    with remembering_mesh("kt") as mesh:
        mesh["kt"].controllers.held.add("tokens")
        mesh["kt"].tokens = {"token-of-reader": (HERE, "reader")}
        yield mesh["kt"]


def as_reader(cluster: Cluster) -> Kube:
    document: Any = cluster.mesh.kubeconfig_document()
    document["users"][0]["user"] = {"token": "token-of-reader"}
    return Kube("kt", document)


def some(*words: str) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(words), min_size=1, max_size=3, unique=True)


rules = st.fixed_dictionaries(
    {
        "verbs": some("list", "watch", "create", "*"),
        "apiGroups": some("", "apps", "*"),
        "resources": some("pods", "nodes", "deployments", "pods/portforward", "*/portforward", "*"),
    },
    optional={"resourceNames": some("istiod", "reviews")},
)
rights = st.builds(
    Right,
    st.sampled_from(["list", "watch", "create", "*"]),
    st.sampled_from(["pods", "nodes", "deployments", "*"]),
    st.sampled_from(["", "apps", "*"]),
    st.sampled_from(["", HERE, "kube-system"]),
    st.sampled_from(["", "portforward", "exec"]),
)


def roles(everywhere: list[Any], here: list[Any]) -> Iterator[Any]:
    """Cluster roles that are bound in all namespaces, and roles that are bound in one."""
    for kind, found in (("ClusterRole", everywhere), ("Role", here)):
        for number, rule in enumerate(found):
            metadata = {"name": f"r{number}"} | ({"namespace": HERE} if kind == "Role" else {})
            head = {"apiVersion": f"{RBAC}/v1", "metadata": metadata}
            yield {**head, "kind": kind, "rules": [rule]}
            reference = {"apiGroup": RBAC, "kind": kind, "name": f"r{number}"}
            yield {**head, "kind": f"{kind}Binding", "roleRef": reference, "subjects": [WHO]}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(rules, max_size=3), st.lists(rules, max_size=2), st.lists(rights, min_size=1, max_size=6))
def test_what_rules_grant_is_what_reviews_allow(
    cluster: Cluster, everywhere: list[Any], here: list[Any], desired: list[Right]
) -> None:
    made = list(roles(everywhere, here))
    for item in made:
        cluster.make(item)
    kube = as_reader(cluster)
    try:
        open_ones = not_granted_everywhere(kube, desired)
        by_one_request = {right for right in desired if right not in open_ones}
        one_by_one = {right for right in desired if allowed(kube, right)}
    finally:
        kube.close()
        for item in made:
            cluster.delete(item)
    assert by_one_request <= one_by_one
    # What is left open is what a role of one namespace grants, and what nothing does.
    assert one_by_one - by_one_request <= {right for right in desired if right.namespace == HERE}
    assert by_one_request | {right for right in open_ones if right in one_by_one} == one_by_one


def test_rules_that_are_incomplete_leave_every_right_open(api: FakeApi) -> None:
    """As where an authorizer is a webhook: what other rules grant may be denied by it."""
    everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
    api.on(RULES, {"status": {"resourceRules": [everything], "incomplete": True}})
    assert not_granted_everywhere(Kube("kt", api.kubeconfig()), [LIST_PODS]) == [LIST_PODS]


@pytest.mark.parametrize("code", [400, 403, 404, 405, 422])
def test_an_api_server_that_lists_no_rules_leaves_every_right_open(api: FakeApi, code: int) -> None:
    api.on(RULES, status(code, "no"))
    assert not_granted_everywhere(Kube("kt", api.kubeconfig()), [LIST_PODS]) == [LIST_PODS]


@pytest.mark.parametrize("code", [401, 429, 500, 503])
def test_an_api_server_that_fails_gets_no_further_request(api: FakeApi, code: int) -> None:
    api.on(RULES, status(code, "no"))
    with pytest.raises(KubeError):
        not_granted_everywhere(Kube("kt", api.kubeconfig()), [LIST_PODS])


def test_whether_rules_are_listed_is_sent_once_more_where_the_connection_breaks(api: FakeApi) -> None:
    found = {"verbs": ["list"], "apiGroups": [""], "resources": ["pods"]}
    api.on(RULES, Reply(reset=True), Reply(body={"status": {"resourceRules": [found]}}, status=201))
    rights = [LIST_PODS, WATCH_NODES]
    assert not_granted_everywhere(Kube("kt", api.kubeconfig()), rights) == [WATCH_NODES]
