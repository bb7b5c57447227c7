"""A kubeconfig document as client-go decodes it, and what it refuses of a field or an entry.

The fields and their types are those of tools/clientcmd/api/v1/types.go (client-go v0.32.3), decoded as Go
decodes JSON: null is a field's empty value, a key that no field has is skipped, and a number or a boolean
where a string belongs is an error. A file with one error is refused whole, whichever entry it is in.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from istio_mc.domain.goyaml import base64_decoded
from istio_mc.domain.hint import Advice
from istio_mc.domain.problem import Code, Problem

LISTS = {"clusters": "cluster", "users": "user", "contexts": "context"}
"""Kubeconfig's three lists, and the key under which each item of one holds its entry beside `name`."""

DEFAULTED_EXEC_API_VERSIONS = (
    "client.authentication.k8s.io/v1beta1",
    "client.authentication.k8s.io/v1alpha1",
)
"""Protocols of credential plugins for which `interactiveMode` has a default (api/v1/defaults.go)."""

_KINDS: tuple[tuple[type, str], ...] = (
    (bool, "a boolean"),
    (str, "a string"),
    (int, "a number"),
    (float, "a number"),
    (list, "a list"),
    (Mapping, "a mapping"),
)
_BYTE = range(256)


def kind_of(value: object) -> str:
    """What a YAML value is, in words: "a list", "nothing"."""
    if value is None:
        return "nothing"
    return next((words for kind, words in _KINDS if isinstance(value, kind)), type(value).__name__)


@dataclass(slots=True)
class Decoded:
    """One kubeconfig document.

    Attributes:
        entries: For each of the three lists: name → entry, without empty fields; a name may be empty.
        faults: What kubectl refuses the file for, each with its place: `contexts[2].context.cluster: expected
            a string, saw a list`. Values are never shown: they may be credentials.
        ignored: What kubectl skips, and hardly anybody wrote on purpose.
    """

    current_context: str = ""
    entries: dict[str, dict[str, dict[str, object]]] = field(default_factory=dict, repr=False)
    faults: list[str] = field(default_factory=list)
    ignored: list[Problem] = field(default_factory=list)


def decode(path: str, document: object) -> Decoded:
    """Decodes what a file holds."""
    decoded = Decoded()
    if document is None:
        return decoded
    if not isinstance(document, Mapping):
        decoded.faults.append(f"expected a mapping, saw {kind_of(document)}")
        return decoded
    report = _Report(path, decoded.faults, decoded.ignored)
    _check_kind(report, document)
    config = _CONFIG(report, "", document)
    decoded.current_context = str(config.get("current-context", ""))
    for key in LISTS:
        decoded.entries[key] = _by_name(report, key, config.get(key), document.get(key))
    return decoded


@dataclass(frozen=True, slots=True)
class _Report:
    path: str
    faults: list[str]
    ignored: list[Problem]

    def expected(self, place: str, what: str, value: object) -> None:
        self.faults.append(f"{place}: expected {what}, saw {kind_of(value)}")

    def ignore(self, code: Code, message: str, hint: str) -> None:
        self.ignored.append(Problem(code=code, message=f"{self.path}: {message}", hint=Advice(hint)))


_Decode = Callable[[_Report, str, object], object]
"""Makes a field's value of what the document has there, which is not null; faults go into the report."""


def _string(report: _Report, place: str, value: object) -> str:
    if isinstance(value, str):
        return value
    report.expected(place, "a string", value)
    return ""


def _boolean(report: _Report, place: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    report.expected(place, "a boolean", value)
    return False


def _base64(report: _Report, place: str, value: object) -> str:
    """Bytes: base64 on one line, whatever line breaks the document has in it."""
    if isinstance(value, list) and all(item is None or _is_byte(item) for item in value):
        return base64.b64encode(bytes(item or 0 for item in value)).decode()  # Go decodes numbers into bytes
    if not isinstance(value, str):
        report.expected(place, "a string in base64", value)
        return ""
    try:
        return base64.b64encode(base64_decoded(value)).decode()
    except ValueError:
        report.faults.append(f"{place}: expected a string in base64, saw one that is not")
        return ""


def _is_byte(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value in _BYTE


def _anything(_report: _Report, _place: str, value: object) -> object:
    return value


def _list_of(
    decode_item: _Decode, empty: Callable[[], object]
) -> Callable[[_Report, str, object], list[object]]:
    def decode_list(report: _Report, place: str, value: object) -> list[object]:
        if not isinstance(value, list):
            report.expected(place, "a list", value)
            return []
        return [
            empty() if item is None else decode_item(report, f"{place}[{index}]", item)
            for index, item in enumerate(value)
        ]

    return decode_list


def _mapping_of(decode_item: _Decode, empty: Callable[[], object]) -> _Decode:
    def decode_mapping(report: _Report, place: str, value: object) -> dict[str, object]:
        if not isinstance(value, Mapping):
            report.expected(place, "a mapping", value)
            return {}
        return {
            str(key): empty() if item is None else decode_item(report, f"{place}.{key}", item)
            for key, item in value.items()
        }

    return decode_mapping


def _fields(
    kept_empty: tuple[str, ...] = (), **decoders: _Decode
) -> Callable[[_Report, str, object], dict[str, object]]:
    """Decodes a mapping's known fields, by their names with `_` for `-`; empty ones are left out."""
    fields = {name.replace("_", "-").strip("-"): decode_field for name, decode_field in decoders.items()}
    meant = {_letters(name): name for name in fields}

    def decode_fields(report: _Report, place: str, value: object) -> dict[str, object]:
        if not isinstance(value, Mapping):
            report.expected(place, "a mapping", value)
            return {}
        result = {}
        for key, item in value.items():
            where = f"{place}.{key}" if place else str(key)
            if key not in fields and (name := meant.get(_letters(str(key)))):
                report.ignore(
                    Code.KUBECONFIG_KEY_UNKNOWN,
                    f"{where} is not a known key and is ignored",
                    f"Write it {name}",
                )
            elif key in fields and item is not None:
                decoded = fields[key](report, where, item)
                if decoded or key in kept_empty:
                    result[str(key)] = decoded
        return result

    return decode_fields


def _letters(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


def _extensions(report: _Report, place: str, value: object) -> list[object]:
    extensions = _list_of(_fields(("extension",), name=_string, extension=_anything), dict)(
        report, place, value
    )
    places: dict[str, int] = {}
    for index, item in enumerate(extensions):
        if isinstance(item, dict) and item.get("extension") is not None:  # an empty one is overwritten
            name = str(item.get("name", ""))
            _refuse_repeated(report, place, index, name, places.setdefault(name, index))
    return extensions


def _refuse_repeated(report: _Report, key: str, index: int, name: str, first: int) -> None:
    """As client-go does (tools/clientcmd/api/v1/conversion.go)."""
    if first != index:
        shown = name or "an empty name"
        report.faults.append(
            f"{key}[{index}].name: {shown} is already the name of {key}[{first}] of the same file"
        )


def _plugin(report: _Report, place: str, value: object) -> dict[str, object]:
    plugin = _PLUGIN(report, place, value)
    if plugin.get("apiVersion") in DEFAULTED_EXEC_API_VERSIONS:
        plugin.setdefault("interactiveMode", "IfAvailable")
    return plugin


_PLUGIN = _fields(
    command=_string,
    args=_list_of(_string, str),
    env=_list_of(_fields(name=_string, value=_string), dict),
    apiVersion=_string,
    installHint=_string,
    provideClusterInfo=_boolean,
    interactiveMode=_string,
)

_CLUSTER = _fields(
    server=_string,
    tls_server_name=_string,
    insecure_skip_tls_verify=_boolean,
    certificate_authority=_string,
    certificate_authority_data=_base64,
    proxy_url=_string,
    disable_compression=_boolean,
    extensions=_extensions,
)

_USER = _fields(
    ("exec", "auth-provider"),
    client_certificate=_string,
    client_certificate_data=_base64,
    client_key=_string,
    client_key_data=_base64,
    token=_string,
    tokenFile=_string,
    as_=_string,
    as_uid=_string,
    as_groups=_list_of(_string, str),
    as_user_extra=_mapping_of(_list_of(_string, str), list),
    username=_string,
    password=_string,
    auth_provider=_fields(name=_string, config=_mapping_of(_string, str)),
    exec=_plugin,
    extensions=_extensions,
)

_CONTEXT = _fields(cluster=_string, user=_string, namespace=_string, extensions=_extensions)

_CONFIG = _fields(
    preferences=_fields(colors=_boolean, extensions=_extensions),
    current_context=_string,
    clusters=_list_of(_fields(name=_string, cluster=_CLUSTER), dict),
    users=_list_of(_fields(name=_string, user=_USER), dict),
    contexts=_list_of(_fields(name=_string, context=_CONTEXT), dict),
    extensions=_extensions,
)


def _by_name(report: _Report, key: str, items: object, written: object) -> dict[str, dict[str, object]]:
    """Name → entry of one list, as decoded and as written; what is no item at all has its fault already."""
    entries: dict[str, dict[str, object]] = {}
    places: dict[str, int] = {}
    if not (isinstance(items, list) and isinstance(written, list)):
        return entries
    for index, (item, raw) in enumerate(zip(items, written, strict=True)):
        if not _may_be_named(raw):
            continue
        name = item.get("name", "")
        first = places.setdefault(name, index)
        _refuse_repeated(report, key, index, name, first)
        if first == index:
            entries[name] = item.get(LISTS[key], {})
        if not name:
            report.ignore(
                Code.KUBECONFIG_NAME_MISSING, f"{key}[{index}] has no name", "Name it, or remove it"
            )
    return entries


def _may_be_named(item: object) -> bool:
    return item is None or (isinstance(item, Mapping) and isinstance(item.get("name"), str | None))


def _check_kind(report: _Report, document: Mapping[str, object]) -> None:
    """Go's own JSON reads these two in any capitals, and the last in the order of bytes counts (meta.go)."""
    values = {"apiVersion": "", "kind": ""}
    for key in sorted(document, key=str):
        known = {"apiversion": "apiVersion", "kind": "kind"}.get(_folded(str(key)))
        if known and document[key] is not None:
            values[known] = _string(report, str(key), document[key])
    if values["apiVersion"] not in {"", "/", "v1", "/v1"}:
        report.faults.append(f"apiVersion: expected v1, saw {values['apiVersion']}")
    if values["kind"] not in {"", "Config"}:
        report.faults.append(f"kind: expected Config, saw {values['kind']}")


def _folded(key: str) -> str:
    return key.lower().replace("\u017f", "s").replace("\u212a", "k")


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


def effective_user(entry: Mapping[str, object], server: str | None) -> dict[str, object]:
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
