"""Kubeconfig files read as the lab's kubectl reads them: the same are refused, the rest comes out the same.

The files are made by chance from a fixed seed: documents with every field there is, some of them of the wrong
type, written as YAML or JSON, some of them damaged by a few characters.
"""

from __future__ import annotations

import base64
import json
import os
import random
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import pytest

from istio_mc.domain import yamltext
from istio_mc.domain.kube.kubeconfig_schema import server_url
from istio_mc.domain.problem import InputError
from istio_mc.gateways.kube.kubeconfig import read_kubeconfig

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

pytestmark = pytest.mark.lab

PATHS = {"certificate-authority", "client-certificate", "client-key", "tokenFile", "command"}
Merged = tuple[str | None, dict[str, tuple[str | None, dict[str, Any], dict[str, Any]]]]
"""The current context, and for each context its namespace, its cluster's entry and its user's."""

RUNS = 240
SEED = 20260101
FIELDS: dict[str, dict[str, object]] = {
    "cluster": {
        "server": "https://127.0.0.1:1",
        "tls-server-name": "x",
        "insecure-skip-tls-verify": True,
        "certificate-authority": "pki/ca.crt",
        "certificate-authority-data": "YQ==",
        "proxy-url": "http://proxy:3128",
        "disable-compression": True,
        "extensions": [{"name": "e", "extension": {"a": 1}}],
        "Server": "x",
    },
    "user": {
        "client-certificate": "me.crt",
        "client-certificate-data": "YWI=",
        "client-key": "/keys/me.key",
        "client-key-data": "YQ==",
        "token": "t",
        "tokenFile": "../token",
        "as": "boss",
        "as-uid": "1",
        "as-groups": ["g", "h"],
        "as-user-extra": {"a": ["b"]},
        "username": "u",
        "password": "p",
        "auth-provider": {"name": "oidc", "config": {"a": "b"}},
        "exec": {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "bin/x", "args": ["a"]},
    },
    "context": {"cluster": "a", "user": "b", "namespace": "n"},
}
ODD = [
    None,
    "",
    1,
    0.5,
    True,
    False,
    [],
    {},
    ["a"],
    {"a": "b"},
    ["a", None],
    {"a": None},
    "Y\nQ==",
    "%",
    [1, 2],
]
HEADS: dict[str, list[object]] = {
    "apiVersion": ["v1", "/v1", "v2", None],
    "kind": ["Config", "List", ""],
    "Kind": ["Config", "List"],
    "preferences": [{}, {"colors": True}, "x"],
    "current-context": ["a", "zz", "", None],
    "extensions": [[{"name": "a", "extension": {}}] * 2, [{"name": "a"}] * 2, None],
}
MARKS = [
    *(
        "\t",
        "\n",
        " ",
        ": ",
        "- ",
        "?",
        "[",
        "]",
        "{",
        "}",
        ",",
        "#",
        "&a ",
        "*a",
        "!!str ",
        "!!int ",
        "|",
        "'",
    ),
    *(
        '"',
        "%",
        "\ufeff",
        "\x00",
        "\r\n",
        "<<: ",
        "---\n",
        "é",
        "\\",
        "\\/",
        "yes",
        "null",
        "0x1",
        "1e3",
        "~",
    ),
]


def entry(chance: random.Random, kind: str, strange: float) -> dict[str, object]:
    found = {key: value for key, value in FIELDS[kind].items() if chance.random() < 0.4}
    return {key: chance.choice(ODD) if chance.random() < strange else value for key, value in found.items()}


def section(chance: random.Random, kind: str, strange: float) -> list[object]:
    items: list[object] = []
    for name in chance.sample("abc", chance.randrange(4)):
        item: dict[str, object] = {"name": name, kind: entry(chance, kind, strange)}
        if chance.random() < 0.04:
            item["name"] = chance.choice(["", None, 1, "a"])
        items.append(chance.choice([None, {}, item, "x"]) if chance.random() < 0.03 else item)
    return items


def text(chance: random.Random) -> str:
    strange = chance.choice([0.0, 0.0, 0.0, 0.1])
    document: dict[str, object] = {f"{kind}s": section(chance, kind, strange) for kind in FIELDS}
    for key, values in HEADS.items():
        if chance.random() < 0.1:
            document[key] = chance.choice(values)
    written = yamltext.dump(document) if chance.random() < 0.6 else json.dumps(document, indent="\t")
    for _ in range(chance.choice([0, 0, 0, 1, 2])):
        at = chance.randrange(len(written))
        written = written[:at] + chance.choice(MARKS) + written[at + chance.choice([0, 0, 3]) :]
    return written


def files(folder: Path, chance: random.Random) -> list[Path]:
    paths = []
    for number in range(chance.choice([1, 1, 1, 2, 3])):
        paths.append(folder / str(number) / "config")
        paths[-1].parent.mkdir(parents=True)
        if chance.random() < 0.95:  # else it is missing
            paths[-1].write_bytes(text(chance).encode("utf-16" if chance.random() < 0.05 else "utf-8"))
    return paths


def kubectl(paths: Iterable[Path], *arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("kubectl")
    assert program is not None
    return subprocess.run(
        [program, *arguments],
        env={"KUBECONFIG": os.pathsep.join(map(str, paths)), "PATH": os.environ["PATH"], "HOME": "/nowhere"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def theirs(paths: list[Path]) -> Merged | None:
    done = kubectl(paths, "config", "view", "--raw", "-o", "json")
    if done.returncode:
        return None
    found = json.loads(done.stdout)
    clusters, users, contexts = (
        {item["name"]: item[kind] for item in found[f"{kind}s"] or []}
        for kind in ("cluster", "user", "context")
    )
    return found["current-context"] or None, {
        name: (
            context.get("namespace"),
            called(full(clusters.get(context["cluster"], {}))),
            full(users.get(context["user"], {})),
        )
        for name, context in contexts.items()
        if name
    }


def full(found: Mapping[str, Any]) -> dict[str, Any]:
    """An entry without its empty fields, which kubectl shows of a plugin and others not at all."""
    kept = {key: value for key, value in found.items() if value not in (None, "", False, [])}
    if "exec" in kept:
        kept["exec"] = full(kept["exec"])
    if "as-user-extra" in kept:
        kept["as-user-extra"] = {key: value or [] for key, value in kept["as-user-extra"].items()}
    if "auth-provider" in kept:
        kept["auth-provider"] = {key: value for key, value in kept["auth-provider"].items() if value}
    kept.pop("extensions", None)
    for key in PATHS & kept.keys():  # `config view` shows them as they are written, istio-mc from the root
        kept[key] = PurePath(kept[key]).name
    return kept


def called(cluster: dict[str, Any]) -> dict[str, Any]:
    """With the address that is called: a scheme is added, and what is behind the path left out."""
    return cluster | ({"server": server_url(cluster["server"])} if "server" in cluster else {})


def ours(paths: list[Path]) -> Merged | None:
    try:
        found = read_kubeconfig(paths)
    except InputError as error:
        missing = {problem.code for problem in error.problems} == {"kubeconfig-missing"}
        return (None, {}) if missing else None  # kubectl reads nothing at all as an empty kubeconfig
    return found.current_context, {
        context.name: (context.namespace, full(context.cluster_entry), full(context.user_entry))
        for context in found.contexts
    }


def without_credentials(merged: Merged) -> Merged:
    """As both call an API server without TLS: kubectl, too, sends no credentials there."""
    current, contexts = merged
    return current, {
        name: (
            namespace,
            cluster,
            user
            if str(cluster.get("server")).startswith("https://")
            else {key: value for key, value in user.items() if key.startswith("as")},
        )
        for name, (namespace, cluster, user) in contexts.items()
    }


def test_files_are_refused_or_joined_as_kubectl_does_it(tmp_path: Path) -> None:
    chance = random.Random(SEED)  # noqa: S311 - nothing is kept secret with it
    sets = [files(tmp_path / str(number), chance) for number in range(RUNS)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(theirs, sets))
    assert 0.2 < sum(answer is None for answer in answers) / RUNS < 0.8  # both kinds are tried
    for paths, answer in zip(sets, answers, strict=True):
        shown = {str(path): path.read_bytes() for path in paths if path.exists()}
        assert ours(paths) == (answer and without_credentials(answer)), shown


def test_paths_are_taken_from_the_folder_of_their_own_file(tmp_path: Path) -> None:
    one, two = tmp_path / "one" / "config", tmp_path / "two" / "config"
    for path in (one, two):
        (path.parent / "pki").mkdir(parents=True)
        (path.parent / "pki" / "file").write_text(path.parent.name)
    cluster = {"server": "https://a", "certificate-authority": "./pki//file"}
    user = {"client-certificate": "../two/pki/file", "client-key": "pki/file"}
    one.write_text(json.dumps({"clusters": [{"name": "a", "cluster": cluster}], "contexts": [{"name": "a"}]}))
    contexts = [{"name": "b", "context": {"cluster": "a", "user": "b"}}]
    two.write_text(json.dumps({"users": [{"name": "b", "user": user}], "contexts": contexts}))
    flat = json.loads(kubectl([one, two], "config", "view", "--raw", "--flatten", "-o", "json").stdout)
    (b,) = (context for context in read_kubeconfig([one, two]).contexts if context.name == "b")
    found = {
        key: Path(str(path)).read_bytes()
        for key, path in {**b.cluster_entry, **b.user_entry}.items()
        if key in PATHS
    }
    embedded = flat["clusters"][0]["cluster"] | flat["users"][0]["user"]
    assert found == {key: base64.b64decode(embedded[f"{key}-data"]) for key in found}
    assert set(found.values()) == {b"one", b"two"}


LOCAL: dict[str, object] = {"server": "https://127.0.0.1:1"}
USABLE: list[tuple[dict[str, object], dict[str, object]]] = [
    (LOCAL, {"token": "t"}),
    (LOCAL | {"insecure-skip-tls-verify": True, "tls-server-name": "x"}, {"token": "t"}),
    (LOCAL | {"proxy-url": "http://127.0.0.1:1"}, {"token": "t"}),
    (LOCAL | {"proxy-url": "HTTP://127.0.0.1:1"}, {"token": "t"}),
    (LOCAL | {"server": "127.0.0.1:1"}, {"token": "t"}),
    (LOCAL | {"server": "localhost:1"}, {}),
    (LOCAL | {"server": "HTTPS://127.0.0.1:1/a?b=c#d"}, {"username": "u", "password": "p"}),
    (LOCAL, {"token": "t", "as": "boss", "as-groups": ["g"]}),
    (LOCAL, {"token": "t", "client-key-data": "YQ=="}),
    (
        {
            "server": "http://127.0.0.1:1",
            "certificate-authority-data": "YQ==",
            "insecure-skip-tls-verify": True,
        },
        {"tokenFile": "none", "username": "u"},
    ),
]
REFUSED: list[tuple[dict[str, object], dict[str, object]]] = [
    ({}, {"token": "t"}),
    ({"server": ""}, {"token": "t"}),
    ({"tls-server-name": "x"}, {"token": "t"}),
    ({"server": "https://127.0.0.1:x"}, {"token": "t"}),
    ({"server": " https://127.0.0.1:1"}, {"token": "t"}),
    (LOCAL | {"certificate-authority-data": "YQ==", "insecure-skip-tls-verify": True}, {"token": "t"}),
    (LOCAL | {"certificate-authority-data": "YQ==", "certificate-authority": "/dev/null"}, {"token": "t"}),
    (LOCAL | {"proxy-url": "127.0.0.1:1"}, {"token": "t"}),
    (LOCAL | {"proxy-url": "socks4://127.0.0.1:1"}, {"token": "t"}),
    (LOCAL | {"proxy-url": "http://127.0.0.1:x"}, {"token": "t"}),
    (LOCAL, {"token": "t", "password": "p"}),
    (LOCAL, {"tokenFile": "/dev/null", "username": "u", "token": "t"}),
    (LOCAL, {"client-certificate-data": "YQ=="}),
    (
        LOCAL,
        {"client-certificate-data": "YQ==", "client-certificate": "/dev/null", "client-key": "/dev/null"},
    ),
    (LOCAL, {"client-certificate": "/dev/null", "client-key-data": "YQ==", "client-key": "/dev/null"}),
    (LOCAL, {"token": "t", "as-groups": ["g"]}),
    (LOCAL, {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "true"}}),
    (LOCAL, {"exec": {"apiVersion": "client.authentication.k8s.io/v1beta1"}}),
    (LOCAL, {"exec": {"command": "true", "interactiveMode": "Never"}}),
    (
        LOCAL,
        {
            "exec": {
                "apiVersion": "client.authentication.k8s.io/v1beta1",
                "command": "true",
                "interactiveMode": "x",
            }
        },
    ),
    (
        LOCAL,
        {
            "exec": {
                "apiVersion": "client.authentication.k8s.io/v1beta1",
                "command": "true",
                "env": [{"value": "x"}],
            }
        },
    ),
]


@pytest.mark.parametrize(
    ("cluster", "user", "usable"),
    [(*pair, True) for pair in USABLE] + [(*pair, False) for pair in REFUSED],
)
def test_contexts_are_usable_where_kubectl_gets_as_far_as_a_call(
    tmp_path: Path, cluster: dict[str, object], user: dict[str, object], *, usable: bool
) -> None:
    path = tmp_path / "config"
    document = {
        "clusters": [{"name": "c", "cluster": cluster}, {"name": "d", "cluster": LOCAL}],
        "users": [{"name": "u", "user": user}, {"name": "v", "user": {"token": "t"}}],
        "contexts": [
            {"name": "kt", "context": {"cluster": "c", "user": "u"}},
            {"name": "nhn", "context": {"cluster": "d", "user": "v"}},
        ],
    }
    path.write_text(json.dumps(document))
    found = {context.name: not context.problems for context in read_kubeconfig([path]).contexts}
    for context, expected in (("kt", usable), ("nhn", True)):
        stderr = kubectl([path], "--context", context, "get", "--raw", "/version").stderr
        called = (
            re.search(r":1\b.* refused", stderr) is not None
        )  # and not localhost:8080, for want of a server
        assert (called, found[context]) == (expected, expected), stderr
