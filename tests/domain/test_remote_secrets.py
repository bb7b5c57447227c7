"""Remote secrets as an istiod takes them, and which of them do not belong."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from istio_mc.domain.istio import documents
from istio_mc.domain.kube.objects import ref_of
from istio_mc.domain.links.remote_secrets import (
    INSECURE_OPTIONS,
    Access,
    RemoteSecret,
    linked_ids,
    remote_secrets_in,
    remote_secrets_of,
    to_prune,
)
from istio_mc.domain.mesh import ApiServer
from istio_mc.domain.observed import Observed
from tests.support.world import CA

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

SERVER = ApiServer("https://198.51.100.7:6443", tls_server_name="kt")


def secret(cluster_id: str = "kt-k2p", name: str | None = None, **user: object) -> dict[str, Any]:
    kubeconfig = documents.remote_kubeconfig(cluster_id, SERVER, "token", CA)
    if user:
        kubeconfig["users"][0]["user"] = user
    found = documents.remote_secret(cluster_id, kubeconfig)
    if name:
        found["metadata"]["name"] = name
    return found


def read(*secrets: dict[str, Any]) -> tuple[RemoteSecret, ...]:
    return remote_secrets_in(secrets)


def written(edit: Callable[[dict[str, Any]], object], cluster_id: str = "kt-k2p") -> dict[str, Any]:
    """A remote secret whose kubeconfig is the one that `link` writes, changed."""
    kubeconfig = documents.remote_kubeconfig(cluster_id, SERVER, "token", CA)
    edit(kubeconfig)
    return documents.remote_secret(cluster_id, kubeconfig)


def of_user(user: dict[str, object]) -> dict[str, Any]:
    return written(lambda found: found["users"][0].update(user=user))


def of_cluster_entry(**entry: object) -> dict[str, Any]:
    keys = {key.replace("_", "-"): value for key, value in entry.items()}
    return written(lambda found: found["clusters"][0]["cluster"].update(keys))


def raw(text: str | bytes) -> dict[str, Any]:
    found = secret()
    found["data"]["kt-k2p"] = base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()
    return found


class TestReading:
    def test_what_link_writes_is_read_back(self) -> None:
        (found,) = read(secret())
        assert found.access == Access(SERVER.server, '{"token": "token"}', CA, "kt")
        assert (found.secret, found.cluster_id, found.fault) == ("istio-remote-secret-kt-k2p", "kt-k2p", "")
        assert found.is_of_our_form

    def test_a_secret_without_the_label_is_none(self) -> None:
        plain = secret()
        plain["metadata"]["labels"] = {}
        assert read(plain) == ()

    def test_each_key_of_a_secret_is_a_cluster(self) -> None:
        two = secret(name="all")
        two["data"] |= secret("nhn-nks")["data"]
        assert [(one.secret, one.cluster_id, one.fault) for one in read(two)] == [
            ("all", "kt-k2p", ""),
            ("all", "nhn-nks", ""),
        ]

    def test_no_credentials_are_shown(self) -> None:
        shown = repr(read(secret(), of_user({"username": "me", "password": "s3cret"})))
        assert "s3cret" not in shown
        assert "token" not in shown

    @pytest.mark.parametrize(
        "made",
        [
            of_user({"token": "t", "as": "someone", "as-groups": ["a"]}),
            of_user({"client-certificate-data": "YQ==", "client-key-data": "YQ=="}),
            of_user({"username": "me", "password": "p"}),
            of_user({"auth-provider": {"name": "oidc", "config": {"id-token": "a"}}}),
            of_user({}),
            of_cluster_entry(certificate_authority_data=None, insecure_skip_tls_verify=True),
            of_cluster_entry(certificate_authority_data=None),
            of_cluster_entry(certificate_authority_data=None, certificate_authority="/etc/ca.pem"),
            of_cluster_entry(proxy_url="http://proxy:3128"),
            of_cluster_entry(certificate_authority_data=base64.encodebytes(CA).decode()),
            of_cluster_entry(server="http://kt"),
            written(lambda found: found.update({"current-context": "kt-k2p", "extra": 1})),
        ],
    )
    def test_what_istiod_accepts_is_no_fault(self, made: dict[str, Any]) -> None:
        assert [one.fault for one in read(made)] == [""]

    @pytest.mark.parametrize(
        ("made", "fault"),
        [
            (raw(""), "it is empty"),
            (raw("# nothing"), "it is empty"),
            (raw("a: b: c"), "it is not a kubeconfig in YAML: mapping values are not allowed"),
            (raw(b"\x00"), "it is not a kubeconfig in YAML: control characters are not allowed"),
            (raw("kind: Deployment"), "it is not a kubeconfig: kind: expected Config, saw Deployment"),
            (
                of_user({"token": 1}),
                "it is not a kubeconfig: users[0].user.token: expected a string, saw a number",
            ),
            (written(lambda found: found.pop("current-context")), "it has no current-context"),
            (
                written(lambda found: found.update({"current-context": "x"})),
                "its current-context x is not defined",
            ),
            (
                written(lambda found: found["contexts"][0]["context"].pop("user")),
                "its context kt-k2p names no user",
            ),
            (
                written(lambda found: found["contexts"].append({"name": "other", "context": {"user": "x"}})),
                "its context other names the user x, which is not defined",
            ),
            (
                written(lambda found: found["contexts"][0]["context"].update(namespace="a b")),
                "its context kt-k2p names the namespace a b, which cannot be one",
            ),
            (
                written(lambda found: found["contexts"].append({"context": found["contexts"][0]["context"]})),
                "it has a context without a name",
            ),
            (
                written(lambda found: found["clusters"].append({"name": "other"})),
                "its cluster other has no server",
            ),
            (of_cluster_entry(certificate_authority="/ca"), "its cluster kt-k2p has its CA twice"),
            (
                of_cluster_entry(certificate_authority_data="YQ=="),
                "its certificate-authority-data contains no certificate that Go reads",
            ),
            (of_cluster_entry(insecure_skip_tls_verify=True), "its cluster kt-k2p has a CA and insecure"),
            (of_cluster_entry(proxy_url="proxy:3128"), "its cluster kt-k2p has a proxy-url"),
            (of_user({"token": "t", "password": "p"}), "its user kt-k2p has both a token and a password"),
            (of_user({"client-certificate-data": "YQ=="}), "has a client certificate without a key"),
            (of_user({"tokenFile": "/t"}), "istiod rejects tokenFile (user kt-k2p)"),
            (
                of_user({"token": "SECRET\n"}),
                "its token contains a control character, such as a line break",
            ),
            (
                of_user({"client-certificate": "/c", "client-key": "/k"}),
                "istiod rejects client-key (user kt-k2p)",
            ),
            (of_user({"auth-provider": {"name": "gcp"}}), "istiod rejects auth-provider gcp"),
            (
                of_user(
                    {
                        "exec": {
                            "command": "aws",
                            "apiVersion": "client.authentication.k8s.io/v1beta1",
                            "args": [],
                        }
                    }
                ),
                "istiod rejects exec (user kt-k2p)",
            ),
            (
                written(lambda found: found["users"].append({"name": "other", "user": {"tokenFile": "/t"}})),
                "istiod rejects tokenFile (user other)",
            ),
        ],
    )
    def test_a_kubeconfig_that_istiod_refuses_is_reported(self, made: dict[str, Any], fault: str) -> None:
        (found,) = read(made)
        assert fault in found.fault
        assert found.access is None

    def test_what_istiod_is_set_to_allow_is_no_fault(self) -> None:
        deployment = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "istiod", "namespace": "istio-system", "labels": {"app": "istiod"}},
            "spec": {
                "template": {
                    "spec": {"containers": [{"env": [{"name": INSECURE_OPTIONS, "value": "exec,tokenFile"}]}]}
                }
            },
        }
        made = of_user({"tokenFile": "/t"})
        found = {ref_of(item): item for item in (made, deployment)}
        (one,) = remote_secrets_of(Observed("v1.32.3", found))
        assert (one.fault, one.access and one.access.untested) == (
            "",
            "its credentials come from the pod of istiod",
        )
        del found[ref_of(deployment)]
        assert "tokenFile" in remote_secrets_of(Observed("v1.32.3", found))[0].fault

    @pytest.mark.parametrize(
        ("made", "untested"),
        [
            (secret(), ""),
            (of_user({"client-certificate-data": "YQ==", "client-key-data": "YQ=="}), ""),
            (of_user({"auth-provider": {"name": "oidc"}}), "its credentials come from OIDC"),
            (of_user({"token": "t", "auth-provider": {"name": "oidc"}}), ""),
            (
                of_cluster_entry(certificate_authority_data=None, certificate_authority="/ca"),
                "its CA is a file in the pod of istiod",
            ),
        ],
    )
    def test_what_only_istiod_can_use_is_known(self, made: dict[str, Any], untested: str) -> None:
        (found,) = read(made)
        assert found.access is not None
        assert found.access.untested == untested

    @pytest.mark.parametrize(
        ("made", "ours"),
        [
            (secret(), True),
            (of_cluster_entry(certificate_authority_data=base64.encodebytes(CA).decode()), True),
            (written(lambda found: found.update(preferences={"colors": True})), True),
            (of_cluster_entry(certificate_authority_data=None), False),
            (of_cluster_entry(proxy_url="http://proxy"), False),
            (of_user({"token": "t", "as": "x"}), False),
            (of_user({"username": "x"}), False),
        ],
    )
    def test_the_form_that_link_writes_is_known(self, made: dict[str, Any], *, ours: bool) -> None:
        assert read(made)[0].is_of_our_form is ours


class TestAddresses:
    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
    def test_a_loopback_address_means_the_reader_itself(self, host: str) -> None:
        assert Access(f"https://{host}:6443", "{}").is_loopback

    @pytest.mark.parametrize(("host", "private"), [("10.1.2.3", True), ("8.8.8.8", False), ("a.b", False)])
    def test_a_private_address_is_reported(self, host: str, private: bool) -> None:  # noqa: FBT001
        assert Access(f"https://{host}:6443", "{}").is_private is private


def pruned(*secrets: dict[str, Any], kept: Collection[str] = ()) -> list[str]:
    return [str(one) for one in to_prune(read(*secrets), ["kt-k2p"], kept)]


class TestPruning:
    def test_a_desired_secret_stays(self) -> None:
        assert pruned(secret()) == []

    def test_a_stranger_goes(self) -> None:
        assert pruned(secret("gone"), secret()) == ["istio-remote-secret-gone"]

    def test_a_cluster_of_which_nothing_is_known_stays(self) -> None:
        assert pruned(secret("other"), kept=["other"]) == []

    def test_a_misnamed_one_goes(self) -> None:
        assert pruned(secret(name="kt")) == ["kt"]

    def test_two_secrets_for_one_cluster_are_both_removed_so_that_istiod_uses_the_new_one(self) -> None:
        assert sorted(pruned(secret(), secret(name="kt"))) == ["istio-remote-secret-kt-k2p", "kt"]

    def test_of_a_secret_with_a_key_that_stays_only_the_other_key_goes(self) -> None:
        two = secret()
        two["data"]["gone"] = two["data"]["kt-k2p"]
        assert pruned(two) == ["istio-remote-secret-kt-k2p (key gone)"]

    def test_a_secret_of_several_keys_that_all_go_is_removed(self) -> None:
        two = secret(name="all")
        two["data"]["gone"] = two["data"]["kt-k2p"]
        assert pruned(two) == ["all"]


def test_the_linked_clusters_are_read_from_the_keys() -> None:
    several = secret(name="all")
    several["data"] |= {"nhn-nks": "!", "gone": ""}
    plain = secret("plain")
    plain["metadata"]["labels"] = {}
    assert linked_ids([several, plain]) == {"kt-k2p", "nhn-nks", "gone"}
