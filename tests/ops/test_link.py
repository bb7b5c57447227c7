"""Linking: whose token, which secrets, and when there is nothing to do."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from istio_mc.domain import documents, objects
from istio_mc.domain.events import Event, State
from istio_mc.domain.problem import ProblemError
from istio_mc.ops.inputs import Inputs
from istio_mc.ops.link import ReaderToken, link_step, mint, others_than, planned, remote_secrets, token_in
from istio_mc.ops.session import Session, open_named
from tests.fake_api import FakeApi, write_kubeconfig
from tests.world import CLUSTERS, encoded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKENS = {context: ReaderToken(f"token-of-{context}", b"ca-of-" + context.encode()) for context in CLUSTERS}


def token_secret(name: str, token: str | None, created: str = "2026-01-01T00:00:00Z") -> dict[str, Any]:
    secret = documents.reader_token_secret()
    secret["metadata"] |= {"name": name, "creationTimestamp": created}
    return secret | ({"data": {"token": encoded(token), "ca.crt": encoded("ca")}} if token else {})


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
        made = others_than("kt", remote_secrets(CLUSTERS, TOKENS))
        assert [secret["metadata"]["name"] for secret in made] == [
            "istio-remote-secret-ncloud-nks",
            "istio-remote-secret-nhn-nks",
        ]

    def test_each_with_the_token_and_ca_of_its_own_cluster(self) -> None:
        made = others_than("kt", remote_secrets(CLUSTERS, TOKENS))[1]
        kubeconfig = documents.opened_remote_secret(made)["data"]["nhn-nks"]
        assert kubeconfig["users"][0]["user"]["token"] == TOKENS["nhn"].token
        ca = kubeconfig["clusters"][0]["cluster"]["certificate-authority-data"]
        assert base64.b64decode(ca) == b"ca-of-nhn"

    def test_a_cluster_whose_token_is_unknown_is_left_out(self) -> None:
        tokens = {name: token for name, token in TOKENS.items() if name != "nhn"}
        assert len(others_than("kt", remote_secrets(CLUSTERS, tokens))) == 1


class TestLinkStep:
    WANTED = others_than("kt", remote_secrets(CLUSTERS, TOKENS))

    def test_nothing_to_do(self) -> None:
        assert link_step(self.WANTED, self.WANTED) is None

    def test_a_kubeconfig_that_is_only_written_otherwise_is_the_same(self) -> None:
        (text,) = self.WANTED[0]["data"].values()
        other = {"ncloud-nks": encoded("# by hand\n" + base64.b64decode(text).decode())}
        assert link_step(self.WANTED, [self.WANTED[0] | {"data": other}, self.WANTED[1]]) is None

    def test_only_what_is_missing_is_written(self) -> None:
        step = link_step(self.WANTED, self.WANTED[:1])
        assert step is not None
        assert step.documents == (self.WANTED[1],)
        assert step.reasons == ("Secret istio-system/istio-remote-secret-nhn-nks is missing",)

    def test_a_token_that_was_replaced_is_written_and_told_nowhere(self) -> None:
        stale = others_than(
            "kt", remote_secrets(CLUSTERS, TOKENS | {"nhn": ReaderToken("stale", b"ca-of-nhn")})
        )
        step = link_step(self.WANTED, stale)
        assert step is not None
        assert step.reasons == (
            "Secret istio-system/istio-remote-secret-nhn-nks holds another kubeconfig or other labels",
        )
        assert "token-of" not in repr(step)

    def test_a_secret_that_lost_its_label_is_written(self) -> None:
        bare = self.WANTED[0] | {"metadata": {**self.WANTED[0]["metadata"], "labels": {}}}
        step = link_step(self.WANTED, [bare, self.WANTED[1]])
        assert step is not None
        assert step.documents == (self.WANTED[0],)

    def test_a_secret_that_holds_rubbish_is_written(self) -> None:
        spoilt = self.WANTED[0] | {"data": {"ncloud-nks": encoded("]")}}
        assert link_step(self.WANTED, [spoilt, self.WANTED[1]]) is not None


class TestMint:
    @pytest.fixture
    def session(self, api: FakeApi, tmp_path: Path) -> Iterator[Session]:
        api.on(objects.SECRET.path("istio-system"), {})
        config = write_kubeconfig(tmp_path / "c", {"kt": api.url})
        with open_named(Inputs(str(config), ("kt",), timeout_s=0.5), self.seen.append) as found:
            yield found

    seen: ClassVar[list[Event]] = []

    def test_a_token_is_waited_for_until_the_runs_deadline(self, session: Session, api: FakeApi) -> None:
        wanted = documents.reader_token_secret()
        name = wanted["metadata"]["name"]
        api.on(objects.SECRET.path("istio-system", name), wanted)
        with pytest.raises(ProblemError) as error:
            mint(session, "kt")
        seen = error.value.problems[0].seen
        assert seen in [f"Secret {name} without a token after {seconds} s" for seconds in (0, 1)]
        assert Event("kt", "link", State.WAITING, f"for a token in Secret istio-system/{name}") in self.seen


class TestPlanned:
    @pytest.mark.parametrize("filled", [True, False])
    def test_says_what_a_link_would_write_without_minting_a_token(self, *, filled: bool) -> None:
        secrets = {name: [token_secret("a", "t" if filled else None)] for name in CLUSTERS}
        steps = planned(CLUSTERS, secrets)
        assert [len(step.documents) if step else 0 for step in steps.values()] == [2, 2, 2]
