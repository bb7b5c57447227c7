"""Several kubeconfig files joined as kubectl joins them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istio_mc.domain.kube.kubeconfig import Kubeconfig, KubeconfigFile, merge, uses_exec
from istio_mc.domain.problem import InputError

BETA = "client.authentication.k8s.io/v1beta1"
NOT_BASE64 = "expected a string in base64, saw one that is not"


def document(*names: str, current: str | None = None, server: str = "https://{}:6443") -> Any:  # noqa: ANN401
    found: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": f"{name}-k", "cluster": {"server": server.format(name)}} for name in names],
        "users": [{"name": f"{name}-admin", "user": {"token": f"s3cret-{name}"}} for name in names],
        "contexts": [
            {"name": name, "context": {"cluster": f"{name}-k", "user": f"{name}-admin"}} for name in names
        ],
    }
    if current is not None:
        found["current-context"] = current
    return found


def user(entry: dict[str, Any], path: str = "/home/me/.kube/kt") -> dict[str, Any]:
    found = document("kt")
    found["users"][0]["user"] = entry
    return dict(merge([KubeconfigFile(path, found)]).contexts[0].user_entry)


def joined(*documents: dict[str, Any] | None) -> Kubeconfig:
    return merge([KubeconfigFile(f"/f/{number}", found) for number, found in enumerate(documents, 1)])


def faults_of(*documents: dict[str, Any]) -> list[str]:
    with pytest.raises(InputError) as caught:
        joined(*documents)
    return [problem.message for problem in caught.value.problems]


def test_contexts_are_in_file_order_with_their_cluster_user_and_files() -> None:
    kubeconfig = joined(document("ncloud", "kt"), document("nhn"))
    assert [context.name for context in kubeconfig.contexts] == ["ncloud", "kt", "nhn"]
    nhn = kubeconfig.contexts[2]
    assert (nhn.cluster, nhn.user, nhn.namespace, nhn.server) == (
        "nhn-k",
        "nhn-admin",
        None,
        "https://nhn:6443",
    )
    assert nhn.files == ("/f/2",)
    assert nhn.problems == ()
    assert kubeconfig.warnings == ()


def test_the_current_context_is_the_first_that_a_file_sets() -> None:
    assert (
        joined(document("a"), document("b", current="b"), document("c", current="c")).current_context == "b"
    )
    assert joined(document("a", current=""), document("b", current="b")).current_context == "b"
    assert joined(document("a")).current_context is None


def test_a_current_context_that_no_file_defines_is_reported() -> None:
    (warning,) = joined(document("a", current="zz")).warnings
    assert warning.code == "current-context-unknown"


def test_the_first_of_several_entries_with_one_name_is_used_completely() -> None:
    kubeconfig = joined(document("kt", server="https://first"), document("kt", server="https://second"))
    (kt,) = kubeconfig.contexts
    assert kt.server == "https://first"
    assert kt.files == ("/f/1",)


def test_names_that_repeat_are_reported_with_both_files_and_whether_they_are_identical() -> None:
    warnings = joined(document("kt", server="https://1"), document("kt", server="https://2")).warnings
    assert [(warning.message, warning.seen) for warning in warnings] == [
        ("cluster kt-k is defined in several files", "/f/1, /f/2: different entries, the first is used"),
        ("user kt-admin is defined in several files", "/f/1, /f/2: identical entries"),
        ("context kt is defined in several files", "/f/1, /f/2: identical entries"),
    ]
    assert {warning.code for warning in warnings} == {"kubeconfig-name-repeated"}


def test_a_name_in_three_files_is_reported_once_with_all_three() -> None:
    warnings = joined(document("kt"), document("kt"), document("kt")).warnings
    assert "/f/1, /f/2, /f/3: identical entries" in [warning.seen for warning in warnings]
    assert len(warnings) == 3


def test_a_context_may_name_a_cluster_and_a_user_of_other_files() -> None:
    contexts, clusters, users = document("kt"), document("kt"), document("kt")
    del contexts["clusters"], contexts["users"], clusters["users"], clusters["contexts"]
    del users["clusters"], users["contexts"]
    (kt,) = joined(contexts, clusters, users).contexts
    assert kt.files == ("/f/1", "/f/2", "/f/3")
    assert kt.problems == ()


def test_missing_files_are_skipped_with_a_warning() -> None:
    kubeconfig = joined(None, document("kt"))
    assert [context.name for context in kubeconfig.contexts] == ["kt"]
    (warning,) = kubeconfig.warnings
    assert (warning.code, warning.message) == (
        "kubeconfig-missing",
        "/f/1 does not exist and was skipped",
    )


def test_relative_paths_are_made_absolute_against_their_own_file() -> None:
    clusters, users = document("kt"), document("kt")
    clusters["clusters"][0]["cluster"]["certificate-authority"] = "../pki//ca.crt"
    del clusters["users"], users["clusters"], users["contexts"]
    users["users"][0]["user"] = {
        "client-certificate": "me.crt",
        "client-key": "/keys/me.key",
        "tokenFile": "./t",
    }
    kubeconfig = merge([KubeconfigFile("/a/b/one", clusters), KubeconfigFile("/c/two", users)])
    (kt,) = kubeconfig.contexts
    assert kt.cluster_entry["certificate-authority"] == "/a/pki/ca.crt"
    assert kt.user_entry == {
        "client-certificate": "/c/me.crt",
        "client-key": "/keys/me.key",
        "tokenFile": "/c/t",
    }
    assert (
        clusters["clusters"][0]["cluster"]["certificate-authority"] == "../pki//ca.crt"
    )  # the input is left alone


@pytest.mark.parametrize(
    ("command", "made"),
    [
        ("aws", "aws"),
        ("bin/plugin", "/home/me/.kube/bin/plugin"),
        ("./plugin", "/home/me/.kube/plugin"),
        ("/usr/bin/plugin", "/usr/bin/plugin"),
    ],
)
def test_a_plugin_command_is_a_path_of_its_file_only_with_a_slash(command: str, made: str) -> None:
    plugin = {"exec": {"command": command, "apiVersion": BETA}}
    entry = user(plugin)["exec"]
    assert entry["command"] == made


def test_identical_relative_paths_in_different_folders_are_not_identical_entries() -> None:
    one, two = document("kt"), document("kt")
    for found in (one, two):
        found["users"][0]["user"] = {"tokenFile": "token"}
    warnings = merge([KubeconfigFile("/a/c", one), KubeconfigFile("/b/c", two)]).warnings
    assert [warning.seen for warning in warnings] == [
        "/a/c, /b/c: identical entries",
        "/a/c, /b/c: different entries, the first is used",
        "/a/c, /b/c: identical entries",
    ]


def test_an_unusable_context_is_reported_and_stops_nothing() -> None:
    found = document("kt", "nhn", "bare", "none")
    found["clusters"] = [
        {"name": "nhn-k", "cluster": {}},
        {"name": "none-k", "cluster": {"server": "https://n"}},
    ]
    found["users"] = found["users"][1:2]
    found["contexts"][2]["context"] = None
    del found["contexts"][3]["context"]["user"]
    kt, nhn, bare, none = joined(found).contexts
    assert [problem.code for problem in kt.problems] == ["cluster-undefined", "user-undefined"]
    assert (
        kt.problems[0].message
        == "context kt (/f/1): names the cluster kt-k, which is not defined in any file"
    )
    assert kt.problems[0].cluster == "kt"
    assert (kt.cluster_entry, kt.server) == ({}, None)
    assert [problem.code for problem in nhn.problems] == ["cluster-incomplete"]
    assert [problem.code for problem in bare.problems] == ["context-incomplete"]
    assert (none.problems, none.user) == ((), None)  # kubectl then asks as nobody


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ({"client-certificate": "a"}, "has a client certificate without a key"),
        ({"token": "t", "password": "p"}, "has both a token and a password"),
        ({"token": "t", "as-groups": ["g"], "as-uid": "u"}, "has as-uid, as-groups without as"),
        ({"tokenFile": "t", "username": "p"}, "has both a token and a password"),
        (
            {"client-certificate": "a", "client-certificate-data": "YQ==", "client-key": "b"},
            "has its client certificate twice: client-certificate and client-certificate-data",
        ),
        (
            {"client-certificate": "a", "client-key-data": "YQ==", "client-key": "b"},
            "has its client key twice: client-key and client-key-data",
        ),
        (
            {"exec": {"command": "x", "apiVersion": BETA}, "auth-provider": {"name": "gcp"}},
            "has both a credential plugin and an auth-provider",
        ),
        (
            {"exec": {"apiVersion": BETA}},
            "has a credential plugin without a command",
        ),
        (
            {"exec": {"command": "x", "apiVersion": "client.authentication.k8s.io/v1alpha1"}},
            (
                "has a credential plugin of apiVersion client.authentication.k8s.io/v1alpha1; usable are "
                "client.authentication.k8s.io/v1 and client.authentication.k8s.io/v1beta1"
            ),
        ),
        (
            {"exec": {"command": "x", "apiVersion": "client.authentication.k8s.io/v1"}},
            "has a credential plugin without interactiveMode, which apiVersion v1 requires",
        ),
        (
            {
                "exec": {
                    "command": "x",
                    "apiVersion": "client.authentication.k8s.io/v1",
                    "interactiveMode": "Maybe",
                }
            },
            "has a credential plugin with interactiveMode Maybe, none of Never, IfAvailable, Always",
        ),
        (
            {
                "exec": {
                    "command": "x",
                    "apiVersion": BETA,
                    "env": [{"value": "x"}],
                }
            },
            "has a credential plugin with a variable without a name",
        ),
    ],
)
def test_users_that_kubectl_refuses_are_problems_of_their_contexts(entry: dict[str, Any], fault: str) -> None:
    found = document("kt")
    found["users"][0]["user"] = entry
    (problem,) = joined(found).contexts[0].problems
    assert problem.message == f"context kt (/f/1): its user kt-admin (/f/1) {fault}"


def test_all_malformed_documents_are_reported_with_file_and_place() -> None:
    assert faults_of(
        {
            "kind": "Deployment",
            "clusters": {"name": "x"},
            "contexts": [
                {"name": "ok", "context": {}},
                "text",
                {"name": 7, "context": {"cluster": ["a"], "namespace": True}},
                {"context": None},
                {"name": "ok"},
            ],
        },
        {
            "current-context": ["x"],
            "clusters": [
                {
                    "name": "x",
                    "cluster": {"insecure-skip-tls-verify": "no", "certificate-authority-data": "%%%"},
                },
                {"name": "", "cluster": 1.5},
                {"name": "y", "cluster": {"certificate-authority-data": 7}},
            ],
            "users": [
                {
                    "name": "u",
                    "user": {
                        "token": 123,
                        "as-groups": [1],
                        "as-user-extra": {"a": "b"},
                        "exec": {"args": "x", "env": [{"name": 1}]},
                        "auth-provider": {"config": {"expiry": 5}},
                        "made-up": [1],
                    },
                }
            ],
        },
    ) == [
        "/f/1: kind: expected Config, saw Deployment",
        "/f/1: clusters: expected a list, saw a mapping",
        "/f/1: contexts[1]: expected a mapping, saw a string",
        "/f/1: contexts[2].name: expected a string, saw a number",
        "/f/1: contexts[2].context.cluster: expected a string, saw a list",
        "/f/1: contexts[2].context.namespace: expected a string, saw a boolean",
        "/f/1: contexts[4].name: ok is already the name of contexts[0] of the same file",
        "/f/2: current-context: expected a string, saw a list",
        "/f/2: clusters[0].cluster.insecure-skip-tls-verify: expected a boolean, saw a string",
        f"/f/2: clusters[0].cluster.certificate-authority-data: {NOT_BASE64}",
        "/f/2: clusters[1].cluster: expected a mapping, saw a number",
        "/f/2: clusters[2].cluster.certificate-authority-data: expected a string in base64, saw a number",
        "/f/2: users[0].user.token: expected a string, saw a number",
        "/f/2: users[0].user.as-groups[0]: expected a string, saw a number",
        "/f/2: users[0].user.as-user-extra.a: expected a list, saw a string",
        "/f/2: users[0].user.exec.args: expected a list, saw a string",
        "/f/2: users[0].user.exec.env[0].name: expected a string, saw a number",
        "/f/2: users[0].user.auth-provider.config.expiry: expected a string, saw a number",
    ]


def test_fields_that_are_null_or_missing_are_no_fault() -> None:
    empty: dict[str, Any] = {
        "clusters": None,
        "users": None,
        "contexts": [],
        "current-context": None,
        "kind": None,
    }
    assert joined(empty, {}).contexts == ()
    assert user({"token": None, "username": "", "extensions": []}) == {}


def test_keys_that_differ_only_in_case_or_dashes_are_skipped_with_a_warning() -> None:
    found = document("kt")
    found["clusters"][0]["cluster"] |= {"Server": "https://x", "insecure_skip_tls_verify": True, "other": 1}
    kubeconfig = joined(found)
    assert [(warning.code, warning.message, str(warning.hint)) for warning in kubeconfig.warnings] == [
        (
            "kubeconfig-key-unknown",
            f"/f/1: clusters[0].cluster.{key} is not a known key and is ignored",
            f"Write it {right}",
        )
        for key, right in (
            ("Server", "server"),
            ("insecure_skip_tls_verify", "insecure-skip-tls-verify"),
        )
    ]
    assert kubeconfig.contexts[0].cluster_entry == {"server": "https://kt:6443"}


@pytest.mark.parametrize(
    "item", [None, {}, {"user": {"token": "x"}}, {"name": "", "user": {}}, {"name": None}]
)
def test_an_entry_without_a_name_is_warned_of_and_refuses_nothing(item: dict[str, Any] | None) -> None:
    found = document("kt")
    found["users"].append(item)
    kubeconfig = joined(found)
    assert [context.problems for context in kubeconfig.contexts] == [()]
    assert [(warning.code, warning.message) for warning in kubeconfig.warnings] == [
        ("kubeconfig-name-missing", "/f/1: users[1] has no name")
    ]


def test_two_entries_without_a_name_are_one_name_twice() -> None:
    found = document("kt")
    found["users"] += [None, {}]
    assert faults_of(found) == [
        "/f/1: users[2].name: an empty name is already the name of users[1] of the same file"
    ]


def test_a_context_without_a_name_is_left_out() -> None:
    found = document("kt")
    found["contexts"].append({"context": {"cluster": "kt-k"}})
    assert [context.name for context in joined(found).contexts] == ["kt"]


def test_a_context_that_names_no_cluster_or_user_has_those_without_a_name() -> None:
    found: dict[str, Any] = {
        "clusters": [{"cluster": {"server": "https://a"}}],
        "users": [{"user": {"token": "x"}}],
        "contexts": [{"name": "kt"}],
    }
    (kt,) = joined(found).contexts
    assert (kt.problems, kt.cluster, kt.user_entry) == ((), "kt", {"token": "x"})
    (again,) = joined(joined(found).document(kt)).contexts
    assert (again.problems, again.server, again.user_entry) == ((), "https://a", {"token": "x"})


def test_null_in_lists_and_mappings_is_what_go_makes_of_it() -> None:
    plugin = {"command": "x", "apiVersion": BETA, "args": ["a", None], "env": [{"name": "a", "value": None}]}
    assert user({"exec": plugin, "as-groups": [None], "as-user-extra": {"a": None}, "as": "b"}) == {
        "exec": {
            "command": "x",
            "apiVersion": BETA,
            "args": ["a", ""],
            "env": [{"name": "a"}],
            "interactiveMode": "IfAvailable",
        },
        "as-groups": [""],
        "as-user-extra": {"a": []},
        "as": "b",
    }
    assert user({"auth-provider": {"name": "gcp", "config": {"expiry": None}}}) == {
        "auth-provider": {"name": "gcp", "config": {"expiry": ""}}
    }


@pytest.mark.parametrize("written", ["YW\nI=\r\n", "YWJ=", [97, 98], "YWI="])
def test_certificates_are_written_on_as_base64_without_line_breaks(written: object) -> None:
    assert user({"client-certificate-data": written, "client-key": "x"})["client-certificate-data"] == "YWI="


@pytest.mark.parametrize(
    ("head", "fault"),
    [
        ({"apiVersion": "v1", "kind": "Config"}, ""),
        ({}, ""),
        ({"apiVersion": "/v1"}, ""),
        ({"apiVersion": None, "kind": ""}, ""),
        ({"apiVersion": "v2"}, "apiVersion: expected v1, saw v2"),
        ({"apiVersion": "a/v1"}, "apiVersion: expected v1, saw a/v1"),
        ({"apiVersion": "v1", "apiversion": "v2"}, "apiVersion: expected v1, saw v2"),
        ({"kind": "Config", "KIND": "List"}, ""),
        ({"KIND": "List"}, "kind: expected Config, saw List"),
        ({"Kind": 1}, "Kind: expected a string, saw a number"),
    ],
)
def test_kind_and_version_are_read_in_any_capitals(head: dict[str, Any], fault: str) -> None:
    found = head | {"contexts": []}
    assert (faults_of(found) if fault else list(joined(found).contexts)) == (
        [f"/f/1: {fault}"] if fault else []
    )


@pytest.mark.parametrize(
    ("server", "called"),
    [
        ("https://a:6443", "https://a:6443"),
        ("HTTPS://A/x/", "https://A/x/"),
        ("a:6443", "http://a:6443"),
        ("198.18.0.1:8080", "http://198.18.0.1:8080"),
        ("https://a/k8s?x=1#y", "https://a/k8s"),
        ("https://[fd00::1]:6443", "https://[fd00::1]:6443"),
    ],
)
def test_the_address_is_the_one_that_kubectl_calls(server: str, called: str) -> None:
    kubeconfig = joined(document("kt", server=server))
    (kt,) = kubeconfig.contexts
    assert (kt.server, kt.problems) == (called, ())
    (again,) = joined(kubeconfig.document(kt)).contexts
    assert again.cluster_entry == {"server": called}


def test_no_credentials_go_to_an_api_server_without_tls() -> None:
    found = document("kt", server="http://{}")
    found["users"][0]["user"] |= {"as": "me", "as-groups": ["us"]}
    (kt,) = joined(found).contexts
    assert (kt.user_entry, kt.problems) == ({"as": "me", "as-groups": ["us"]}, ())


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ({"server": ""}, "has no server"),
        ({"server": "https://"}, "has a server that is not a URL"),
        ({"server": "https://a:x"}, "has a server that is not a URL"),
        ({"server": " https://a"}, "has a server that is not a URL"),
        (
            {"certificate-authority": "x", "certificate-authority-data": "YQ=="},
            "has its CA twice: certificate-authority and certificate-authority-data",
        ),
        (
            {"certificate-authority": "x", "insecure-skip-tls-verify": True},
            "has a CA and insecure-skip-tls-verify: one of the two",
        ),
        ({"proxy-url": "proxy:3128"}, "has a proxy-url that is not of http, https, socks5"),
        ({"proxy-url": "http://[::1"}, "has a proxy-url that is not of http, https, socks5"),
        ({"insecure-skip-tls-verify": True, "tls-server-name": "x"}, ""),
        ({"server": "http://a", "certificate-authority": "x", "insecure-skip-tls-verify": True}, ""),
    ],
)
def test_clusters_that_kubectl_refuses_are_problems_of_their_contexts(
    entry: dict[str, Any], fault: str
) -> None:
    found = document("kt", "nhn")
    found["clusters"][0]["cluster"] |= entry
    kt, nhn = joined(found).contexts
    messages = [f"context kt (/f/1): its cluster kt-k (/f/1) {fault}"] if fault else []
    assert ([problem.message for problem in kt.problems], nhn.problems) == (messages, ())


def test_user_and_password_in_a_servers_url_are_not_shown() -> None:
    found = document("kt")
    found["clusters"][0]["cluster"]["server"] = "https://me:secret@kt:6443"
    (context,) = joined(found).contexts
    assert context.server == "https://kt:6443"
    assert context.cluster_entry["server"] == "https://me:secret@kt:6443"


def test_credentials_stay_out_of_repr() -> None:
    kubeconfig = joined(document("kt"))
    assert "s3cret" not in repr(kubeconfig)
    assert "s3cret" not in repr(KubeconfigFile("/f", document("kt")))
    hash(kubeconfig.contexts[0])


def test_contexts_are_selected_in_the_order_named() -> None:
    kubeconfig = joined(document("a", "b", "c"))
    assert [context.name for context in kubeconfig.select(["c", "a"])] == ["c", "a"]
    assert kubeconfig.select([]) == ()


def test_unknown_contexts_are_refused_together_with_the_known_ones_and_the_nearest() -> None:
    with pytest.raises(InputError) as caught:
        joined(document("kt", "ncloud", "nhn")).select(["KT", "ncluod", "kt", "zzzzz"])
    (problem,) = caught.value.problems
    assert problem.message == "no such contexts: KT, ncluod, zzzzz"
    assert problem.expected == "one of kt, ncloud, nhn"
    assert str(problem.hint) == "Did you mean kt for KT, ncloud for ncluod?"
    with pytest.raises(InputError) as caught:
        joined({}).select(["kt"])
    assert caught.value.problems[0].expected == "a kubeconfig with at least one context"


def test_a_context_named_twice_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        joined(document("kt")).select(["kt", "kt", "x"])
    assert [problem.code for problem in caught.value.problems] == ["context-unknown", "context-named-twice"]


def test_the_document_of_a_context_contains_only_it_and_is_self_contained() -> None:
    found = document("kt", "nhn", current="nhn")
    found["contexts"][0]["context"]["namespace"] = "web"
    kubeconfig = joined(found)
    kt = kubeconfig.contexts[0]
    written = kubeconfig.document(kt)
    again = merge([KubeconfigFile("/elsewhere", written)])
    assert again.current_context == "kt"
    (same,) = again.contexts
    assert (same.cluster_entry, same.user_entry) == (kt.cluster_entry, kt.user_entry)
    assert (same.cluster, same.user, same.namespace) == ("kt-k", "kt-admin", "web")
    assert len(written["clusters"]) == len(written["users"]) == 1  # type: ignore[arg-type]


def test_another_user_entry_can_take_the_place_of_the_files() -> None:
    kubeconfig = joined(document("kt"))
    written = kubeconfig.document_with(kubeconfig.contexts[0], {"token": "new"})
    assert written["users"] == [{"name": "kt-admin", "user": {"token": "new"}}]
    found = document("kt")
    del found["contexts"][0]["context"]["user"]
    kubeconfig = joined(found)
    assert kubeconfig.document(kubeconfig.contexts[0])["users"] == []


@pytest.mark.parametrize(
    ("entry", "used"),
    [
        ({"exec": {"command": "x"}}, True),
        ({"exec": {"command": "x"}, "token": "t"}, False),
        ({"exec": {"command": "x"}, "client-certificate-data": "Yw=="}, False),
        ({"exec": {"command": "x"}, "token": ""}, True),
        ({"token": "t"}, False),
        ({"exec": None}, False),
    ],
)
def test_a_plugin_counts_only_where_nothing_else_authenticates(entry: dict[str, Any], used: bool) -> None:  # noqa: FBT001
    assert uses_exec(entry) is used


names = st.sampled_from(["a", "b", "c", "d e", "한글", "x/y:z@1"])
entries = st.sampled_from([{"server": "https://1"}, {"server": "https://2"}, {"server": ""}])


def named(key: str, entry: st.SearchStrategy[Any]) -> st.SearchStrategy[list[dict[str, Any]]]:
    item: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries({"name": names, key: entry})
    return st.lists(item, unique_by=lambda found: str(found["name"]))


documents: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "clusters": named("cluster", entries),
        "users": named("user", st.fixed_dictionaries({"token": st.sampled_from(["1", "2"])})),
        "contexts": named("context", st.fixed_dictionaries({"cluster": names}, optional={"user": names})),
        "current-context": st.one_of(names, st.just("")),
    },
)


@given(st.lists(documents, max_size=4))
def test_every_name_appears_once_with_the_entry_of_its_first_file(
    found: list[dict[str, Any]],
) -> None:
    kubeconfig = joined(*found)
    expected: dict[str, Any] = {}
    for one in found:
        for item in one.get("contexts", []):
            expected.setdefault(item["name"], item["context"])
    assert [context.name for context in kubeconfig.contexts] == list(expected)
    for context in kubeconfig.contexts:
        assert context.cluster == expected[context.name]["cluster"]
        first: dict[str, Any] = next(
            (
                item["cluster"]
                for one in found
                for item in one.get("clusters", [])
                if item["name"] == context.cluster
            ),
            {},
        )
        assert context.cluster_entry == {key: value for key, value in first.items() if value}


@given(st.lists(documents, max_size=3))
def test_a_file_given_again_at_the_end_changes_nothing(found: list[dict[str, Any]]) -> None:
    once, twice = joined(*found), joined(*found, *found)
    assert once.contexts == twice.contexts
    assert once.current_context == twice.current_context


@given(st.lists(documents, min_size=1, max_size=3))
def test_the_document_of_any_context_gives_the_same_context_again(found: list[dict[str, Any]]) -> None:
    kubeconfig = joined(*found)
    for context in kubeconfig.contexts:
        (again,) = joined(kubeconfig.document(context)).contexts
        assert (again.name, again.cluster, again.user) == (context.name, context.cluster, context.user)
        assert again.cluster_entry == context.cluster_entry
        assert again.user_entry == context.user_entry
