"""Remote secrets as an istiod takes them, and which of them do not belong."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from istio_mc.domain import documents
from istio_mc.domain.mesh import ApiServer
from istio_mc.domain.remote_secrets import Access, RemoteSecret, remote_secrets_in, to_prune

SERVER = ApiServer("https://198.51.100.7:6443", tls_server_name="kt")


def secret(cluster_id: str = "kt-k2p", name: str | None = None, **user: object) -> dict[str, Any]:
    kubeconfig = documents.remote_kubeconfig(cluster_id, SERVER, "token", b"ca")
    if user:
        kubeconfig["users"][0]["user"] = user
    found = documents.remote_secret(cluster_id, kubeconfig)
    if name:
        found["metadata"]["name"] = name
    return found


def read(*secrets: dict[str, Any]) -> tuple[RemoteSecret, ...]:
    return remote_secrets_in(secrets)


class TestReading:
    def test_what_link_writes_is_read_back(self) -> None:
        (found,) = read(secret())
        assert found.access == Access(SERVER.server, "token", b"ca", "kt")
        assert (found.secret, found.cluster_id, found.fault) == ("istio-remote-secret-kt-k2p", "kt-k2p", "")

    def test_a_secret_without_the_label_is_none(self) -> None:
        plain = secret()
        plain["metadata"]["labels"] = {}
        assert read(plain) == ()

    def test_no_token_is_shown(self) -> None:
        assert "token" not in repr(read(secret())).replace("token_", "")

    @pytest.mark.parametrize(
        ("user", "fault"),
        [
            ({"exec": {"command": "aws"}}, "exec"),
            ({"tokenFile": "/t", "token": "t"}, "tokenFile"),
            ({"username": "u"}, "no token"),
            ({"token": "SECRET\n"}, "its token contains a control character, such as a line break"),
        ],
    )
    def test_what_istiod_refuses(self, user: dict[str, Any], fault: str) -> None:
        (found,) = read(secret(**user))
        assert fault in found.fault
        assert found.access is None

    def test_what_is_no_kubeconfig(self) -> None:
        broken = secret()
        broken["data"]["kt-k2p"] = base64.b64encode(b"\x00").decode()
        assert read(broken)[0].fault == "the value is not a kubeconfig in YAML"


class TestAddresses:
    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
    def test_a_loopback_address_means_the_reader_itself(self, host: str) -> None:
        assert Access(f"https://{host}:6443", "t", None).is_loopback

    @pytest.mark.parametrize(("host", "private"), [("10.1.2.3", True), ("8.8.8.8", False), ("a.b", False)])
    def test_a_private_address_is_told(self, host: str, private: bool) -> None:  # noqa: FBT001
        assert Access(f"https://{host}:6443", "t", None).is_private is private


class TestPruning:
    def test_what_is_as_it_shall_be_stays(self) -> None:
        assert to_prune(read(secret()), ["kt-k2p"], []) == []

    def test_a_stranger_goes(self) -> None:
        assert to_prune(read(secret("gone"), secret()), ["kt-k2p"], []) == ["istio-remote-secret-gone"]

    def test_a_cluster_of_which_nothing_is_known_stays(self) -> None:
        assert to_prune(read(secret("other")), ["kt-k2p"], ["other"]) == []

    def test_a_misnamed_one_goes(self) -> None:
        assert to_prune(read(secret(name="kt")), ["kt-k2p"], []) == ["kt"]

    def test_of_two_that_claim_one_cluster_both_go_so_that_istiod_takes_the_one_written_anew(self) -> None:
        both = read(secret(), secret(name="kt"))
        assert sorted(to_prune(both, ["kt-k2p"], [])) == ["istio-remote-secret-kt-k2p", "kt"]

    def test_a_secret_with_a_key_that_stays_is_not_removed(self) -> None:
        two = secret()
        two["data"]["gone"] = two["data"]["kt-k2p"]
        assert to_prune(read(two), ["kt-k2p"], []) == []
