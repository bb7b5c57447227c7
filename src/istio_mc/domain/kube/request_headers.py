"""The headers that carry a user's credentials and impersonation to an API server. Pure.

As client-go 0.32.3 sends them (transport/round_trippers.go, tools/clientcmd/client_config.go).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit, urlunsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

Header = tuple[str, str]
"""Name and value."""

# Go's httpguts.ValidHeaderFieldValue allows no control character but the tab; a surrogate has no UTF-8.
_UNSENDABLE = re.compile("[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
# What a token (RFC 9110, 5.6.2) may have beside letters and digits; all but the percent sign, which escapes.
_KEY_MARKS = "!#$&'*+-.^_`|~"


class UnsendableError(ValueError):
    """Values that no header can carry: the message names their fields, and contains no value."""


def is_sendable(text: str) -> bool:
    """Whether a text can be the value of a header: no control character but the tab, and all of it UTF-8."""
    return not _UNSENDABLE.search(text)


def request_headers(user: Mapping[str, object], token: str, server: str) -> tuple[Header, ...]:
    """The headers of every request to an API server.

    As with kubectl, only an https server gets the user's credentials; user and password in the server's URL
    are sent to any, and come first.

    Raises:
        UnsendableError: Values that no header can carry.
    """
    fields = [*_authorization(user, token, server), *_impersonation(user)]
    if faults := list(dict.fromkeys(field for field, _, value in fields if not is_sendable(value))):
        raise UnsendableError(f"{', '.join(faults)}: contains a control character, such as a line break")
    return tuple((name, value.strip(" \t")) for _, name, value in fields)


def without_credentials(url: str) -> str:
    """A server's URL without user and password."""
    try:
        parts = urlsplit(url)
        return (
            urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if "@" in parts.netloc else url
        )
    except ValueError:
        return url.rpartition("@")[2]


def _authorization(user: Mapping[str, object], token: str, server: str) -> Iterator[tuple[str, str, str]]:
    try:
        parts = urlsplit(server)
    except ValueError:
        return  # the server cannot be used, and whoever opens a connection to it reports that
    name, password = str(user.get("username") or ""), str(user.get("password") or "")
    if parts.username is not None:
        yield _basic("server", unquote(parts.username), unquote(parts.password or ""))
    elif parts.scheme.lower() != "https":
        return
    elif token:
        yield "token", "Authorization", f"Bearer {token}"
    elif name:
        yield _basic("username, password", name, password)


def _basic(field: str, name: str, password: str) -> tuple[str, str, str]:
    pair = f"{name}:{password}"
    # base64 carries every character, but a surrogate has no bytes: it is left in, and so found.
    value = pair if _SURROGATE.search(pair) else base64.b64encode(pair.encode()).decode()
    return field, "Authorization", f"Basic {value}"


def _impersonation(user: Mapping[str, object]) -> Iterator[tuple[str, str, str]]:
    if not user.get("as"):
        return
    yield "as", "Impersonate-User", str(user["as"])
    if user.get("as-uid"):
        yield "as-uid", "Impersonate-Uid", str(user["as-uid"])
    groups, extra = user.get("as-groups"), user.get("as-user-extra")
    for group in groups if isinstance(groups, list) else ():
        yield "as-groups", "Impersonate-Group", str(group)
    for key, values in extra.items() if isinstance(extra, Mapping) else ():
        for value in values if isinstance(values, list) else ():
            yield (
                "as-user-extra",
                f"Impersonate-Extra-{quote(str(key), _KEY_MARKS, errors='replace')}",
                str(value),
            )
