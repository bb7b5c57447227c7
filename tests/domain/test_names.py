"""Cluster ids, networks, Secret names: valid, stable, never two for one."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istio_mc.domain import naming
from istio_mc.domain.kube.kubeconfig import Context

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
ALMOST = st.text(alphabet="aA1-_./:@é한", min_size=0, max_size=70)
ANY_NAME = st.one_of(ALMOST, st.text(max_size=120))
IDS = st.text(alphabet="a1-", max_size=8).map(lambda text: text.strip("-") or "a")


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("kt-k2p", "kt-k2p"),
        ("a--b", "a--b"),
        ("0", "0"),
        ("nks_kr_MyCluster_0f3a-77", "nks-kr-mycluster-0f3a-77"),
        ("arn:aws:eks:ap-northeast-2:123:cluster/Prod", "arn-aws-eks-ap-northeast-2-123-cluster-prod"),
        ("admin@kubernetes.local", "admin-kubernetes-local"),
        ("--x--", "x"),
        ("Café", "cafe"),
        ("서울-seoul", "seoul"),
        ("서울", "cluster-ca6c4193"),
        ("", "cluster-e3b0c442"),
    ],
)
def test_a_cluster_name_becomes_a_label(name: str, made: str) -> None:
    assert naming.cluster_id(name) == made


def test_an_over_long_name_is_cut_and_ends_in_a_hash_of_the_whole() -> None:
    one, two = naming.cluster_id("x" * 63 + "1"), naming.cluster_id("x" * 63 + "2")
    assert len(one) == len(two) == 63
    assert one != two
    assert re.fullmatch(r"x{54}-[0-9a-f]{8}", one)
    assert naming.cluster_id("x" * 63) == "x" * 63


@given(ANY_NAME)
def test_every_name_maps_to_a_valid_id_always_the_same(name: str) -> None:
    made = naming.cluster_id(name)
    assert LABEL.fullmatch(made)
    assert naming.validate_cluster_id(made) is None
    assert naming.cluster_id(name) == made
    assert naming.cluster_id(made) == made
    assert len(naming.remote_secret_name(made)) <= 253


@given(st.from_regex(LABEL, fullmatch=True))
def test_a_name_that_is_valid_stays_as_it_is(name: str) -> None:
    assert naming.cluster_id(name) == name


def test_the_secret_is_named_as_istioctl_names_it() -> None:
    assert naming.remote_secret_name("kt-k2p") == "istio-remote-secret-kt-k2p"


def test_names_that_map_to_the_same_id_are_distinguished_by_a_hash() -> None:
    ids = naming.derive_cluster_ids({"one": "a_b", "two": "a.b"}, {})
    assert set(ids) == {"one", "two"}
    assert all(re.fullmatch(r"a-b-[0-9a-f]{8}", made) for made in ids.values())
    assert ids["one"] != ids["two"]


def test_the_valid_one_of_colliding_names_stays_unchanged() -> None:
    ids = naming.derive_cluster_ids({"one": "a_b", "two": "a-b"}, {})
    assert ids["two"] == "a-b"
    assert ids["one"].startswith("a-b-")


def test_a_hash_that_is_taken_too_is_made_longer() -> None:
    first = naming.derive_cluster_ids({"one": "a_b"}, {"other": "a-b"})["one"]
    second = naming.derive_cluster_ids({"one": "a_b"}, {"other": "a-b", "more": first})["one"]
    assert len(second) == len(first) + 1
    third = naming.derive_cluster_ids({"one": "a_b", "two": "a-b", "three": first}, {})
    assert third["three"] == first
    assert len(set(third.values())) == 3


def test_an_assigned_id_is_kept_and_not_assigned_again() -> None:
    ids = naming.derive_cluster_ids({"kt": "a", "nhn": "b_c"}, {"nhn": "a", "gone": "x"})
    assert ids["nhn"] == "a"
    assert re.fullmatch(r"a-[0-9a-f]{8}", ids["kt"])
    assert naming.derive_cluster_ids({"kt": "x"}, {"gone": "x"})["kt"] != "x"


def test_contexts_of_one_cluster_name_share_its_id() -> None:
    assert naming.derive_cluster_ids({"a": "k", "b": "k"}, {}) == {"a": "k", "b": "k"}


clusters = st.dictionaries(st.sampled_from("uvwxyz"), ANY_NAME, max_size=6)
close_clusters = st.dictionaries(
    st.sampled_from("uvwxyz"), st.text(alphabet="aA-_.", min_size=1, max_size=3), max_size=6
)


@given(st.one_of(clusters, close_clusters), st.dictionaries(st.sampled_from("uvwxyzpq"), IDS, max_size=5))
def test_ids_are_valid_unique_sticky_and_do_not_depend_on_order(
    found: dict[str, str], taken: dict[str, str]
) -> None:
    ids = naming.derive_cluster_ids(found, taken)
    assert list(ids) == list(found)
    assert all(LABEL.fullmatch(made) for made in ids.values())
    new = [context for context in found if context not in taken]
    for context in found:
        if context in taken:
            assert ids[context] == taken[context]
    for context in new:
        assert ids[context] not in taken.values()
        for other in new:
            assert (ids[context] == ids[other]) == (found[context] == found[other])
    backwards = naming.derive_cluster_ids(dict(reversed(found.items())), dict(reversed(taken.items())))
    assert backwards == ids


@given(st.one_of(clusters, close_clusters), st.data())
def test_ids_stay_when_clusters_are_added_once_they_are_taken(
    found: dict[str, str], data: st.DataObject
) -> None:
    few = (
        {key: found[key] for key in data.draw(st.sets(st.sampled_from(sorted(found)))) if found}
        if found
        else {}
    )
    before = naming.derive_cluster_ids(few, {})
    after = naming.derive_cluster_ids(found, before)
    assert {key: after[key] for key in before} == before
    assert naming.derive_cluster_ids(found, after) == after


@pytest.mark.parametrize("good", ["a", "0", "a-b", "x" * 63])
def test_labels_are_accepted_as_ids(good: str) -> None:
    assert naming.validate_cluster_id(good) is None


@pytest.mark.parametrize("bad", ["", "A", "a_b", "a.b", "-a", "a-", "x" * 64, "a\n", "한"])
def test_an_id_that_kubernetes_would_reject_is_an_error_with_an_example(bad: str) -> None:
    problem = naming.validate_cluster_id(bad)
    assert problem is not None
    assert problem.code == "cluster-id-invalid"
    assert str(problem.hint) == f"For example {naming.cluster_id(bad)}"


@pytest.mark.parametrize("good", ["network1", "Net_1.a", "x" * 63])
def test_label_values_are_accepted_as_networks(good: str) -> None:
    assert naming.validate_network(good) is None


@pytest.mark.parametrize("bad", ["", "a b", "-a", "a.", "x" * 64, "a,b", "a\n", "한"])
def test_an_invalid_label_value_is_rejected_as_a_network(bad: str) -> None:
    problem = naming.validate_network(bad)
    assert problem is not None
    assert problem.code == "network-invalid"


def test_the_next_network_is_the_lowest_unused_one() -> None:
    assert naming.next_network([]) == "network1"
    assert naming.next_network(["network1", "network3", "other"]) == "network2"


def test_a_cluster_keeps_its_network_whatever_order_it_is_named_in() -> None:
    alone = naming.assign_networks(["nhn"], {}, [])
    assert alone == {"nhn": "network1"}
    assert naming.assign_networks(["kt", "nhn"], alone, []) == {"kt": "network2", "nhn": "network1"}


def test_a_network_named_after_an_id_is_an_unused_label() -> None:
    long = "n" * 63
    given_out = naming.assign_networks(
        ["kt", "nhn", "long"], {}, ["network-nhn"], by_id={"kt": "kt-k2p", "nhn": "nhn", "long": long}
    )
    assert given_out["kt"] == "network-kt-k2p"
    assert given_out["nhn"].startswith("network-nhn-")
    assert all(naming.is_label_value(network) for network in given_out.values())
    assert len(set(given_out.values())) == 3


@given(
    st.lists(st.sampled_from("abcdef"), unique=True),
    st.dictionaries(st.sampled_from("abcdxy"), st.sampled_from(["network1", "network2", "mine"])),
    st.sets(st.sampled_from(["network1", "network3"])),
)
def test_networks_are_sticky_and_new_ones_unused(
    contexts: list[str], taken: dict[str, str], used: set[str]
) -> None:
    given_out = naming.assign_networks(contexts, taken, used)
    assert list(given_out) == contexts
    new = [given_out[context] for context in contexts if context not in taken]
    assert len(set(new)) == len(new)
    assert not set(new) & (used | set(taken.values()))
    assert all(given_out[context] == taken[context] for context in contexts if context in taken)


KT = Context(
    name="kt",
    cluster="kt-k",
    user="me",
    namespace=None,
    server="https://kt:6443",
    files=("/f",),
    problems=(),
    cluster_entry={"server": "https://kt:6443", "certificate-authority-data": "Yw=="},
    user_entry={},
)


def test_two_contexts_of_one_cluster_are_found() -> None:
    by_name = replace(KT, name="admin", user="admin")
    by_content = replace(
        KT,
        name="copy",
        cluster="copy-k",
        server="https://KT:6443/",
        cluster_entry={**KT.cluster_entry, "extensions": []},
    )
    other = replace(
        KT, name="nhn", cluster="nhn-k", server="https://nhn", cluster_entry={"server": "https://nhn"}
    )
    (problem,) = naming.same_clusters([KT, other, by_name, by_content])
    assert problem.message == "contexts kt, admin, copy are the same cluster"
    assert str(problem.hint) == "Leave out admin, copy"
    assert naming.same_clusters([KT, other]) == ()


def test_clusters_behind_one_address_with_different_server_names_are_not_the_same() -> None:
    one = replace(KT, cluster="a", cluster_entry={**KT.cluster_entry, "tls-server-name": "a"})
    two = replace(KT, cluster="b", cluster_entry={**KT.cluster_entry, "tls-server-name": "b"})
    assert naming.same_clusters([one, two]) == ()


def test_clusters_of_which_nothing_is_known_are_not_the_same() -> None:
    one = replace(KT, cluster="a", server=None, cluster_entry={})
    assert naming.same_clusters([one, replace(one, cluster="b")]) == ()
