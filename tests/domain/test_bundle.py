"""What goes into a bundle is bounded, in order, and the same bytes each time."""

from __future__ import annotations

import base64
import gzip
import io
import tarfile
from datetime import UTC, datetime

import pytest
import yaml

from istio_mc.domain import bundle
from istio_mc.domain.bundle import (
    File,
    cut_at_end,
    dumped,
    ended,
    fitting,
    listed,
    omitted,
    packed,
    space_of_each,
)
from istio_mc.domain.redaction.redactor import of_kubeconfig, of_secrets
from tests.support.fake_api import kubeconfig

MADE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class TestFiles:
    def test_a_long_log_loses_its_beginning_at_a_line(self) -> None:
        kept = ended("a.log", "first\nsecond\nthird\n", most=8)

        assert kept.text == "[cut here: 11 bytes more]\nthird\n"
        assert kept.note

    def test_a_long_dump_loses_its_end(self) -> None:
        kept = cut_at_end("a.json", "0123456789", most=4)

        assert kept.text == "0123\n[cut here: 6 bytes more]\n"
        assert kept.note

    def test_what_fits_stays_as_it_is(self) -> None:
        assert cut_at_end("a", "0123", most=4) == ended("a", "0123", most=4) == File("a", "0123")

    def test_korean_letters_are_not_cut_through(self) -> None:
        assert cut_at_end("a", "가나다", most=4).text.startswith("가\n")

    def test_objects_are_yaml_documents_whole_ones_only(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(bundle, "MOST_OF_A_FILE", 60)
        items = [{"kind": "Pod", "metadata": {"name": f"pod-{number}"}} for number in range(4)]

        file = listed("pods.yaml", items)

        assert list(yaml.safe_load_all(file.text)) == items[:1]
        assert file.note == "1 of 4 objects: the file would be too long"

    def test_a_text_of_several_lines_is_written_as_lines(self) -> None:
        assert dumped({"mesh": "a: 1\nb: 2\n"}) == "mesh: |\n  a: 1\n  b: 2\n"

    def test_a_large_file_leaves_its_place_to_smaller_ones(self) -> None:
        files = [File("a", "12"), File("b", "12345"), File("c", "123")]

        kept, without = fitting(files, 5)

        assert [file.path for file in kept] == ["a", "c"]
        assert [omitted(file).why.code for file in without] == ["bundle-full"]

    @pytest.mark.parametrize("clusters", [1, 3, 8, 50, 500])
    def test_the_more_clusters_the_less_has_each(self, clusters: int) -> None:
        assert space_of_each(clusters) * clusters + bundle.MOST_OF_A_CLUSTER <= bundle.MOST_IN_ALL


class TestArchive:
    files = (File("b/two.txt", "zwei"), File("one.txt", "하나"))

    def unpacked(self) -> list[tarfile.TarInfo]:
        with tarfile.open(fileobj=io.BytesIO(packed("x", self.files, MADE))) as archive:
            return archive.getmembers()

    def test_the_same_files_give_the_same_bytes(self) -> None:
        assert packed("x", self.files, MADE) == packed("x", tuple(reversed(self.files)), MADE)

    def test_all_is_in_one_folder_in_the_order_of_its_paths(self) -> None:
        assert [entry.name for entry in self.unpacked()] == ["x", "x/b", "x/b/two.txt", "x/one.txt"]

    def test_has_no_user_name_and_is_readable_by_its_owner_alone(self) -> None:
        for entry in self.unpacked():
            assert (entry.uid, entry.gid, entry.uname, entry.gname) == (0, 0, "", "")
            assert entry.mode & 0o077 == 0
            assert entry.mtime == int(MADE.timestamp())

    def test_holds_what_it_was_given(self) -> None:
        with tarfile.open(fileobj=io.BytesIO(packed("x", self.files, MADE))) as archive:
            content = archive.extractfile("x/one.txt")
            assert content
            assert content.read().decode() == "하나"

    def test_the_head_of_gzip_has_no_name(self) -> None:
        assert not packed("x", self.files, MADE)[3] & 0x08  # FNAME, RFC 1952
        assert gzip.decompress(packed("x", self.files, MADE))


def secret(**data: str) -> dict[str, object]:
    return {"data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}}


class TestWhatIsKnown:
    def test_a_value_of_a_secret_is(self) -> None:
        assert of_secrets([secret(x="Sesame-open-7")]) == {"Sesame-open-7"}

    @pytest.mark.parametrize(
        "data",
        [
            {"namespace": "istio-system-7"},
            {"username": "operator7x"},
            {"url": "https://db.example:5432/x"},
            {"x": "short"},
            {"x": "istiod"},
            {"x": "12345"},
        ],
    )
    def test_names_addresses_and_words_are_not(self, data: dict[str, str]) -> None:
        assert of_secrets([secret(**data)]) - {"operator7x"} == set()

    def test_what_all_may_know_is_not(self) -> None:
        assert of_secrets([secret(x="kt-k2p-cluster-7")], {"kt-k2p-cluster-7"}) == set()

    def test_of_a_kubeconfig_its_token_is(self) -> None:
        text = "apiVersion: v1\nclusters:\n- name: kt\nusers:\n- user:\n    token: opaque-token-123\n"
        assert of_secrets([secret(kt=text)]) == {"opaque-token-123"}

    def test_of_json_its_password_is(self) -> None:
        text = '{"auths": {"registry": {"password": "Sesame-open-7"}}}'
        assert of_secrets([secret(x=text)]) == {"Sesame-open-7"}

    def test_of_the_runs_own_kubeconfig_tokens_are(self) -> None:
        document = kubeconfig({"kt": "https://kt"})
        plugin = {"exec": {"env": [{"name": "CLOUD_SECRET_KEY", "value": "Sesame-open-7"}]}}
        document["users"].append({"name": "plugin", "user": plugin})

        assert of_kubeconfig(document) == {"token-of-kt", "Sesame-open-7"}
