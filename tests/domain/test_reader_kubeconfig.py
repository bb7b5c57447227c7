"""The kubeconfig by which a remote secret is tried from here: only what is data in it."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from istio_mc.domain.links.remote_secrets import Access, reader_kubeconfig, remote_secrets_in

if TYPE_CHECKING:
    from collections.abc import Mapping

PROGRAM = {
    "apiVersion": "client.authentication.k8s.io/v1",
    "command": "/bin/true",
    "interactiveMode": "Never",
}
NOT_DATA: dict[str, dict[str, object]] = {
    "exec": {"exec": PROGRAM},
    "auth-provider": {"auth-provider": {"name": "oidc"}},
    "tokenFile": {"tokenFile": "/etc/shadow"},
    "client-key": {"client-key": "/k", "client-certificate": "/c"},
}


def user_of(user: Mapping[str, object]) -> dict[str, Any]:
    found: dict[str, Any] = dict(reader_kubeconfig("kt", Access("https://kt:6443", json.dumps(user))))
    entry: dict[str, Any] = found["users"][0]["user"]
    return entry


@pytest.mark.parametrize("kind", NOT_DATA)
def test_a_program_or_a_file_is_never_in_it(kind: str) -> None:
    assert user_of({**NOT_DATA[kind], "token": "t"}) == {"token": "t"}


def test_credentials_that_are_data_are() -> None:
    data = {"token": "t", "client-certificate-data": "Yw==", "client-key-data": "aw==", "username": "u"}
    assert user_of(data) == data


def secret(user: dict[str, object], server: str = "https://kt:6443") -> dict[str, Any]:
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "kt", "cluster": {"server": server}}],
        "users": [{"name": "kt", "user": user}, {"name": "unused", "user": {"token": "t"}}],
        "contexts": [{"name": "kt", "context": {"cluster": "kt", "user": "kt"}}],
        "current-context": "kt",
    }
    return {
        "metadata": {"name": "remote", "labels": {"istio/multiCluster": "true"}},
        "data": {"kt": base64.b64encode(yaml.safe_dump(kubeconfig).encode()).decode()},
    }


@pytest.mark.parametrize("server", ["https://kt:6443", "http://kt:6443"])
@pytest.mark.parametrize("allowed", [(), ("exec",)], ids=["refused", "accepted"])
def test_a_remote_secret_with_a_credential_plugin_is_recognized_even_if_istiod_accepts_it(
    server: str, allowed: tuple[str, ...]
) -> None:
    (found,) = remote_secrets_in([secret({"exec": PROGRAM}, server)], allowed)
    assert found.names_programs


@pytest.mark.parametrize("user", [{"token": "t"}, {"tokenFile": "/t"}, {}], ids=str)
def test_one_without_a_program_is_not(user: dict[str, object]) -> None:
    (found,) = remote_secrets_in([secret(user)])
    assert not found.names_programs


def test_what_is_no_kubeconfig_names_none() -> None:
    broken = secret({})
    broken["data"]["kt"] = base64.b64encode(b"exec: [").decode()
    (found,) = remote_secrets_in([broken])
    assert not found.names_programs
