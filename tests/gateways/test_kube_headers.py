"""Requests, execs and port-forwards are all made as the same user, and what cannot be sent is one Problem."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any

import pytest

from istio_mc.gateways.kube.client import Kube
from istio_mc.gateways.kube.errors import KubeError
from tests.support.self_signed import self_signed, server_context
from tests.support.stream_server import StreamServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CALLS: dict[str, Callable[[Kube], object]] = {
    "request": lambda kube: kube.request("GET", "/version"),
    "write": lambda kube: kube.request("POST", "/api/v1/namespaces", body={"kind": "Namespace"}),
    "exec": lambda kube: kube.execute("sample", "sleep-1", "sleep", ["true"], timeout_s=5.0),
    "port-forward": lambda kube: kube.forward("istio-system", "istiod-1", 15014, lambda _: None),
}

OTHER = {"token": "beside"}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return self_signed("127.0.0.1").write(tmp_path_factory.mktemp("tls") / "server.pem")


@pytest.fixture
def server(certificate: Path) -> Iterator[StreamServer]:
    with StreamServer(server_context(certificate)).serve() as made:
        yield made


@pytest.fixture
def kube(server: StreamServer, certificate: Path) -> Iterator[Callable[..., Kube]]:
    made: list[Kube] = []

    def make(**user: object) -> Kube:
        cluster = {"server": server.url, "certificate-authority": str(certificate)}
        made.append(Kube("kt", kubeconfig(cluster, user), connect_timeout_s=2.0, read_timeout_s=2.0))
        return made[-1]

    yield make
    for one in made:
        one.close()


def kubeconfig(cluster: dict[str, Any], user: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "kt", "cluster": cluster}],
        "users": [{"name": "me", "user": user}],
        "contexts": [{"name": "kt", "context": {"cluster": "kt", "user": "me"}}],
        "current-context": "kt",
    }


def sent(server: StreamServer, *prefixes: str) -> list[tuple[str, str]]:
    """The headers of the last request with such names, as UTF-8."""
    found = server.requests[-1].headers
    return [(name, value.encode("latin-1").decode()) for name, value in found if name.startswith(prefixes)]


@pytest.mark.parametrize("call", CALLS)
class TestEveryCall:
    def test_carries_credentials_and_impersonation(
        self, server: StreamServer, kube: Callable[..., Kube], call: str
    ) -> None:
        user = {
            "token": "tökén운",
            "as": "운영",
            "as-groups": ["g1", "g2"],
            "as-user-extra": {"reason/why": ["a", "b"]},
        }
        CALLS[call](kube(**user))
        assert sent(server, "authorization", "impersonate") == [
            ("authorization", "Bearer tökén운"),
            ("impersonate-user", "운영"),
            ("impersonate-group", "g1"),
            ("impersonate-group", "g2"),
            ("impersonate-extra-reason%2fwhy", "a"),
            ("impersonate-extra-reason%2fwhy", "b"),
        ]

    def test_names_this_program(self, server: StreamServer, kube: Callable[..., Kube], call: str) -> None:
        CALLS[call](kube())
        ((_, agent),) = sent(server, "user-agent")
        assert agent.startswith("istio-mc/")

    @pytest.mark.parametrize(
        ("user", "field"),
        [
            ({"token": "SECRET\n"}, "token"),
            ({"token": "SEC\r\nX-Injected: SECRET"}, "token"),
            ({"token": "abc", "as": "SECRET\n"}, "as"),
            ({"token": "abc", "as": "boss", "as-uid": "SECRET\n"}, "as-uid"),
            ({"token": "abc", "as": "boss", "as-groups": ["SECRET\n"]}, "as-groups"),
            ({"token": "abc", "as": "boss", "as-user-extra": {"k": ["SECRET\n"]}}, "as-user-extra"),
            ({"username": "jane", "password": "SECRET\ud800"}, "username, password"),
        ],
        ids=["token", "injection", "as", "as-uid", "as-groups", "as-user-extra", "password"],
    )
    def test_that_cannot_be_made_is_a_problem_without_the_value(
        self,
        server: StreamServer,
        kube: Callable[..., Kube],
        call: str,
        user: dict[str, Any],
        field: str,
    ) -> None:
        with pytest.raises(KubeError) as error:
            CALLS[call](kube(**user))
        (problem,) = error.value.problems
        assert (problem.code, problem.cluster) == ("kubeconfig-unusable", "kt")
        assert problem.message == (
            f"the kubeconfig entry of kt cannot be used: {field}: contains a control character, "
            "such as a line break"
        )
        text = "".join(traceback.format_exception(error.value)) + repr(problem)
        assert "SECRET" not in text
        assert server.requests == []

    @pytest.mark.parametrize("key", ["server", "tls-server-name"])
    def test_to_a_name_that_cannot_be_sent_is_a_problem(
        self, server: StreamServer, call: str, key: str
    ) -> None:
        cluster = {"server": server.url} | {key: f"{server.url}\n"}
        with pytest.raises(KubeError, match=f"cannot be used: {key}: contains a control character"):
            CALLS[call](Kube("kt", kubeconfig(cluster, {"token": "abc"})))

    @pytest.mark.parametrize("name", [".local", "a..b", f"{'x' * 64}.kt"])
    def test_to_a_name_that_is_none_is_a_problem(self, server: StreamServer, call: str, name: str) -> None:
        cluster = {"server": server.url, "tls-server-name": name}
        with pytest.raises(KubeError, match="cannot be used: tls-server-name: is not a host name"):
            CALLS[call](Kube("kt", kubeconfig(cluster, {"token": "abc"})))

    def test_to_an_address_that_is_none_does_not_show_its_password(self, call: str) -> None:
        cluster = {"server": "https://me:SECRET@[::1"}
        with pytest.raises(KubeError, match="cannot be used: server: is not a URL") as error:
            CALLS[call](Kube("kt", kubeconfig(cluster, {"token": "abc"})))
        assert "SECRET" not in "".join(traceback.format_exception(error.value))


class TestTokenFile:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        return tmp_path / "token"

    @pytest.mark.parametrize("content", ["abc\n", "\n abc \r\n\t", "abc\u00a0\u2028", "abc"])
    def test_space_around_the_token_is_left_out(
        self, server: StreamServer, kube: Callable[..., Kube], file: Path, content: str
    ) -> None:
        file.write_text(content)
        CALLS["request"](kube(tokenFile=str(file)))
        assert sent(server, "authorization") == [("authorization", "Bearer abc")]

    def test_comes_before_the_token_beside_it(
        self, server: StreamServer, kube: Callable[..., Kube], file: Path
    ) -> None:
        file.write_text("of-the-file\n")
        CALLS["request"](kube(tokenFile=str(file), **OTHER))
        assert sent(server, "authorization") == [("authorization", "Bearer of-the-file")]

    @pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe"])
    def test_that_holds_no_token_leaves_the_one_beside_it(
        self, server: StreamServer, kube: Callable[..., Kube], file: Path, content: bytes | None
    ) -> None:
        if content is not None:
            file.write_bytes(content)
        CALLS["request"](kube(tokenFile=str(file), **OTHER))
        assert sent(server, "authorization") == [("authorization", "Bearer beside")]

    @pytest.mark.parametrize(
        ("content", "fault"),
        [
            (None, "No such file or directory"),
            (b" \n", "it is empty"),
            (b"abc\xff", "it is not UTF-8"),
        ],
    )
    def test_that_holds_no_token_is_a_problem_where_there_is_no_other(
        self, kube: Callable[..., Kube], file: Path, content: bytes | None, fault: str
    ) -> None:
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(KubeError, match=f"tokenFile: cannot read a token from {file}: {fault}"):
            CALLS["request"](kube(tokenFile=str(file)))

    def test_with_a_line_break_inside_the_token_is_a_problem_without_the_value(
        self, kube: Callable[..., Kube], file: Path
    ) -> None:
        file.write_text("SEC\nRET\n")
        with pytest.raises(KubeError, match="token: contains a control character") as error:
            CALLS["request"](kube(tokenFile=str(file)))
        assert "RET" not in "".join(traceback.format_exception(error.value))


def test_user_and_password_in_the_servers_url_are_sent_and_never_shown(
    server: StreamServer, certificate: Path
) -> None:
    url = server.url.replace("https://", "https://me:SECRET@")
    cluster = {"server": url, "certificate-authority": str(certificate)}
    kube = Kube("kt", kubeconfig(cluster, {"token": "abc"}))
    CALLS["request"](kube)
    assert sent(server, "authorization") == [("authorization", "Basic bWU6U0VDUkVU")]
    server.answer = (200, {}, b"no JSON")
    with pytest.raises(KubeError) as error:
        CALLS["request"](kube)
    kube.close()
    assert "SECRET" not in repr(error.value.problems)
