"""The links of a mesh: whose token, which secrets, and when there is nothing to write."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from istio_mc.domain.istio import documents
from istio_mc.domain.links.remote_secrets import RemoteSecret, remote_secrets_in
from istio_mc.domain.links.state import (
    ReaderToken,
    link_step,
    read_with_files,
    read_with_secrets,
    remote_secrets,
    required_by,
    token_in,
)
from tests.support.self_signed import self_signed
from tests.support.world import CLUSTERS, encoded

if TYPE_CHECKING:
    from collections.abc import Callable

LABELS = {"istio/multiCluster": "true"}
CAS = {context: self_signed(context).certificate for context in CLUSTERS}
TOKENS = {context: ReaderToken(f"token-of-{context}", CAS[context]) for context in CLUSTERS}


def token_secret(name: str, token: str | None, created: str = "2026-01-01T00:00:00Z") -> dict[str, Any]:
    secret = documents.reader_token_secret()
    secret["metadata"] |= {"name": name, "creationTimestamp": created}
    return secret | ({"data": {"token": encoded(token), "ca.crt": encoded("ca")}} if token else {})


def edited(secret: dict[str, Any], edit: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    ((cluster_id, text),) = secret["data"].items()
    kubeconfig = yaml.safe_load(base64.b64decode(text))
    edit(kubeconfig)
    return secret | {"data": {cluster_id: encoded(yaml.safe_dump(kubeconfig))}}


def present(*secrets: dict[str, Any]) -> tuple[RemoteSecret, ...]:
    return remote_secrets_in(secrets)


class TestTokenIn:
    def test_the_readers_token_and_its_ca(self) -> None:
        assert token_in([token_secret("a", "t")]) == ReaderToken("t", b"ca")

    def test_none_where_there_is_none(self) -> None:
        assert token_in([]) is None

    def test_one_that_kubernetes_has_not_filled_yet_does_not_count(self) -> None:
        assert token_in([token_secret("a", None)]) is None

    def test_one_of_another_account_does_not_count(self) -> None:
        other = token_secret("a", "t")
        other["metadata"]["annotations"] = {"kubernetes.io/service-account.name": "default"}
        assert token_in([other]) is None

    def test_one_of_another_type_does_not_count(self) -> None:
        assert token_in([token_secret("a", "t") | {"type": "Opaque"}]) is None

    def test_the_newest_counts(self) -> None:
        secrets = [token_secret("a", "old"), token_secret("b", "new", created="2026-02-01T00:00:00Z")]
        assert [token_in(order).token for order in (secrets, secrets[::-1])] == ["new", "new"]  # type: ignore[union-attr]

    def test_is_in_no_repr(self) -> None:
        assert "secret-token" not in repr(token_in([token_secret("a", "secret-token")]))


class TestRemoteSecrets:
    def test_one_of_every_other_cluster(self) -> None:
        made = required_by(CLUSTERS["kt"], remote_secrets(CLUSTERS, TOKENS))
        assert [secret["metadata"]["name"] for secret in made] == [
            "istio-remote-secret-ncloud-nks",
            "istio-remote-secret-nhn-nks",
        ]

    def test_each_with_the_token_and_ca_of_its_own_cluster(self) -> None:
        made = required_by(CLUSTERS["kt"], remote_secrets(CLUSTERS, TOKENS))[1]
        kubeconfig = yaml.safe_load(base64.b64decode(made["data"]["nhn-nks"]))
        assert kubeconfig["users"][0]["user"]["token"] == TOKENS["nhn"].token
        ca = kubeconfig["clusters"][0]["cluster"]["certificate-authority-data"]
        assert base64.b64decode(ca) == CAS["nhn"]

    def test_a_cluster_whose_token_is_unknown_is_left_out(self) -> None:
        tokens = {name: token for name, token in TOKENS.items() if name != "nhn"}
        assert len(required_by(CLUSTERS["kt"], remote_secrets(CLUSTERS, tokens))) == 1


class TestLinkStep:
    DESIRED = required_by(CLUSTERS["kt"], remote_secrets(CLUSTERS, TOKENS))

    def test_nothing_to_do(self) -> None:
        assert link_step(self.DESIRED, present(*self.DESIRED)) is None

    def test_a_kubeconfig_that_is_only_written_otherwise_is_the_same(self) -> None:
        (text,) = self.DESIRED[0]["data"].values()
        other = {"ncloud-nks": encoded("# by hand\n" + base64.b64decode(text).decode())}
        assert link_step(self.DESIRED, present(self.DESIRED[0] | {"data": other}, self.DESIRED[1])) is None

    def test_only_what_is_missing_is_written(self) -> None:
        step = link_step(self.DESIRED, present(self.DESIRED[0]))
        assert step is not None
        assert step.documents == (self.DESIRED[1],)
        assert step.reasons == ("Secret istio-system/istio-remote-secret-nhn-nks is missing",)

    def test_a_replaced_token_is_neither_written_nor_printed(self) -> None:
        stale = required_by(
            CLUSTERS["kt"], remote_secrets(CLUSTERS, TOKENS | {"nhn": ReaderToken("stale", CAS["nhn"])})
        )
        step = link_step(self.DESIRED, present(*stale))
        assert step is not None
        assert step.reasons == ("Secret istio-system/istio-remote-secret-nhn-nks has another kubeconfig",)
        assert "token-of" not in repr(step)

    def test_a_secret_that_lost_its_label_is_written(self) -> None:
        bare = self.DESIRED[0] | {"metadata": {**self.DESIRED[0]["metadata"], "labels": {}}}
        step = link_step(self.DESIRED, present(bare, self.DESIRED[1]))
        assert step is not None
        assert step.documents == (self.DESIRED[0],)

    def test_a_secret_that_holds_rubbish_is_written(self) -> None:
        spoilt = self.DESIRED[0] | {"data": {"ncloud-nks": encoded("]")}}
        assert link_step(self.DESIRED, present(spoilt, self.DESIRED[1])) is not None

    @pytest.mark.parametrize(
        "user",
        [
            {"client-certificate-data": "YQ==", "client-key-data": "YQ=="},
            {"auth-provider": {"name": "oidc"}},
            {"username": "me", "password": "p"},
            {"token": "another", "as": "someone"},
        ],
    )
    def test_what_istiod_accepts_and_link_would_not_write_stays(self, user: dict[str, Any]) -> None:
        other = edited(self.DESIRED[0], lambda found: found["users"][0].update(user=user))
        assert link_step(self.DESIRED, present(other, self.DESIRED[1])) is None

    def test_a_server_that_is_not_verified_stays(self) -> None:
        def insecure(found: dict[str, Any]) -> None:
            entry = found["clusters"][0]["cluster"]
            del entry["certificate-authority-data"]
            entry["insecure-skip-tls-verify"] = True

        assert link_step(self.DESIRED, present(edited(self.DESIRED[0], insecure), self.DESIRED[1])) is None

    def test_a_ca_in_wrapped_base64_is_the_same(self) -> None:
        def wrap(found: dict[str, Any]) -> None:
            entry = found["clusters"][0]["cluster"]
            text = entry["certificate-authority-data"]
            entry["certificate-authority-data"] = f"{text[:4]}\n{text[4:]}\n"

        assert link_step(self.DESIRED, present(edited(self.DESIRED[0], wrap), self.DESIRED[1])) is None

    def test_one_secret_for_all_clusters_stays(self) -> None:
        data = self.DESIRED[0]["data"] | self.DESIRED[1]["data"]
        both = self.DESIRED[0] | {"metadata": {"name": "all", "labels": LABELS}, "data": data}
        assert link_step(self.DESIRED, present(both)) is None

    def test_what_istiod_refuses_is_written_with_its_reason(self) -> None:
        other = edited(self.DESIRED[0], lambda found: found["users"][0].update(user={"tokenFile": "/t"}))
        step = link_step(self.DESIRED, present(other, self.DESIRED[1]))
        assert step is not None
        (reason,) = step.reasons
        assert "istio-remote-secret-ncloud-nks is refused by istiod: istiod rejects tokenFile" in reason

    def test_a_refused_one_beside_one_that_istiod_accepts_is_left(self) -> None:
        refused = edited(self.DESIRED[0], lambda found: found.pop("current-context"))
        accepted = self.DESIRED[0] | {"metadata": {"name": "other", "labels": LABELS}}
        assert link_step(self.DESIRED, present(refused, accepted, self.DESIRED[1])) is None


class TestKubeconfigFiles:
    KT = replace(CLUSTERS["kt"], kubeconfig_folder="/files")

    def test_an_istiod_that_reads_files_requires_no_remote_secret(self) -> None:
        assert required_by(self.KT, remote_secrets(CLUSTERS, TOKENS)) == []

    def test_who_is_read_by_which(self) -> None:
        names, mixed = [*CLUSTERS], {**CLUSTERS, "kt": self.KT}
        assert (read_with_secrets(CLUSTERS), read_with_files(CLUSTERS)) == (names, [])
        assert read_with_secrets(mixed) == names
        assert read_with_files(mixed) == [name for name in names if name != "kt"]

    def test_a_cluster_that_only_files_read_needs_no_token(self) -> None:
        assert read_with_secrets({"kt": self.KT, "nhn": CLUSTERS["nhn"]}) == ["kt"]
