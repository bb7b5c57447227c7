"""Passwords that programs are given as a word of their command: `mysql -pX`, `redis-cli -a X`.

Flags as in the programs' own manuals. A password under a flag that says so (`--password`) is no part of this.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from istio_mc.domain.redaction.names import may_be_secret
from istio_mc.domain.redaction.spans import BLANKS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_MYSQL = (
    *("mysql", "mysqldump", "mysqladmin", "mysqlimport", "mysqlcheck", "mysqlshow", "mysqlbinlog", "mysqlsh"),
    *("mariadb", "mariadb-dump", "mariadb-admin", "mariadb-import", "mariadb-check"),
)
_MONGO = ("mongo", "mongosh", "mongodump", "mongorestore", "mongoexport", "mongoimport")
_LDAP = ("ldapsearch", "ldapadd", "ldapmodify", "ldapdelete", "ldapwhoami", "ldappasswd")
_LOGIN = ("docker", "podman", "nerdctl", "buildah", "skopeo", "helm", "oras", "crane", "az", "oc")
_FLAGS: dict[str, str] = {
    **dict.fromkeys(_MYSQL, "-p"),
    **dict.fromkeys(_MONGO, "-p"),
    **dict.fromkeys(_LDAP, "-w"),
    **dict.fromkeys(_LOGIN, "-p"),
    **dict.fromkeys(("redis-cli", "valkey-cli"), "-a"),
    "sshpass": "-p",
    "curl": "-b",
}
_GLUED_ONLY = frozenset(_MYSQL)  # `mysql -p db`: the password is asked for, and db is a database
_MINIO = {("alias", "set"): 3, ("config", "host", "add"): 3}  # a name, a URL and a user's name before it
_POSITIONAL: dict[str, dict[tuple[str, ...], int]] = {
    "rabbitmqctl": {("add_user",): 1, ("change_password",): 1},  # a user's name before it
    "mc": _MINIO,
    "mcli": _MINIO,
    "vault": {("login",): 0},
}
_NAMES = sorted({*_FLAGS, *_POSITIONAL, "htpasswd"}, key=len, reverse=True)
_PROGRAM = re.compile(rf"(?<![\w.-])(?:{'|'.join(map(re.escape, _NAMES))})(?![\w.-])")
_NEXT = re.compile(
    rf"""(?:[ \t]++|\\*+["']{BLANKS},{BLANKS}(?=\\*+["'])|(?:\\*+["'])?+(?:\n|\\++n)[ \t]*+-[ \t]++)
    (?:(?P<quote>\\*+["'])(?P<quoted>.{{0,400}}?)(?=(?P=quote))|(?P<bare>[^\s"'\\|;&,]++))""",
    re.VERBOSE,
)
_MOST = 40


def spans(text: str) -> Iterator[tuple[int, int]]:
    """Every password that follows such a program in a text: in a line of a shell, and in lists of words."""
    for program in _PROGRAM.finditer(text):
        words, places, at = [program[0]], [program.start()], program.end()
        for _ in range(_MOST):
            word = _NEXT.match(text, at)
            if not word:
                break
            kind = "quoted" if word["quote"] else "bare"
            words.append(word[kind])
            places.append(word.start(kind))
            at = word.end()
            if kind == "quoted" and text.startswith((" ", "\t"), at + len(word["quote"])):
                at += len(word["quote"])
        for number, start in secret_words(words):
            yield places[number] + start, places[number] + len(words[number])


def secret_words(words: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Which words of a command are a password, and at which letter of the word it begins."""
    for at, word in enumerate(words):
        program = word.rpartition("/")[2]
        behind = words[at + 1 :]
        if program in _POSITIONAL:
            yield from _at_its_place(_POSITIONAL[program], behind, at + 1)
        elif program == "htpasswd" and any(re.fullmatch(r"-[a-zA-Z]*b[a-zA-Z]*", flag) for flag in behind):
            yield len(words) - 1, 0
        elif flag := _FLAGS.get(program, ""):
            if program in _LOGIN and "login" not in behind:
                continue
            for number, (own, following) in enumerate(pairwise([*behind, ""]), at + 1):
                if own == flag and program not in _GLUED_ONLY:
                    if following and not following.startswith("-") and _is_one(program, following):
                        yield number + 1, 0
                elif own.startswith(flag) and len(own) > len(flag) and _is_one(program, own[len(flag) :]):
                    yield number, len(flag)


def _at_its_place(
    forms: Mapping[tuple[str, ...], int], words: Sequence[str], at: int
) -> Iterator[tuple[int, int]]:
    """The password of a command that takes it behind a number of other words, whatever flags are between."""
    plain = [(number, word) for number, word in enumerate(words, at) if not word.startswith("-")]
    for said, before in forms.items():
        if tuple(word for _, word in plain[: len(said)]) == said:
            place = len(said) + before
            yield from ((number, 0) for number, _ in plain[place : place + 1])


def _is_one(program: str, word: str) -> bool:
    # `curl -b file`: only what has a name and a value is a cookie.
    return may_be_secret("", word) and (program != "curl" or "=" in word)
