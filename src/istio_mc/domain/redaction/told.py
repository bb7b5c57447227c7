"""Secrets as commands, headers and programs write them: `curl -u me:…`, `IDENTIFIED BY '…'`, `&sig=…`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from istio_mc.domain.redaction.context import PASSWORD
from istio_mc.domain.redaction.names import may_be_secret, promises_secret
from istio_mc.domain.redaction.spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterator

USER_FLAGS = frozenset({"u", "user", "proxy-user"})
"""Flags, without their dashes, that are followed by a user's name and password."""

_BREAK = r"(?:\s|\\++[nrt])*+"
_PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        (
            r"""(?<![\w-])(?:-u|--user|--proxy-user)(?:[ \t=]++|\\*+["']\s*+,\s*+)\\*+["']?[\w.@-]++:"""
            r"""(?P<value>(?![0-9]++(?![\w]))[^\s"'\\]{2,}+)"""
        ),
        r"""\bsshpass[ \t]++-p[ \t]*+(?P<value>[^\s"']++)""",
        r"""\b(?:mysql|mysqldump|mysqladmin|mariadb)[ \t][^\n|;]{0,200}?[ \t]-p(?P<value>[^\s"']++)""",
        # The data source name of Go's MySQL driver.
        r"""[\w.-]++:(?P<value>[^\s@:/"']{3,}+)@(?:tcp|unix)\(""",
        r"""\bmachine[ \t]++\S++[ \t]++login[ \t]++\S++[ \t]++password[ \t]++(?P<value>\S++)""",
        r"""(?i)\b(?:identified[ ]by|password)[ ]++'(?P<value>[^'\n]++)'""",
        (
            r"""(?i)[?&](?:sig|signature|x-(?:amz|goog)-(?:signature|credential|security-token))="""
            r"""(?P<value>[^\s"'&\#]++)"""
        ),
        r"""(?:비밀번호|암호)[ \t]*+[:=][ \t]*+(?P<value>[^\s"']++)""",
        # openssl's -text: the numbers of a private key; a fingerprint has no such word before it.
        (
            rf"""\b(?:priv(?:ateExponent)?|prime[12]|exponent[12]|coefficient):{_BREAK}"""
            rf"""(?P<value>[0-9a-f]{{2}}(?::{_BREAK}[0-9a-f]{{2}}){{7,}}+)"""
        ),
    )
)
# Headers as Envoy's debug log has them, a line each, and as Python's clients have them.
_HEADER = re.compile(r"""(?m)(?:^|\()[ \t]*+'(?P<name>[\w-]++)', '(?P<value>[^'\n]++)'""")


def spans(text: str) -> Iterator[Span]:
    """Every secret of these kinds."""
    for pattern in _PATTERNS:
        for match in pattern.finditer(text):
            if may_be_secret("", match["value"]):
                yield Span(*match.span("value"), PASSWORD)
    for match in _HEADER.finditer(text):
        if promises_secret(match["name"]) and may_be_secret(match["name"], match["value"]):
            yield Span(*match.span("value"), PASSWORD)
