"""Secrets as commands, headers and programs write them: `curl -u me:…`, `IDENTIFIED BY '…'`, `&sig=…`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from istio_mc.domain.redaction import commands
from istio_mc.domain.redaction.context import PASSWORD
from istio_mc.domain.redaction.names import may_be_secret, promises_secret
from istio_mc.domain.redaction.spans import BLANKS, Span

if TYPE_CHECKING:
    from collections.abc import Iterator

USER_FLAGS = frozenset({"u", "user", "proxy-user", "creds", "src-creds", "dest-creds"})
"""Flags, without their dashes, that are followed by a user's name and password."""

HEADERS = frozenset({"authorization", "cookie", "proxy-authorization", "set-cookie"})
"""Headers, in small letters, that hold a secret whatever stands in them."""

_SAID = (
    r"(?i)(?:(?<=\\[nrt])|(?<![a-z0-9]))(?:password|passphrase|passcode|passwd|pin)"
    r"(?:[ ](?:for|of)[ ][^\s:=]{1,64})?"
)
_VERB = r"(?:[ ](?:is|was)(?:[ ]now)?:?[ ]|'s[ ]|[ ](?:set|changed|reset)[ ]to:?[ ]|[ ]-[ ])"
# `base64-encoded` is a word with a number in it, and no password.
_NO_FORMAT = r"(?!(?i:base[0-9]|sha-?[0-9]|md5|utf-?[0-9]|aes|rsa|pbkdf|pkcs|x509)[\w-]*)"
_WITH_A_NUMBER = r"(?=[^\s0-9]*[0-9])(?=[^\sa-z]*[a-z])"

_PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        (
            r"""(?<![\w-])(?:-u|--user|--proxy-user|--(?:src-|dest-)?creds)(?:[ \t=]++|\\*+["']\s*+,\s*+)"""
            r"""\\*+["']?[\w.@-]++:(?P<value>(?![0-9]++(?![\w]))[^\s"'\\]{2,}+)"""
        ),
        r"""\b(?:mysql|mysqldump|mysqladmin|mariadb)[ \t][^\n|;]{0,200}?[ \t]-p(?P<value>[^\s"']++)""",
        r"""--from-literal(?:=|[ \t]++|\\*+["']\s*+,\s*+)\\*+["']?[\w.-]++=(?P<value>[^\s"'\\]++)""",
        r"""\becho[ \t]++(?:-n[ \t]++)?["']?(?P<value>[^\s"'|]++)["']?[ ]*+\|[^|\n]{0,99}--password-stdin""",
        r"""\bsmbclient\b[^\n|;]{0,200}?-U[ \t]*+["']?[\w.\\-]++%(?P<value>[^\s"']++)""",
        r"""\b(?:requirepass|masterauth)[ \t]++["']?(?P<value>[^\s"']++)""",
        r"""(?m)^[\w.*-]++:(?:5432|6432|\*):[\w.*-]++:[\w.*-]++:(?P<value>\S++)$""",
        # Told in a sentence: in quotes, or by a word with a number in it, or after a verb by a number.
        rf"""{_SAID}{_VERB}(?P<at>["'`])(?P<value>\S+?)(?P=at)""",
        rf"""{_SAID}(?:{_VERB}|[ ]){_NO_FORMAT}{_WITH_A_NUMBER}(?P<value>[^\s"'`,.:;()/=\\]{{6,}}+)""",
        rf"""{_SAID}{_VERB}{_NO_FORMAT}{_WITH_A_NUMBER}(?P<value>[^\s"'`/\\]{{5,}}[^\s"'`/\\.,:;()])""",
        rf"""{_SAID}{_VERB}(?P<value>[0-9]{{4,}}+)(?![\w.:-]*\w)""",
        (
            rf"""(?:비밀[ ]?번호|비번|패스워드)(?:[은는이가를을][ ]|[ ]?\(|[ ]){_NO_FORMAT}(?!https?://)"""
            r"""(?=[!-~]*[0-9])(?=[!-~]*[A-Za-z])(?P<value>[!-\[\]-~]{5,}[^\s"'`.,:;()\\가-힣])"""
        ),
        rf"""\[\s*+["'](?i:{"|".join(sorted(HEADERS))})["']\s*+,\s*+["'](?P<value>[^"']++)["']\s*+\]""",
        # The data source name of Go's MySQL driver.
        r"""(?<![\w.-])[\w.-]++:(?P<value>[^\s@:/"']{3,}+)@(?:tcp|unix)\(""",
        # Schemes beside Basic and Bearer.
        (
            r"""(?i)\bauthorization\\*+["']?[ \t]*+[:=][ \t]*+\\*+["']?"""
            r"""(?:api-?key|digest|key|negotiate|token)[ \t]++(?P<value>[^\s"'\\]++)"""
        ),
        # One without a scheme, as Oracle's: user/password@host.
        (
            r"""(?i)(?<![a-z0-9])dsn\\*+["']?[ \t]*+[:=][ \t]*+\\*+["']?[\w.%+-]++[:/]"""
            r"""(?P<value>[^\s@/"'\\]{2,}+)@(?=[\w\[(])"""
        ),
        r"""\bmachine[ \t]++\S++[ \t]++login[ \t]++\S++[ \t]++password[ \t]++(?P<value>\S++)""",
        r"""(?i)\b(?:identified[ ]by|password)[ ]++'(?P<value>[^'\n]++)'""",
        (
            r"""(?i)[?&](?:sig|signature|x-(?:amz|goog)-(?:signature|credential|security-token))="""
            r"""(?P<value>[^\s"'&\#]++)"""
        ),
        r"""(?:비밀[ ]?번호|비번|패스워드|암호)[ \t]*+[:=][ \t]*+["']?(?P<value>[^\s"']++)""",
        # PuTTY's keys.
        (
            rf"""\bPrivate-Lines:[ ][0-9]+{BLANKS}"""
            rf"""(?P<value>(?:[A-Za-z0-9+/=]++{BLANKS}(?!Private-MAC))*[A-Za-z0-9+/=]++)"""
        ),
        # openssl's -text: the numbers of a private key; a fingerprint has no such word before it.
        (
            rf"""\b(?:priv(?:ateExponent)?|prime[12]|exponent[12]|coefficient):{BLANKS}"""
            rf"""(?P<value>[0-9a-f]{{2}}(?::{BLANKS}[0-9a-f]{{2}}){{7,}}+)"""
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
    for place in commands.spans(text):
        yield Span(*place, PASSWORD)
    for match in _HEADER.finditer(text):
        if promises_secret(match["name"]) and may_be_secret(match["name"], match["value"]):
            yield Span(*match.span("value"), PASSWORD)
