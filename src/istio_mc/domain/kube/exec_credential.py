"""The protocol between a Kubernetes client and a credential plugin: its input and its output.

Kubernetes API group `client.authentication.k8s.io`, versions v1 and v1beta1 (client-go
pkg/apis/clientauthentication/v1/types.go and v1beta1/types.go, v0.32.3: the two have the same fields).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from istio_mc.domain import jsontext
from istio_mc.domain.kube.kubeconfig_schema import kind_of
from istio_mc.domain.kube.request_headers import is_sendable

INFO_VARIABLE = "KUBERNETES_EXEC_INFO"
"""Environment variable that tells the plugin what it is asked for (client-go exec.go)."""

_CLUSTER_CONFIG = (
    "client.authentication.k8s.io/exec"  # name of the extension in the kubeconfig's cluster entry
)
_CLUSTER_FIELDS = ("tls-server-name", "insecure-skip-tls-verify", "proxy-url", "disable-compression")
_DROPPED = ("exec", "auth-provider")


@dataclass(frozen=True)
class Plugin:
    """A credential plugin as a user's entry describes it.

    Attributes:
        args: Its arguments; they may hold a client secret, and so stay out of `repr`.
        interactive_mode: "Never", "IfAvailable" or "Always": its use of standard input.
    """

    command: str
    args: tuple[str, ...] = field(repr=False)
    env: Mapping[str, str] = field(repr=False, hash=False)
    api_version: str
    install_hint: str | None
    provide_cluster_info: bool
    interactive_mode: str

    @property
    def shown(self) -> str:
        """The command and its leading words, for messages: no option, for that could be a secret."""
        words = [self.command]
        for arg in self.args:
            if arg.startswith("-"):
                return " ".join([*words, "…"])
            words.append(arg)
        return " ".join(words)


@dataclass(frozen=True)
class PluginAnswer:
    """What a plugin gave."""

    token: str | None = field(repr=False)
    certificate: str | None = field(repr=False)
    key: str | None = field(repr=False)


def plugin_of(user_entry: Mapping[str, object]) -> Plugin:
    """The plugin of an entry that has one, and in which `Context.problems` found no fault."""
    plugin = user_entry["exec"]
    if not isinstance(plugin, Mapping):
        raise TypeError(f"expected a mapping, saw {kind_of(plugin)}")
    variables = plugin.get("env") or []
    return Plugin(
        command=str(plugin.get("command")),
        args=tuple(map(str, plugin.get("args") or [])),
        env={str(variable["name"]): str(variable.get("value") or "") for variable in variables},
        api_version=str(plugin.get("apiVersion")),
        install_hint=str(plugin["installHint"]) if plugin.get("installHint") else None,
        provide_cluster_info=plugin.get("provideClusterInfo") is True,
        # v1beta1 is from before the field (client-go tools/clientcmd/api/v1/defaults.go, v0.32.3)
        interactive_mode=str(plugin.get("interactiveMode") or "IfAvailable"),
    )


def exec_info(
    plugin: Plugin,
    cluster_entry: Mapping[str, object],
    certificate_authority: bytes | None,
    *,
    interactive: bool,
) -> str:
    """The value of KUBERNETES_EXEC_INFO.

    Args:
        certificate_authority: PEM content of the file that `certificate-authority` names, where one is named.
    """
    spec: dict[str, object] = {"interactive": interactive}
    if plugin.provide_cluster_info:
        cluster: dict[str, object] = {"server": cluster_entry.get("server") or ""}
        cluster |= {key: cluster_entry[key] for key in _CLUSTER_FIELDS if cluster_entry.get(key)}
        # inline data comes before a file (client-go rest/exec.go and transport.go, dataFromSliceOrFile)
        inline = cluster_entry.get("certificate-authority-data")
        if inline:
            cluster["certificate-authority-data"] = inline
        elif certificate_authority:
            cluster["certificate-authority-data"] = base64.b64encode(certificate_authority).decode()
        cluster["config"] = _cluster_config(cluster_entry)
        spec["cluster"] = cluster
    return json.dumps({"kind": "ExecCredential", "apiVersion": plugin.api_version, "spec": spec})


def parse_answer(plugin: Plugin, output: bytes) -> PluginAnswer:
    """What the plugin printed.

    Raises:
        ValueError: With a sentence that continues "the plugin …" and holds nothing of the output's values.
    """
    try:
        document = jsontext.load(output)
    except ValueError:  # the exception would hold the output
        what = "nothing" if not output.strip() else "something that is not JSON"
        raise ValueError(f"printed {what} instead of an ExecCredential") from None
    if not isinstance(document, Mapping):
        raise ValueError(f"printed {kind_of(document)} instead of an ExecCredential")  # noqa: TRY004
    version = document.get("apiVersion")
    if document.get("kind") != "ExecCredential" or version != plugin.api_version:
        known = isinstance(version, str) and version.startswith("client.authentication.k8s.io/")
        problem_seen = f"one of {version}" if known and version != plugin.api_version else "something else"
        raise ValueError(
            f"received a request for an ExecCredential of {plugin.api_version} and printed {problem_seen}"
        )
    status = document.get("status")
    if not isinstance(status, Mapping):
        raise ValueError("printed an ExecCredential without a status")  # noqa: TRY004
    token = _text(status, "token")
    certificate = _text(status, "clientCertificateData")
    key = _text(status, "clientKeyData")
    if token is not None and not is_sendable(token):
        raise ValueError(
            "printed an ExecCredential whose token contains a control character, such as a line break"
        )
    if token is None and certificate is None and key is None:
        raise ValueError("printed an ExecCredential without a token and without a certificate")
    if (certificate is None) != (key is None):
        raise ValueError("printed an ExecCredential with only one of certificate and key")
    _check_time(_text(status, "expirationTimestamp"))
    return PluginAnswer(token, certificate, key)


def answered_entry(user_entry: Mapping[str, object], answer: PluginAnswer) -> dict[str, object]:
    """The user's entry with what the plugin gave in the plugin's place; impersonation (`as`) stays."""
    entry: dict[str, object] = {key: value for key, value in user_entry.items() if key not in _DROPPED}
    if answer.token is not None:
        entry["token"] = answer.token
    if answer.certificate is not None and answer.key is not None:
        entry["client-certificate-data"] = base64.b64encode(answer.certificate.encode()).decode()
        entry["client-key-data"] = base64.b64encode(answer.key.encode()).decode()
    return entry


def _cluster_config(cluster_entry: Mapping[str, object]) -> object:
    extensions = cluster_entry.get("extensions")
    if isinstance(extensions, list):
        for item in extensions:
            if isinstance(item, Mapping) and item.get("name") == _CLUSTER_CONFIG:
                return item.get("extension")
    return None


def _text(status: Mapping[object, object], key: str) -> str | None:
    value = status.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise ValueError(f"printed an ExecCredential whose {key} is {kind_of(value)}")  # noqa: TRY004
    return value


def _check_time(text: str | None) -> None:
    try:
        datetime.fromisoformat(text or "2026-01-01")
    except ValueError:
        raise ValueError("printed an ExecCredential whose expirationTimestamp is not a time") from None
