"""The headers of requests are those that kubectl 1.32.3 was seen to send for the same entries."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from istio_mc.domain.kube.request_headers import (
    UnsendableError,
    is_sendable,
    request_headers,
    without_credentials,
)

if TYPE_CHECKING:
    from collections.abc import Callable

SERVER = "https://api.kt:6443"


def headers(user: dict[str, Any], token: str = "", server: str = SERVER) -> list[tuple[str, str]]:
    return list(request_headers(user, token, server))


def basic(text: str) -> list[tuple[str, str]]:
    return [("Authorization", f"Basic {base64.b64encode(text.encode()).decode()}")]


class TestCredentials:
    def test_a_token_is_a_bearer_token(self) -> None:
        assert headers({}, "abc") == [("Authorization", "Bearer abc")]

    def test_user_and_password_are_encoded_as_utf_8_whatever_they_contain(self) -> None:
        assert headers({"username": "j\nane운", "password": "p:ß"}) == basic("j\nane운:p:ß")

    def test_a_user_needs_no_password(self) -> None:
        assert headers({"username": "jane"}) == basic("jane:")

    def test_a_password_alone_is_not_sent(self) -> None:
        assert headers({"password": "secret"}) == []

    def test_user_and_password_in_the_servers_url_come_before_the_token(self) -> None:
        assert headers({}, "abc", "https://u:p%40@api.kt:6443") == basic("u:p@")

    @pytest.mark.parametrize("server", ["http://api.kt:6443", "api.kt:6443"])
    def test_a_server_without_tls_gets_no_credentials(self, server: str) -> None:
        assert headers({"username": "jane", "as": "boss"}, "abc", server) == [("Impersonate-User", "boss")]

    def test_spaces_at_the_ends_are_not_part_of_a_header(self) -> None:
        assert headers({"as": "\tboss "}, " a\tb ") == [
            ("Authorization", "Bearer  a\tb"),
            ("Impersonate-User", "boss"),
        ]


class TestImpersonation:
    def test_user_uid_groups_and_extra_are_a_header_each(self) -> None:
        user = {
            "as": "boss",
            "as-uid": "u1",
            "as-groups": ["g1", "", "g2"],
            "as-user-extra": {"Reason_x": ["a", "b"]},
        }
        assert headers(user) == [
            ("Impersonate-User", "boss"),
            ("Impersonate-Uid", "u1"),
            ("Impersonate-Group", "g1"),
            ("Impersonate-Group", ""),
            ("Impersonate-Group", "g2"),
            ("Impersonate-Extra-Reason_x", "a"),
            ("Impersonate-Extra-Reason_x", "b"),
        ]

    def test_the_key_of_an_extra_is_escaped_byte_by_byte(self) -> None:
        ((name, value),) = headers({"as": "boss", "as-user-extra": {"exa mple.com/운%": ["c"]}})[1:]
        assert (name, value) == ("Impersonate-Extra-exa%20mple.com%2F%EC%9A%B4%25", "c")

    def test_without_a_user_nothing_is_impersonated(self) -> None:
        assert headers({"as-groups": ["g1"], "as-uid": "u1"}) == []


class TestWhatNoHeaderCarries:
    @pytest.mark.parametrize("character", ["\n", "\r", "\0", "\x0b", "\x1f", "\x7f", "\ud800"])
    @pytest.mark.parametrize(
        ("field", "user"),
        [
            ("token", lambda _: {}),
            ("as", lambda bad: {"as": f"SECRET{bad}x"}),
            ("as-uid", lambda bad: {"as": "boss", "as-uid": f"{bad}SECRET"}),
            ("as-groups", lambda bad: {"as": "boss", "as-groups": ["g1", f"SECRET{bad}"]}),
            ("as-user-extra", lambda bad: {"as": "boss", "as-user-extra": {"k": [f"SECRET{bad}"]}}),
        ],
    )
    def test_is_reported_by_its_field_and_without_its_value(
        self, character: str, field: str, user: Callable[[str], dict[str, Any]]
    ) -> None:
        with pytest.raises(UnsendableError) as error:
            headers(user(character), f"SECRET{character}" if field == "token" else "abc")
        assert str(error.value) == f"{field}: contains a control character, such as a line break"

    def test_all_fields_are_reported_together(self) -> None:
        with pytest.raises(UnsendableError, match=r"^token, as-groups: contains"):
            headers({"as": "boss", "as-groups": ["a\n", "b\n"]}, "abc\n")

    def test_a_password_that_is_no_unicode_text_is_reported(self) -> None:
        with pytest.raises(UnsendableError, match=r"^username, password: contains"):
            headers({"username": "jane", "password": "\ud800"})

    @pytest.mark.parametrize("text", ["", "a\tb", "운영 팀", "a\x85b", "é"])
    def test_everything_else_is_sent(self, text: str) -> None:
        assert is_sendable(text)


class TestServer:
    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("https://u:secret@api.kt:6443/path?q=a@b", "https://api.kt:6443/path?q=a@b"),
            ("https://u:sec@ret@api.kt", "https://api.kt"),
            ("https://u:secret@[::1", "[::1"),
            ("https://api.kt:6443/", "https://api.kt:6443/"),
            ("https://api.kt/@x", "https://api.kt/@x"),
        ],
    )
    def test_is_shown_without_user_and_password(self, url: str, shown: str) -> None:
        assert without_credentials(url) == shown
