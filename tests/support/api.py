"""A stand-in API server: real HTTPS on this machine, in front of what one cluster remembers."""

from __future__ import annotations

import json
import socket
import struct
import threading
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

from tests.support import calls, discovery, faults, fields, refusals, rights, token_requests
from tests.support.fake_forward import forward
from tests.support.fields import Merging
from tests.support.refusals import Refused
from tests.support.rights import Action
from tests.support.store import By
from tests.support.stream_server import SUCCESS, Peer, ended
from tests.support.websocket_frames import accept

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.support.certificates import Material
    from tests.support.cluster import Cluster
    from tests.support.kinds import Object, Served

VERSION = "v1.32.3"
_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"
_STRATEGIC = "application/strategic-merge-patch+json"
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_RULES_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
_NO_SUCH_PATH = b"404 page not found\n"
_PATIENCE_S = 30.0
_CHUNK = 8192
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Target(NamedTuple):
    """What a path names.

    Attributes:
        served: The kind.
        version: The version of its API in which the answer is written.
        namespace: Empty: all, or none.
        name: Empty: the collection.
        subresource: Such as `status`.
    """

    served: Served
    version: str
    namespace: str
    name: str
    subresource: str


class ApiRequest(NamedTuple):
    """One request, taken apart."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    who: str


class JsonText(bytes):
    """A body that is JSON already."""


class Reset(Exception):  # noqa: N818 - no fault of ours
    """The connection is to end without an answer."""


class NotAtOnce(Exception):  # noqa: N818 - likewise
    """The answer would have to be waited for."""


class Api:
    """Listens for one cluster.

    Attributes:
        over: Set once it ends.
        healed: Notified where what keeps requests from being answered may be over.
        failures: What went wrong in the stand-in itself.
        port: Where it listens.
    """

    def __init__(self, cluster: Cluster, material: Material) -> None:
        self.cluster = cluster
        self.over = threading.Event()
        self.healed = threading.Condition()
        self.failures: list[Exception] = []
        self._context = material.context
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = int(self._listener.getsockname()[1])
        self._handler = _handler(self)

    def start(self) -> None:
        """Begins to listen."""
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def stop(self) -> None:
        """Ends it and every connection."""
        self.over.set()
        self.cut()
        self.wake()

    def wake(self) -> None:
        """Has those that keep silent look again whether they still shall."""
        with self.healed:
            self.healed.notify_all()

    def handle(
        self, req: ApiRequest, query: str, *, waits: bool = True
    ) -> tuple[int, object, Mapping[str, str]]:
        """Status, body and headers of the answer to a request, which is written down.

        Raises:
            Reset: It gets no answer.
            NotAtOnce: It would have to wait, and `waits` is False.
        """
        code = 0
        try:
            self.cluster.mesh.gate(self.cluster, waits=waits)
            code, answer, headers = self._answered(req)
        except NotAtOnce:
            raise
        except Reset:
            self.note(req, query, 0)
            raise
        self.note(req, query, code)
        if code < 400 and faults.is_write(req.method, req.path, query):
            self.cluster.mesh.wrote(req.method, req.path)
        return code, answer, headers

    def _answered(self, req: ApiRequest) -> tuple[int, object, Mapping[str, str]]:
        try:
            return answered(self.cluster, req)
        except Exception as error:  # noqa: BLE001 - the stand-in's own, whatever it is: the test is to hear of it
            self.failures.append(error)
            return 500, {"message": f"the stand-in failed: {error!r}"}, _NO_HEADERS

    def note(self, req: ApiRequest, query: str, code: int) -> None:
        """Writes down what was req."""
        self.cluster.faults.requests.append(faults.Request(req.method, req.path, query, req.who, code))

    def cut(self) -> None:
        """Ends the listening socket and every connection."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def listen_again(self) -> None:
        """Listens at the same port as before."""
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        self.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, address = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection, address), daemon=True).start()

    def _serve(self, connection: socket.socket, address: object) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(_PATIENCE_S)
        with self._lock:
            self._connections.add(connection)
        try:
            with suppress(OSError), self._context.wrap_socket(connection, server_side=True) as tls:
                with self._lock:
                    self._connections.add(tls)
                self._handler(tls, address, None)
                with self._lock:
                    self._connections.discard(tls)
        finally:
            with self._lock:
                self._connections.discard(connection)
            connection.close()


class Headers(dict[str, str]):
    """Headers by their names, in whatever case these are asked for."""

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def get(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - as dict has it
        return super().get(name.lower(), default)


def _handler(api: Api) -> Callable[..., object]:
    return type("Handler", (_Handler,), {"api": api})


class _Handler(BaseHTTPRequestHandler):
    api: Api
    raw_requestline: bytes
    headers: Any  # Headers, where the standard library has an email.message.Message
    protocol_version = "HTTP/1.1"

    def handle_one_request(self) -> None:
        with suppress(ValueError):  # a connection that was closed under it
            super().handle_one_request()

    def parse_request(self) -> bool:
        """Reads a request's head as istio-mc and istioctl write it: http.server takes ten times as long."""
        self.command, self.path, self.request_version = self.raw_requestline.decode("latin-1").split()
        self.headers = Headers()
        while (line := self.rfile.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            self.headers[name.lower()] = value.strip()
        self.requestline = ""
        self.close_connection = self.headers.get("Connection") == "close"
        return True

    def _take(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, _, query = self.path.partition("?")
        req = request(self.api.cluster, self.command, path, query, self.headers, body)
        try:
            if self.headers.get("Upgrade"):
                self.api.cluster.mesh.gate(self.api.cluster)
                self._forward(req)
                self.api.note(req, query, 101)
                return
            answer = self.api.handle(req, query)
        except Reset:
            self._reset()
            return
        self._send(*answer)

    def _forward(self, req: ApiRequest) -> None:
        try:
            _check_who(req)
            parts = req.path.split("/")
            if parts[-1] == "exec":
                self._execute(req)
                return
            ports = self.api.cluster.ports_of(parts[4], parts[6])
        except Refused as refusal:
            self._send(refusal.code, refusal.status())
            return
        if self.api.cluster.faults.breaks():
            accept(self)
            self._reset()
            return
        forward(self, ports)

    def _execute(self, req: ApiRequest) -> None:
        """Runs a command in a container: output, errors and how it ended, each on its channel."""
        words = parse_qs(urlsplit(self.path).query)["command"]
        parts = req.path.split("/")
        self.api.cluster.store.get(self.api.cluster.store.kinds["", "pods"], parts[4], parts[6])
        ran = calls.execute(self.api.cluster, words)
        accept(self)
        peer = Peer(self, self.api.over)
        for channel, text in ((1, ran.stdout), (2, ran.stderr)):
            for begin in range(0, len(text), _CHUNK):
                peer.send(channel, text[begin : begin + _CHUNK].encode())
        peer.end(SUCCESS if ran.code == 0 else ended(ran.code))
        self.close_connection = True

    def _send(self, code: int, answer: object, headers: Mapping[str, str] = _NO_HEADERS) -> None:
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        is_json = isinstance(answer, JsonText) or not isinstance(answer, bytes)
        kind = "application/json" if is_json else "text/plain"
        head = (
            f"HTTP/1.1 {code} {'OK' if code < 400 else 'Refused'}\r\n"
            f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        )
        more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.wfile.write(f"{head}{more}\r\n".encode() + body)

    def _reset(self) -> None:
        with suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Says nothing."""

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _take  # noqa: N815 - http.server's names


def request(
    cluster: Cluster, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
) -> ApiRequest:
    """A request, taken apart."""
    found = {key: values[0] for key, values in parse_qs(query, keep_blank_values=True).items()}
    return ApiRequest(
        method, unquote(path), found, headers, body, _identity(cluster, headers.get("Authorization") or "")
    )


def _identity(cluster: Cluster, authorization: str) -> str:
    """Who asks; empty: nobody the server knows."""
    token = authorization.removeprefix("Bearer ")
    if token == cluster.admin_token:
        return rights.ADMIN
    known = cluster.tokens.get(token)
    return rights.account(*known) if known else ""


def _check_who(req: ApiRequest) -> None:
    if not req.who:
        raise refusals.unauthorized()


def answered(cluster: Cluster, req: ApiRequest) -> tuple[int, object, Mapping[str, str]]:
    """Status, body and headers of the answer to a request."""
    try:
        return *_answered(cluster, req), _NO_HEADERS
    except Refused as refusal:
        return refusal.code, refusal.status(), refusal.headers


def _answered(cluster: Cluster, req: ApiRequest) -> tuple[int, object]:
    _check_who(req)
    if refusal := cluster.faults.refusal(req.method, req.path):
        raise refusal
    if req.path == "/version":
        return 200, {"major": "1", "minor": "32", "gitVersion": VERSION, "platform": "linux/amd64"}
    if req.path == _REVIEWS and req.method == "POST":
        return 201, _review(cluster, req)
    if req.path == _RULES_REVIEWS and req.method == "POST":
        return 201, _rules_review(cluster, req)
    if req.method == "GET" and (found := discovery.answer(cluster.store.kinds, req.path)):
        return 200, found
    target = _target(cluster, req.path)
    if target is None:
        return 404, _NO_SUCH_PATH
    _check_right(cluster, req, target)
    return _done(cluster, req, target)


def _review(cluster: Cluster, req: ApiRequest) -> Object:
    review: Object = json.loads(req.body)
    attributes = review["spec"]["resourceAttributes"]
    resource = attributes["resource"]
    if attributes.get("subresource"):
        resource += f"/{attributes['subresource']}"
    desired = Action(
        attributes["verb"], attributes.get("group", ""), resource, attributes.get("namespace", "")
    )
    return {**review, "status": {"allowed": rights.allowed(cluster, req.who, desired)}}


def _rules_review(cluster: Cluster, req: ApiRequest) -> Object:
    review: Object = json.loads(req.body)
    namespace = review["spec"].get("namespace")
    if not namespace:
        raise Refused(400, "BadRequest", "no namespace on request")
    found = rights.rules_of(cluster, req.who, namespace)
    status = {"resourceRules": found.rules, "nonResourceRules": [], "incomplete": found.is_incomplete}
    return {**review, "status": status}


def _target(cluster: Cluster, path: str) -> Target | None:
    """What a path names; None: nothing that is served."""
    parts = path.strip("/").split("/")
    if parts[0] == "api":
        group, version, rest = "", parts[1:2], parts[2:]
    elif parts[0] == "apis" and len(parts) > 2:
        group, version, rest = parts[1], parts[2:3], parts[3:]
    else:
        return None
    namespace = ""
    if len(rest) > 2 and rest[0] == "namespaces" and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    if not rest or not version:
        return None
    served = cluster.store.kinds.get((group, rest[0]))
    if served is None or version[0] not in served.versions:
        return None
    name, subresource = (*rest[1:3], "", "")[:2]
    return Target(served, version[0], namespace, name, subresource)


_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


def _check_right(cluster: Cluster, req: ApiRequest, target: Target) -> None:
    verb = _VERBS.get(req.method) or ("get" if target.name else "list")
    resource = target.served.plural + (f"/{target.subresource}" if target.subresource else "")
    desired = Action(verb, target.served.group, resource, target.namespace, target.name)
    if not rights.allowed(cluster, req.who, desired):
        raise refusals.forbidden(req.who, verb, target.served, target.namespace, target.name)


def _done(cluster: Cluster, req: ApiRequest, target: Target) -> tuple[int, object]:
    if target.subresource == "log" and req.method == "GET":
        cluster.store.get(target.served, target.namespace, target.name)
        return 200, cluster.log_of(target.name).encode()
    if (target.served.kind, target.subresource, req.method) == ("ServiceAccount", "token", "POST"):
        with cluster.store.lock:
            return 201, token_requests.grant(cluster, target.namespace, target.name, _parsed(req))
    work = {
        ("GET", True): _get,
        ("GET", False): _list,
        ("POST", False): _create,
        ("PATCH", True): _patch,
        ("PUT", True): _replace,
        ("DELETE", True): _delete,
    }.get((req.method, bool(target.name)))
    if work is None or target.subresource not in ("", "status"):
        raise refusals.no_method()
    return work(cluster, req, target)


def _in_version_of(item: Object, target: Target) -> Object:
    """An object in the version of its API that was asked for."""
    version = target.served.api_version(target.version)
    return item if item.get("apiVersion") == version else {**item, "apiVersion": version}


def _get(cluster: Cluster, _: ApiRequest, target: Target) -> tuple[int, object]:
    return 200, _in_version_of(cluster.store.get(target.served, target.namespace, target.name), target)


def _list(cluster: Cluster, req: ApiRequest, target: Target) -> tuple[int, object]:
    served = target.served
    found = cluster.store.list(
        served, target.namespace, req.query.get("labelSelector", ""), req.query.get("fieldSelector", "")
    )
    head = {
        "kind": f"{served.kind}List",
        "apiVersion": served.api_version(target.version),
        "metadata": {"resourceVersion": str(cluster.store.version)},
    }
    items = ", ".join(_listed(item, target) for item in found)
    return 200, JsonText(f'{json.dumps(head)[:-1]}, "items": [{items}]}}'.encode())


_texts: dict[tuple[int, str], tuple[Object, str]] = {}
_MOST_TEXTS = 10_000


def _listed(item: Object, target: Target) -> str:
    """An object as an item of a list; made once, because what is kept never changes in place."""
    version = target.served.api_version(target.version)
    kept = _texts.get((id(item), version))
    if kept is None:
        # Lists of Kubernetes' own kinds leave out what each item is.
        left_out = () if target.served.custom else ("apiVersion", "kind")
        shown = {key: value for key, value in _in_version_of(item, target).items() if key not in left_out}
        if len(_texts) >= _MOST_TEXTS:
            _texts.clear()
        kept = _texts[id(item), version] = (item, json.dumps(shown))  # the object too: its ID stays its own
    return kept[1]


def _create(cluster: Cluster, req: ApiRequest, target: Target) -> tuple[int, object]:
    document = _body(req, target)
    if target.served.namespaced and not target.namespace:
        raise refusals.no_method()
    made = cluster.store.create(target.served, target.namespace, document, _by(req, target))
    return 201, _in_version_of(made, target)


def _patch(cluster: Cluster, req: ApiRequest, target: Target) -> tuple[int, object]:
    kind = (req.headers.get("Content-Type") or "").partition(";")[0]
    store, rules = cluster.store, Merging.of(target.served)
    if kind == _APPLY:
        if "fieldManager" not in req.query:
            raise refusals.bad_request('PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value')
        document = _body(req, target)
        by = replace(_by(req, target), operation="Apply")
        force = req.query.get("force") == "true"
        return 200, _in_version_of(
            store.apply(target.served, target.namespace, target.name, document, by, force=force), target
        )
    patch = _parsed(req)
    if kind != _MERGE and (kind != _STRATEGIC or target.served.custom):
        raise Refused(
            415, "UnsupportedMediaType", f"the body of the request was in an unknown format: {kind}"
        )

    def change(live: Object) -> Object:
        if "resourceVersion" not in (patch.get("metadata") or {}):
            live["metadata"].pop("resourceVersion")
        changed: Object = (
            fields.merge_patched(live, patch)
            if kind == _MERGE
            else fields.strategically_patched(live, patch, "", rules)
        )
        return changed

    return 200, _in_version_of(
        store.change(target.served, target.namespace, target.name, change, _by(req, target)), target
    )


def _replace(cluster: Cluster, req: ApiRequest, target: Target) -> tuple[int, object]:
    document = _body(req, target)
    changed = cluster.store.change(
        target.served, target.namespace, target.name, lambda _: document, _by(req, target)
    )
    return 200, _in_version_of(changed, target)


def _delete(cluster: Cluster, req: ApiRequest, target: Target) -> tuple[int, object]:
    _check_preconditions(cluster, req, target)
    gone = cluster.store.delete(target.served, target.namespace, target.name, dry_run="dryRun" in req.query)
    if gone["metadata"].get("finalizers") or target.served.kind in ("Namespace", "Pod"):
        return 200, _in_version_of(gone, target)
    details = {"name": target.name, "kind": target.served.plural, "uid": gone["metadata"]["uid"]}
    return 200, {"kind": "Status", "apiVersion": "v1", "status": "Success", "details": details}


def _check_preconditions(cluster: Cluster, req: ApiRequest, target: Target) -> None:
    metadata = cluster.store.get(target.served, target.namespace, target.name)["metadata"]
    conditions = (json.loads(req.body or b"{}") or {}).get("preconditions") or {}
    if any(metadata[key] != value for key, value in conditions.items()):
        raise refusals.changed_meanwhile(target.served, target.name)


def _by(req: ApiRequest, target: Target) -> By:
    agent = (req.headers.get("User-Agent") or "unknown").partition("/")[0]
    manager = req.query.get("fieldManager") or agent
    return By(manager, "Update", target.subresource, dry_run=req.query.get("dryRun") == "All")


def _parsed(req: ApiRequest) -> Any:  # noqa: ANN401 - plain data
    try:
        found = json.loads(req.body)
    except ValueError:
        try:
            found = yaml.safe_load(req.body)
        except yaml.YAMLError:
            found = None
    if not isinstance(found, dict):
        raise refusals.bad_request("the body of the request could not be read")
    return found


def _body(req: ApiRequest, target: Target) -> Object:
    """The object in a request, which must be what its path says."""
    found: Object = _parsed(req)
    served = target.served
    if found.get("kind") != served.kind or found.get("apiVersion") != served.api_version(target.version):
        raise refusals.bad_request(
            f"{found.get('kind')} in version {found.get('apiVersion')!r} cannot be handled as a {served.kind}"
        )
    metadata = found.setdefault("metadata", {})
    if target.name and metadata.get("name") not in (None, target.name):
        raise refusals.bad_request(
            f"the name of the object ({metadata['name']}) does not match the name on the URL ({target.name})"
        )
    if served.namespaced and metadata.get("namespace") not in (None, target.namespace):
        raise refusals.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    return found
