"""What client-go refuses of a kubeconfig's entries once it has read them, and what it makes of the rest.

Entries are as `kubeconfig_shape.decode` gives them; the rules are those of client-go v0.32.3. `refused_…`
finds what its validation refuses (tools/clientcmd/validation.go), which istiod has done of every entry of a
remote secret. `unusable_…` finds what is refused when a client is made of the one entry that is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

EXEC_API_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
"""Protocols of credential plugins (plugin/pkg/client/auth/exec/exec.go)."""

INTERACTIVE_MODES = ("Never", "IfAvailable", "Always")
"""What a plugin may say of its use of standard input (tools/clientcmd/api/v1/types.go)."""

PROXY_SCHEMES = ("http", "https", "socks5")
"""Proxies that a client can be given (tools/clientcmd/client_config.go, parseProxyURL)."""

_ONLY_WITH_A_USER = ("as-uid", "as-groups", "as-user-extra")
_WITHOUT_TLS = ("as", *_ONLY_WITH_A_USER)
_BLANKS = frozenset(" \t\r\n")


def text_of(entry: Mapping[str, object], key: str) -> str | None:
    """A field that is a string and not empty."""
    value = entry.get(key)
    return value if isinstance(value, str) and value else None


def server_url(server: str | None) -> str | None:
    """The address that is called where a cluster names this server; None where it names none.

    Without a scheme it is http, and what a URL may have behind its path is left out (DefaultServerURL in
    rest/url_utils.go, NewRESTClient in rest/client.go).
    """
    if server is None:
        return None
    try:
        parts = urlsplit(server)
        if not parts.scheme or not parts.netloc:
            parts = urlsplit(f"http://{server}")
    except ValueError:
        return server
    return parts._replace(scheme=parts.scheme.lower(), query="", fragment="").geturl()


def is_tls(server: str | None) -> bool:
    """Whether an API server is called with TLS, and so with credentials; of `server_url`."""
    return server is not None and server.startswith("https://")


def heeded_user(entry: Mapping[str, object], server: str | None) -> dict[str, object]:
    """What counts of a user's entry: without TLS no credentials are sent (client_config.go, ClientConfig)."""
    return {key: value for key, value in entry.items() if is_tls(server) or key in _WITHOUT_TLS}


def refused_cluster(entry: Mapping[str, object]) -> list[str]:
    """What validation refuses of a cluster, each to be read after its name."""
    faults = []
    if not text_of(entry, "server"):
        faults.append("has no server")
    if entry.get("certificate-authority") and entry.get("certificate-authority-data"):
        faults.append("has its CA twice: certificate-authority and certificate-authority-data")
    proxy = text_of(entry, "proxy-url")
    if proxy and not ((parts := _parts(proxy)) and parts.scheme in PROXY_SCHEMES):
        faults.append(f"has a proxy-url that is not of {', '.join(PROXY_SCHEMES)}")
    return faults


def unusable_cluster(entry: Mapping[str, object]) -> list[str]:
    """What keeps a client from being made of a cluster (transport/transport.go, TLSConfigFor)."""
    faults = []
    server = text_of(entry, "server")
    called = _parts(server if "://" in server else f"http://{server}") if server else None
    if server and not (called and called.hostname):
        faults.append("has a server that is not a URL")
    authority = entry.get("certificate-authority") or entry.get("certificate-authority-data")
    if authority and entry.get("insecure-skip-tls-verify") and is_tls(server_url(server)):
        faults.append("has a CA and insecure-skip-tls-verify: one of the two")
    return faults


def refused_user(entry: Mapping[str, object]) -> list[str]:
    """What validation refuses of a user, each to be read after its name."""
    faults = []
    if entry.get("client-certificate") or entry.get("client-certificate-data"):
        if not (entry.get("client-key") or entry.get("client-key-data")):
            faults.append("has a client certificate without a key")
        faults.extend(
            f"has its {what} twice: {key} and {key}-data"
            for key, what in (("client-certificate", "client certificate"), ("client-key", "client key"))
            if entry.get(key) and entry.get(f"{key}-data")
        )
    if entry.get("token") and _has_password(entry):
        faults.append("has both a token and a password")
    if not entry.get("as") and any(entry.get(key) for key in _ONLY_WITH_A_USER):
        faults.append(f"has {', '.join(key for key in _ONLY_WITH_A_USER if entry.get(key))} without as")
    plugin = entry.get("exec")
    if isinstance(plugin, Mapping):
        faults.extend(_refused_plugin(plugin))
        if isinstance(entry.get("auth-provider"), Mapping):
            faults.append("has both a credential plugin and an auth-provider")
    return faults


def unusable_user(entry: Mapping[str, object], server: str | None) -> list[str]:
    """What keeps a client from being made of a user for this address (transport/round_trippers.go)."""
    faults = []
    if is_tls(server) and entry.get("tokenFile") and not entry.get("token") and _has_password(entry):
        faults.append("has both a token and a password")
    plugin = entry.get("exec")
    version = plugin.get("apiVersion") if isinstance(plugin, Mapping) else None
    if version and version not in EXEC_API_VERSIONS:
        usable = " and ".join(EXEC_API_VERSIONS)
        faults.append(f"has a credential plugin of apiVersion {version}; usable are {usable}")
    return faults


def _has_password(entry: Mapping[str, object]) -> bool:
    return bool(entry.get("username") or entry.get("password"))


def _refused_plugin(plugin: Mapping[str, object]) -> list[str]:
    faults = []
    if not plugin.get("command"):
        faults.append("has a credential plugin without a command")
    if not plugin.get("apiVersion"):
        faults.append("has a credential plugin without an apiVersion")
    mode = plugin.get("interactiveMode")
    if not mode:
        faults.append("has a credential plugin without interactiveMode, which apiVersion v1 requires")
    elif mode not in INTERACTIVE_MODES:
        faults.append(
            f"has a credential plugin with interactiveMode {mode}, none of {', '.join(INTERACTIVE_MODES)}"
        )
    variables = plugin.get("env")
    if isinstance(variables, list) and not all(variable.get("name") for variable in variables):
        faults.append("has a credential plugin with a variable without a name")
    return faults


def _parts(url: str) -> SplitResult | None:
    """The parts of a URL that Go would call; None where it would not."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it checks it
    except ValueError:
        return None
    return None if _BLANKS & set(url) else parts
