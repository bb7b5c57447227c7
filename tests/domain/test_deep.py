"""The pods that call across clusters: what is made, what they run, and what their answers tell."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from istio_mc.domain.mesh import Mesh
from istio_mc.domain.traffic import probe_pod
from istio_mc.domain.traffic.probe_pod import Reply
from tests.support.world import MESH

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NOW = datetime.now(UTC)
IDS = ["kt-k2p", "ncloud-nks", "nhn-nks"]


def made(number: int = 1, mesh: Mesh = MESH) -> dict[str, dict[str, Any]]:
    documents = probe_pod.documents("ab12cd", mesh, IDS, number, image="curl:1", lives_s=120)
    return {f"{one['kind']} {one['metadata']['name']}": one for one in documents}


class TestDocuments:
    def test_each_cluster_gets_a_service_for_every_cluster_and_a_pod_of_its_own(self) -> None:
        assert list(made()) == [
            "ServiceAccount probe",
            "Service probe-0",
            "Service probe-1",
            "Service probe-2",
            "Pod probe",
        ]

    def test_the_pod_stands_behind_the_service_of_its_own_cluster_alone(self) -> None:
        labels = made()["Pod probe"]["metadata"]["labels"]
        behind = [
            number
            for number in range(3)
            if made()[f"Service probe-{number}"]["spec"]["selector"].items() <= labels.items()
        ]
        assert behind == [1]

    def test_gateways_know_the_services_whatever_the_meshs_default_is(self) -> None:
        annotations = made()["Service probe-0"]["metadata"]["annotations"]
        assert annotations == {"networking.istio.io/exportTo": "*"}

    def test_all_of_it_is_of_one_namespace_and_labelled_as_this_tools(self) -> None:
        for document in made().values():
            assert document["metadata"]["namespace"] == "istio-mc-probe-ab12cd"
            assert document["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "istio-mc"

    def test_the_container_meets_the_restricted_standard(self) -> None:
        (container,) = made()["Pod probe"]["spec"]["containers"]
        context = container["securityContext"]
        assert (context["runAsNonRoot"], context["allowPrivilegeEscalation"]) == (True, False)
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}

    def test_a_pod_that_is_not_removed_ends_by_itself(self) -> None:
        spec = made()["Pod probe"]["spec"]
        assert (spec["activeDeadlineSeconds"], spec["restartPolicy"]) == (120, "Never")

    def test_the_sidecar_of_a_revision_is_requested(self) -> None:
        mesh = Mesh(mesh_id="mesh1", version="1.26.0", revision="canary")
        labels = probe_pod.namespace("ab12cd", mesh, "me/1", NOW)["metadata"]["labels"]
        assert labels["istio.io/rev"] == "canary"
        assert "istio-injection" not in labels


class TestLeftBehind:
    @staticmethod
    def left(until: datetime, labels: dict[str, str] | None = None, *, ended: bool = False) -> bool:
        found = probe_pod.namespace("ab12cd", MESH, "me/1", until)
        found["metadata"]["labels"] |= labels or {}
        return probe_pod.is_left_behind(found, NOW, lambda holder: ended and holder == "me/1")

    def test_a_run_that_goes_on_keeps_its_namespace(self) -> None:
        assert not self.left(NOW + timedelta(minutes=5))

    def test_a_run_that_is_known_to_be_killed_does_not(self) -> None:
        assert self.left(NOW + timedelta(minutes=5), ended=True)

    def test_nor_does_one_whose_time_is_over(self) -> None:
        assert self.left(NOW - timedelta(seconds=1))

    def test_a_namespace_of_others_is_never_swept(self) -> None:
        assert not self.left(NOW - timedelta(days=1), {"app.kubernetes.io/managed-by": "somebody"})

    def test_one_of_ours_that_names_no_end_is_swept(self) -> None:
        found = probe_pod.namespace("ab12cd", MESH, "me/1", NOW)
        del found["metadata"]["annotations"]
        assert probe_pod.is_left_behind(found, NOW, lambda _: False)


class TestCalls:
    """The command, run by a real shell with a curl that answers as it is told."""

    @pytest.fixture
    def shell(self, tmp_path: Path) -> Any:  # noqa: ANN401 - a function
        def run(numbers: Sequence[int], curl: str | None) -> dict[int, Reply]:
            if curl is not None:
                (tmp_path / "curl").write_text(f"#!/bin/sh\nfor url; do :; done\n{curl}\n")
                (tmp_path / "curl").chmod(0o755)
            path = (
                f"{tmp_path}{os.pathsep}/nowhere" if curl is None else f"{tmp_path}{os.pathsep}/bin:/usr/bin"
            )
            done = subprocess.run(
                probe_pod.command("ab12cd", numbers),
                capture_output=True,
                text=True,
                timeout=10,
                env={"PATH": path},
                check=False,
            )
            return dict(probe_pod.replies(done.stdout, numbers, done.stderr))

        return run

    def test_each_cluster_is_called_by_its_own_name(self, shell: Any) -> None:  # noqa: ANN401 - as above
        found = shell([0, 2], 'printf "%s 200 0" "$url"')
        assert found == {
            number: Reply(200, f"http://probe-{number}.istio-mc-probe-ab12cd:8080/") for number in (0, 2)
        }

    def test_an_answer_of_several_lines_is_one_answer(self, shell: Any) -> None:  # noqa: ANN401 - as above
        found = shell([1], 'printf "upstream connect error\\r\\nreset 503 0"')
        assert found == {1: Reply(503, "upstream connect error  reset")}

    def test_a_missing_response_is_reported_as_such(self, shell: Any) -> None:  # noqa: ANN401 - as above
        assert str(shell([1], 'printf " 000 28"')[1]) == "no response within 8 s"

    def test_an_image_without_curl_is_reported(self, shell: Any) -> None:  # noqa: ANN401 - as above
        assert "not found" in str(shell([1], None)[1])


class TestReplies:
    def test_the_clusters_own_id_shows_that_it_was_reached(self) -> None:
        assert Reply(200, "kt-k2p").is_from("kt-k2p")

    def test_another_clusters_does_not(self) -> None:
        assert not Reply(200, "nhn-nks").is_from("kt-k2p")

    def test_a_sidecar_that_refuses_by_policy_was_reached(self) -> None:
        assert Reply(403, "RBAC: access denied").is_from("kt-k2p")

    @pytest.mark.parametrize("reply", [Reply(503, "upstream connect error"), Reply(403, "no"), Reply(0)])
    def test_anything_else_does_not_show_it(self, reply: Reply) -> None:
        assert not reply.is_from("kt-k2p")
