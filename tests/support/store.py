"""What one stand-in API server remembers, and how its objects change.

An object that is kept is never changed in place: each write puts another one in its stead. So what was read
may be sent without a lock.
"""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.support import defaults, fields, kinds, refusals, selectors
from tests.support.fields import Managed, Merging, Owner
from tests.support.kinds import Key, Object, Served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_PROTECTED = frozenset({"default", "kube-system", "kube-public", "kube-node-lease"})
_WITH_GENERATION = frozenset(
    {
        "apps",
        "policy",
        "admissionregistration.k8s.io",
        kinds.APIEXTENSIONS,
        "networking.k8s.io",
        "batch",
        "discovery.k8s.io",
    }
)
CRD_FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
_GIVEN = ("uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds")
_NAMESPACES = kinds.by_plural(kinds.BUILT_IN)["", "namespaces"]
_CRDS = kinds.by_plural(kinds.BUILT_IN)[kinds.APIEXTENSIONS, "customresourcedefinitions"]


@dataclass(frozen=True)
class By:
    """Who writes, and how.

    Attributes:
        manager: The field manager.
        operation: `Update` or `Apply`.
        subresource: `status`, or empty.
        dry_run: Whether nothing is kept.
    """

    manager: str
    operation: str = "Update"
    subresource: str = ""
    dry_run: bool = False


class State(NamedTuple):
    """What a store kept at one moment; none of it changes later."""

    objects: dict[Key, Object]
    owners: dict[Key, tuple[Managed, dict[Owner, str]]]
    version: int
    numbers: tuple[int, int]


class Store:
    """The objects of one cluster.

    Attributes:
        lock: Held by whoever reads and then writes.
        kinds: What is served, by group and plural.
        on_write: Called after each write, with the lock held.
        mutation: Called with an object that is to be created, and its kind; gives what is created instead.
        admission: Called before an object is created or changed, with its kind and what it is to be; it
            raises Refused where it objects.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._custom: dict[Key, Served] = {}
        self._serve()
        self.on_write: list[Callable[[], None]] = []
        self.mutation: list[Callable[[Served, Object], Object]] = []
        self.admission: list[Callable[[Served, Object], None]] = []
        self._objects: dict[Key, Object] = {}
        self._owners: dict[Key, tuple[Managed, dict[Owner, str]]] = {}
        self._numbers = defaults.Numbers()
        self._version = 0
        # Every write is a second later than the one before, so that the order of things can be told by
        # their age, as in clusters where people do one thing after another.
        self._began = datetime.now(UTC) - timedelta(hours=2)

    # --- as it was

    def state(self) -> State:
        """All that is kept now, to be had back later."""
        with self.lock:
            return State(self._objects.copy(), self._owners.copy(), self._version, self._numbers.state())

    def restore(self, state: State) -> None:
        """Has all be as it was."""
        with self.lock:
            self._objects, self._owners = state.objects.copy(), state.owners.copy()
            self._version = state.version
            self._numbers.restore(state.numbers)
            crds = (key for key in self._objects if key[:2] == (_CRDS.group, _CRDS.plural))
            self._custom = {key: served for key in crds if (served := self._defined_by(key))}
            self._serve()
            for call in self.on_write:
                call()

    # --- reading

    @property
    def version(self) -> int:
        """The resourceVersion of the last write."""
        return self._version

    def now(self) -> str:
        """When the next write happens."""
        return (self._began + timedelta(seconds=self._version)).strftime("%Y-%m-%dT%H:%M:%SZ")

    def find(self, kind: str, name: str, namespace: str = "", group: str | None = None) -> Object | None:
        """An object by its kind; None where there is none."""
        for served in self._named.get(kind, ()):
            if group in (None, served.group):
                found = self._objects.get(Key(served.group, served.plural, namespace, name))
                if found:
                    return found
        return None

    def of(self, kind: str, namespace: str | None = None, group: str | None = None) -> list[Object]:
        """All objects of a kind, in a namespace or in all."""
        plurals = {(one.group, one.plural) for one in self._named.get(kind, ()) if group in (None, one.group)}
        return [
            item
            for key, item in self.everything().items()
            if key[:2] in plurals and namespace in (None, key.namespace)
        ]

    def everything(self) -> dict[Key, Object]:
        """All objects.

        Without the lock: a copy is made in one go, and an istiod reads other clusters than its own.
        """
        return self._objects.copy()

    def get(self, served: Served, namespace: str, name: str) -> Object:
        """One object.

        Raises:
            Refused: There is none.
        """
        found = self._objects.get(self._key(served, namespace, name))
        if found is None:
            raise refusals.not_found(served, name)
        return found

    def list(self, served: Served, namespace: str, labels: str = "", where: str = "") -> list[Object]:
        """The objects of a kind in a namespace (empty: in all) that selectors name, in order."""
        found = sorted(
            (key, item)
            for key, item in self.everything().items()
            if key[:2] == (served.group, served.plural) and namespace in ("", key.namespace)
        )
        return [item for _, item in found if selectors.matches(item, labels, where)]

    # --- writing

    def create(self, served: Served, namespace: str, document: Object, by: By) -> Object:
        """Creates an object.

        Raises:
            Refused: There is one, or it is not valid, or there is no such namespace.
        """
        with self.lock:
            made = defaults.normalised(_without_status(document, served), served)
            metadata = made.setdefault("metadata", {})
            if not metadata.get("name") and metadata.get("generateName"):
                metadata["name"] = metadata["generateName"] + uuid.uuid4().hex[:5]
            name = metadata.get("name") or ""
            if served.namespaced:
                metadata["namespace"] = namespace
            for mutate in self.mutation:
                made = mutate(served, made)
            key = self._key(served, namespace, name)
            if key in self._objects:
                raise refusals.already_exists(served, name)
            owner = Owner(by.manager, by.operation, by.subresource)
            managed = fields.updated(None, made, owner, {}, Merging.of(served))
            return self._put(key, served, None, made, managed, by)

    def apply(
        self, served: Served, namespace: str, name: str, document: Object, by: By, *, force: bool
    ) -> Object:
        """Server-side apply.

        Raises:
            Refused: Another manager owns a field that would change, and `force` is not set; or as `create`.
        """
        with self.lock:
            key = self._key(served, namespace, name)
            old = self._objects.get(key)
            document = _without_status(document, served)
            desired = defaults.normalised(document, served)
            rules = Merging.of(served)
            managed = self._owners.get(key, ({}, {}))[0]
            me, mine = Owner(by.manager, by.operation), fields.leaves(document, rules).keys()
            new, managed, conflicts = fields.apply(old, desired, me, mine, managed, rules)
            if conflicts and not force:
                raise refusals.fields_conflict(conflicts)
            return self._put(key, served, old, new, managed, by)

    def change(
        self, served: Served, namespace: str, name: str, how: Callable[[Object], Object], by: By
    ) -> Object:
        """Has `how` make another object of one, and keeps it.

        Raises:
            Refused: There is none, or it has changed meanwhile, or it would not be valid.
        """
        with self.lock:
            key = self._key(served, namespace, name)
            old = self.get(served, namespace, name)
            changed = how(fields.copied(old))
            if changed["metadata"].get("resourceVersion") not in (None, old["metadata"]["resourceVersion"]):
                raise refusals.changed_meanwhile(served, name)
            if by.subresource == "status":
                return self._set_status(key, served, old, changed.get("status", {}), by)
            new = defaults.normalised(changed, served)
            if served.has_status:
                new = {**new, **({"status": old["status"]} if "status" in old else {})}
                if "status" not in old:
                    new.pop("status", None)
            owner = Owner(by.manager, by.operation, by.subresource)
            managed = fields.updated(old, new, owner, self._owners[key][0], Merging.of(served))
            return self._put(key, served, old, new, managed, by)

    def set_status(self, item: Object, status: Object, by: By) -> Object:
        """Sets the status of an object that is kept, as a controller does.

        Raises:
            Refused: There is none any more.
        """
        with self.lock:
            served = self.served(item["apiVersion"], item["kind"])
            namespace, name = item["metadata"].get("namespace") or "", item["metadata"]["name"]
            old = self.get(served, namespace, name)
            return self._set_status(self._key(served, namespace, name), served, old, status, by)

    def _set_status(self, key: Key, served: Served, old: Object, status: Object, by: By) -> Object:
        """Only the status is looked at: nothing else of the object changes."""
        status = defaults.normalised({"status": status}, served)["status"]
        before, after = ({"status": old["status"]} if "status" in old else {}), {"status": status}
        owner = Owner(by.manager, by.operation, by.subresource)
        managed = fields.updated(before, after, owner, self._owners[key][0], Merging.of(served))
        return self._put(key, served, old, {**old, **after}, managed, by)

    def delete(self, served: Served, namespace: str, name: str, *, dry_run: bool = False) -> Object:
        """Deletes an object, or begins to where finalizers hold it.

        Raises:
            Refused: There is none, or it is one that Kubernetes keeps.
        """
        with self.lock:
            old = self.get(served, namespace, name)
            if served == _NAMESPACES and name in _PROTECTED:
                raise refusals.Refused(
                    403, "Forbidden", f'namespaces "{name}" is forbidden: this namespace may not be deleted'
                )
            if dry_run:
                return old
            key = self._key(served, namespace, name)
            held = list(old["metadata"].get("finalizers") or [])
            if served == _CRDS and CRD_FINALIZER not in held:
                held.append(CRD_FINALIZER)
            if not held and served != _NAMESPACES and not self._is_running(served, old):
                self._drop(key)
                return old
            if old["metadata"].get("deletionTimestamp"):
                return old
            metadata = {**old["metadata"], "deletionTimestamp": self.now()}
            new = {**old, "metadata": {**metadata, **({"finalizers": held} if held else {})}}
            if served == _NAMESPACES:
                new["status"] = {**(old.get("status") or {}), "phase": "Terminating"}
            return self._keep(key, new)

    def remove(self, item: Object) -> None:
        """Removes an object for good, as the controller that its finalizers wait for."""
        with self.lock:
            self._drop(self.key_of(item))

    def served(self, api_version: str, kind: str) -> Served:
        """The kind that a document names.

        Raises:
            KeyError: It is not served.
        """
        group = api_version.rpartition("/")[0]
        for one in self._named.get(kind, ()):
            if one.group == group:
                return one
        raise KeyError(f"{api_version} {kind}")

    def key_of(self, item: Object) -> Key:
        """Where an object is kept."""
        served = self.served(item["apiVersion"], item["kind"])
        return self._key(served, item["metadata"].get("namespace") or "", item["metadata"]["name"])

    @staticmethod
    def _is_running(served: Served, item: Object) -> bool:
        """Whether it is a pod on a node, which goes when the node has ended it."""
        return served.kind == "Pod" and bool((item.get("status") or {}).get("phase"))

    @staticmethod
    def _key(served: Served, namespace: str, name: str) -> Key:
        return Key(served.group, served.plural, namespace if served.namespaced else "", name)

    def _put(
        self, key: Key, served: Served, old: Object | None, new: Object, managed: Managed, by: By
    ) -> Object:
        metadata = dict(new["metadata"])
        new = {**new, "metadata": metadata}
        new.setdefault("apiVersion", served.api_version())
        new.setdefault("kind", served.kind)
        metadata["name"] = key.name
        if served.namespaced:
            metadata["namespace"] = key.namespace
        else:
            metadata.pop("namespace", None)
        if old is None:
            self._check_namespace(served, key)
            for given in _GIVEN:
                metadata.pop(given, None)
            metadata["uid"] = str(uuid.uuid4())
            metadata["creationTimestamp"] = self.now()
        else:
            metadata.update({name: old["metadata"][name] for name in _GIVEN if name in old["metadata"]})
        defaults.fill(new, served, self._numbers)
        defaults.check(new, served, old)
        for admit in self.admission:
            admit(served, new)
        return self._written(key, served, old, new, managed, by)

    def _written(
        self, key: Key, served: Served, old: Object | None, new: Object, managed: Managed, by: By
    ) -> Object:
        metadata = new["metadata"]
        before, times = self._owners.get(key, ({}, {}))
        if old is not None and managed == before and _bare(new) == _bare(old):
            return old  # nothing changed: no new resourceVersion
        if served.custom or served.group in _WITH_GENERATION:
            same = old is not None and _specified(old) == _specified(new)
            metadata["generation"] = (old["metadata"]["generation"] if old else 0) + (0 if same else 1)
        if old is None or managed != before:
            times = {
                owner: times[owner] if before.get(owner) == owned else self.now()
                for owner, owned in managed.items()
            }
        metadata["managedFields"] = fields.as_managed_fields(managed, new["apiVersion"], times)
        if by.dry_run:
            return {**new, "metadata": {**metadata, "resourceVersion": str(self._version)}}
        self._owners[key] = (managed, times)
        leaving = metadata.get("deletionTimestamp") and served != _NAMESPACES
        if leaving and not metadata.get("finalizers"):
            self._drop(key)
            return new
        return self._keep(key, new)

    def _check_namespace(self, served: Served, key: Key) -> None:
        if not served.namespaced:
            return
        namespace = self._objects.get(Key("", "namespaces", "", key.namespace))
        if namespace is None:
            raise refusals.not_found(_NAMESPACES, key.namespace)
        if namespace["metadata"].get("deletionTimestamp"):
            raise refusals.terminating(served, key.name, key.namespace)

    def _keep(self, key: Key, new: Object) -> Object:
        self._version += 1
        new["metadata"]["resourceVersion"] = str(self._version)
        self._objects[key] = new
        self._on_write(key)
        return new

    def _drop(self, key: Key) -> None:
        self._version += 1
        self._objects.pop(key, None)
        self._owners.pop(key, None)
        self._on_write(key)

    def _on_write(self, key: Key) -> None:
        if key[:2] == (_CRDS.group, _CRDS.plural):
            self._serve_crd(key)
        for call in self.on_write:
            call()

    def _serve_crd(self, key: Key) -> None:
        served = self._defined_by(key)
        if served == self._custom.get(key):
            return
        if served:
            self._custom[key] = served
        else:
            del self._custom[key]
        self._serve()

    def _serve(self) -> None:
        self.kinds = kinds.by_plural((*kinds.BUILT_IN, *self._custom.values()))
        self._named = _by_kind(self.kinds.values())

    def _defined_by(self, key: Key) -> Served | None:
        """The kind that a CRD defines; None: there is no such CRD, or it is not established."""
        crd = self._objects.get(key, {})
        for one in (crd.get("status") or {}).get("conditions") or []:
            if one["type"] == "Established" and one["status"] == "True":
                return kinds.of_crd(crd)
        return None


def _by_kind(served: Iterable[Served]) -> dict[str, list[Served]]:
    found: dict[str, list[Served]] = {}
    for one in served:
        found.setdefault(one.kind, []).append(one)
    return found


def _without_status(document: Object, served: Served) -> Object:
    """A document as it counts where the status is a subresource of its own."""
    if not served.has_status:
        return document
    return {key: value for key, value in document.items() if key != "status"}


def _bare(item: Object) -> Object:
    """An object without what changes at every write."""
    metadata = {
        key: value
        for key, value in item["metadata"].items()
        if key not in ("resourceVersion", "managedFields", "generation")
    }
    return {**item, "metadata": metadata}


def _specified(item: Object) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key not in ("metadata", "status")}
