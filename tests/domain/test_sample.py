"""The sample: its documents, and how its answers are counted."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istio_mc.domain.mesh import Mesh
from istio_mc.domain.traffic import sample
from istio_mc.domain.traffic.sample import Calls, count

MESH = Mesh(mesh_id="mesh1", version="1.26.0")


def answer(version: str, status: int = 200) -> str:
    body = json.dumps({"id": "1", "podname": f"reviews-{version}-6b8f-x2x9z", "reviews": []})
    return f"{body}\n{status}\n"


def documents(mesh: Mesh = MESH, version: str = "v1", image: str | None = None) -> dict[str, dict[str, Any]]:
    made = sample.documents(mesh, version, client_image=image)
    return {f"{item['kind']} {item['metadata']['name']}": item for item in made}


def image(document: dict[str, Any]) -> str:
    return str(document["spec"]["template"]["spec"]["containers"][0]["image"])


class TestCount:
    def test_answers_are_counted_by_version(self) -> None:
        assert count(answer("v1") + answer("v2") + answer("v1")) == Calls({"v1": 2, "v2": 1}, {})

    def test_versions_of_many_digits_are_distinguished(self) -> None:
        assert count(answer("v1") + answer("v12")).answered == {"v1": 1, "v12": 1}

    def test_other_statuses_are_failures(self) -> None:
        found = count(answer("v1") + "no healthy upstream\n503\n" + "\n000\n")
        assert found == Calls({"v1": 1}, {"503": 1, "000": 1})

    def test_an_error_from_a_pod_that_names_itself_is_no_answer(self) -> None:
        assert count(answer("v1", 500)) == Calls({}, {"500": 1})

    @pytest.mark.parametrize(
        "body", ["", "<html>", "[]", "{}", '{"podname": "other-v1-x"}', '{"podname": "reviews-v1"}', "null"]
    )
    def test_200_from_another_server_is_no_answer(self, body: str) -> None:
        assert count(f"{body}\n200\n") == Calls({}, {"200": 1})

    def test_bodies_of_several_lines_are_read_whole(self) -> None:
        body = json.dumps({"podname": "reviews-v3-x"}, indent=2)
        assert count(f"{body}\n200\n").answered == {"v3": 1}

    def test_total_is_all_calls(self) -> None:
        assert count(answer("v1") + "x\n503\n").total == 2

    def test_nothing_at_all(self) -> None:
        assert count("") == Calls({}, {})

    @given(st.lists(st.sampled_from(["v1", "v2", "v3", "503"]), max_size=90))
    def test_every_call_is_counted_once(self, came: list[str]) -> None:
        output = "".join("down\n503\n" if one == "503" else answer(one) for one in came)
        assert count(output).total == len(came)

    def test_as_many_calls_as_requested_in_one_process(self) -> None:
        assert sample.command(60)[-1] == "http://reviews:9080/reviews/1?call=[1-60]"


class TestGivingUp:
    """With v1 and v2 there are, 20 calls are enough for each to have answered once."""

    VERSIONS = ("v1", "v2")

    @pytest.mark.parametrize(
        ("calls", "hopeless"),
        [
            (Calls({"v1": 19}, {}), False),
            (Calls({"v1": 180}, {}), False),
            (Calls({"v1": 180}, {"503": 40}), False),
            (Calls({"v1": 17}, {"000": 2}), False),
            (Calls({"v1": 16}, {"000": 3}), False),
            (Calls({"v1": 17}, {"000": 3}), True),
            (Calls({"v1": 9, "v2": 9}, {"000": 19}), False),
            (Calls({"v1": 9, "v2": 9}, {"000": 20}), True),
            (Calls({}, {"000": 20}), True),
        ],
    )
    def test_it_takes_silence_and_enough_calls(self, calls: Calls, *, hopeless: bool) -> None:
        assert calls.is_conclusive(self.VERSIONS) is hopeless

    def test_after_a_few_calls_into_silence_the_next_are_not_waited_for_so_long(self) -> None:
        assert [Calls({"v1": 9}, {"000": times}).each_s for times in (0, 2, 3)] == [5, 5, 1]

    def test_one_answer_is_enough_of_few_calls(self) -> None:
        cut_short = Calls({"v1": 19, "v2": 1}, {"000": 20}, given_up=True)
        assert [cut_short.too_few(version, 3) for version in ("v1", "v2", "v3")] == [False, False, True]

    def test_half_a_fair_share_of_all_calls_is_required(self) -> None:
        whole = Calls({"v1": 155, "v2": 25}, {})
        assert [whole.too_few(version, 3) for version in ("v1", "v2")] == [False, True]
        assert Calls({"v1": 150, "v2": 30}, {}).too_few("v2", 3) is False

    def test_what_came_of_calls_is_added_up(self) -> None:
        one, other = Calls({"v1": 1}, {"503": 2}), Calls({"v1": 1, "v2": 1}, {"000": 1}, given_up=True)
        assert one + other == Calls({"v1": 2, "v2": 1}, {"503": 2, "000": 1}, given_up=True)

    def test_one_process_ends_at_the_first_call_into_silence(self) -> None:
        assert "--fail-early" in sample.command(60)

    @pytest.mark.parametrize(
        ("address", "url"),
        [
            ("203.0.113.7", "https://203.0.113.7:15443/"),
            ("gw.example.com", "https://gw.example.com:15443/"),
            ("2001:db8::7", "https://[2001:db8::7]:15443/"),
        ],
    )
    def test_a_gateway_is_knocked_at_on_the_port_calls_between_clusters_take(
        self, address: str, url: str
    ) -> None:
        assert sample.hello_command(address)[-1] == url


class TestLeastShare:
    @pytest.mark.parametrize(("versions", "least"), [(1, 0.5), (2, 0.25), (3, 1 / 6)])
    def test_is_half_of_the_fair_part(self, versions: int, least: float) -> None:
        assert sample.least_share(versions) == pytest.approx(least)


class TestDocuments:
    def test_service_is_the_same_everywhere(self) -> None:
        assert documents(version="v1")["Service reviews"] == documents(version="v3")["Service reviews"]

    def test_service_selects_every_version(self) -> None:
        assert documents()["Service reviews"]["spec"]["selector"] == {"app": "reviews"}

    @pytest.mark.parametrize(
        ("version", "like"), [("v1", "v1"), ("v3", "v3"), ("v4", "v1"), ("v5", "v2"), ("v6", "v3")]
    )
    def test_beyond_three_the_images_come_round_again(self, version: str, like: str) -> None:
        made = documents(version=version)[f"Deployment reviews-{version}"]
        assert image(made) == f"docker.io/istio/examples-bookinfo-reviews-{like}:1.20.3"
        assert made["spec"]["selector"]["matchLabels"] == {"app": "reviews", "version": version}

    def test_every_cluster_has_a_client(self) -> None:
        assert "Deployment sleep" in documents(version="v2")

    def test_another_image_for_the_client(self) -> None:
        assert (
            image(documents(image="registry.example/curl:1")["Deployment sleep"]) == "registry.example/curl:1"
        )

    def test_sidecars_are_injected_by_the_default_control_plane(self) -> None:
        assert documents()["Namespace sample"]["metadata"]["labels"]["istio-injection"] == "enabled"

    def test_sidecars_are_injected_by_the_revision(self) -> None:
        labels = documents(replace(MESH, revision="1-26-0"))["Namespace sample"]["metadata"]["labels"]
        assert labels["istio.io/rev"] == "1-26-0"
        assert "istio-injection" not in labels

    def test_everything_has_an_owner_label(self) -> None:
        owners = {d["metadata"]["labels"]["app.kubernetes.io/managed-by"] for d in documents().values()}
        assert owners == {"istio-mc"}

    def test_versions_are_counted_from_one(self) -> None:
        assert [sample.version_of(index) for index in range(3)] == ["v1", "v2", "v3"]


class TestIsInjected:
    def test_a_sidecar(self) -> None:
        assert sample.is_injected({"spec": {"containers": [{"name": "sleep"}, {"name": "istio-proxy"}]}})

    def test_a_native_sidecar(self) -> None:
        pod = {"spec": {"containers": [{"name": "sleep"}], "initContainers": [{"name": "istio-proxy"}]}}
        assert sample.is_injected(pod)

    def test_none(self) -> None:
        assert not sample.is_injected({"spec": {"containers": [{"name": "sleep"}]}})
