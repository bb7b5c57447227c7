"""What the end-to-end tests share: the real command line, kubectl, and clusters in a known state."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from lab import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

CONTEXTS = ("kt", "ncloud", "nhn")
CLUSTER_IDS = {"kt": "kt-k2p", "ncloud": "ncloud-nks", "nhn": "nhn-nks"}
SYSTEM = "istio-system"
GATEWAY = "deployment/istio-ingressgateway"
_MARKER = "ISTIO_MC_E2E_RUN"


def environment(**more: str) -> dict[str, str]:
    """This process's environment, with the lab's programs first on PATH."""
    path = f"{settings.BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    kept = {name: value for name, value in os.environ.items() if name not in ("ISTIO_MC_CONFIG", "NO_COLOR")}
    return {**kept, **settings.past_proxies(), "PATH": path, "KUBECONFIG": LAB_KUBECONFIG, **more}


REQUIRED_CILIUM_SETTINGS = {"bpf-lb-sock-hostns-only": "true", "cni-exclusive": "false"}
"""What a mesh needs of Cilium's settings."""

_CILIUM = settings.find("ncloud").address
LAB_KUBECONFIG = os.pathsep.join(str(cluster.kubeconfig) for cluster in settings.CLUSTERS)


def command(*argv: str | Path, timeout_s: float = 60.0, stdin: str | None = None, check: bool = True) -> str:
    """Runs a program of the lab's on the lab's clusters; its standard output."""
    done = subprocess.run(
        [str(part) for part in argv],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env=environment(),
        check=False,
    )
    if check and done.returncode:
        raise AssertionError(f"{' '.join(map(str, argv))}: exit code {done.returncode}: {done.stderr}")
    return done.stdout


def kubectl(context: str, *arguments: str, timeout_s: float = 60.0, stdin: str | None = None) -> str:
    """kubectl on one of the lab's clusters."""
    return command("kubectl", "--context", context, *arguments, timeout_s=timeout_s, stdin=stdin)


def get(context: str, *arguments: str, namespace: str | None = SYSTEM) -> Any:  # noqa: ANN401 - whatever it is
    """`kubectl get … -o json`; None where there is no such object."""
    where = ["-n", namespace] if namespace else []
    out = kubectl(context, "get", *arguments, *where, "--ignore-not-found", "-o", "json")
    return json.loads(out) if out.strip() else None


def each(work: Callable[[str], Any], contexts: Iterable[str] = CONTEXTS) -> dict[str, Any]:
    """The same for several clusters at once."""
    contexts = tuple(contexts)
    with ThreadPoolExecutor(len(contexts)) as pool:
        return dict(zip(contexts, pool.map(work, contexts), strict=True))


@dataclass(frozen=True)
class Result:
    """What one run of istio-mc left."""

    arguments: tuple[str, ...]
    code: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def json(self) -> dict[str, Any]:
        """The envelope: standard output as a whole, for nothing else may stand there."""
        document: dict[str, Any] = json.loads(self.stdout)
        assert document["schemaVersion"] == 2
        assert document.keys() == {"schemaVersion", "command", "status", "data", "messages", "errors"}
        return document

    @property
    def data(self) -> dict[str, Any]:
        """The envelope's data."""
        data: dict[str, Any] = self.json["data"]
        return data

    def exits(self, code: int) -> Result:
        """This result, if that is its exit code."""
        assert self.code == code, f"istio-mc {' '.join(self.arguments)}: exit code {self.code}\n{self}"
        return self

    def __str__(self) -> str:
        return f"after {self.seconds:.1f} s\n--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"


@dataclass
class Running:
    """A run of istio-mc that has not ended yet."""

    arguments: tuple[str, ...]
    process: subprocess.Popen[str]
    marker: str
    begun: float = field(default_factory=time.monotonic)
    stderr: list[str] = field(default_factory=list)
    stdout: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lines: queue.Queue[str | None] = queue.Queue()
        reads = (self._read_stderr, self._read_stdout)
        self._readers = [threading.Thread(target=read, daemon=True) for read in reads]
        for reader in self._readers:
            reader.start()

    def _read_stderr(self) -> None:
        assert self.process.stderr
        with self.process.stderr as lines:
            for line in lines:
                self.stderr.append(line)
                self._lines.put(line)
        self._lines.put(None)

    def _read_stdout(self) -> None:
        assert self.process.stdout
        with self.process.stdout as lines:
            self.stdout.extend(lines)

    def until(self, pattern: str, timeout_s: float = 60.0) -> str:
        """Waits for a line of progress; the line."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                self.kill()
                raise AssertionError(
                    f"no line {pattern!r} within {timeout_s:.0f} s:\n{''.join(self.stderr)}"
                ) from None
            if line is None:
                raise AssertionError(f"ended without a line {pattern!r}:\n{''.join(self.stderr)}")
            if re.search(pattern, line):
                return line

    def kill(self) -> None:
        """SIGKILL to istio-mc, and to nothing it has started."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)
        for reader in self._readers:
            reader.join(5)

    def wait(self, timeout_s: float) -> Result:
        """Its result, once it has ended."""
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(
                f"istio-mc {' '.join(self.arguments)} had not ended after {timeout_s:.0f} s:\n"
                + "".join(self.stderr)
            ) from None
        for reader in self._readers:
            reader.join(5)
        seconds = time.monotonic() - self.begun
        return Result(self.arguments, code, "".join(self.stdout), "".join(self.stderr), seconds)

    def left_behind(self) -> list[str]:
        """Command lines of what it has started and what still runs."""
        return [line for _, line in marked(self.marker)]


def marked(marker: str) -> list[tuple[int, str]]:
    """Process id and command line of everything a run has started and what still runs."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if f"{_MARKER}={marker}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                argv = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
                if argv:
                    found.append((int(folder.name), argv))
        except OSError:
            continue
    return found


@dataclass(frozen=True)
class Site:
    """A folder istio-mc is run from: mesh.yaml, the CA's certs beside it, and a kubeconfig list."""

    folder: Path
    kubeconfig: str = LAB_KUBECONFIG

    @staticmethod
    def at(
        folder: Path,
        *,
        kubeconfig: str = LAB_KUBECONFIG,
        certs: Path | None = None,
        istio: str = "",
        **edits: object,
    ) -> Site:
        """A site with the lab's mesh.yaml; keys of `edits` replace its own, None removes them.

        `istio` names another version than the lab's own, of those that it has.
        """
        folder.mkdir(parents=True, exist_ok=True)
        home = settings.istio_home(istio) if istio else settings.STATE
        document = yaml.safe_load((home / "mesh.yaml").read_text(encoding="utf-8")) | edits
        if istio:
            document["tools"] = {"binDir": str(home / "bin")}
        document["certsDir"] = str(certs or folder / "certs")
        text = yaml.safe_dump({key: value for key, value in document.items() if value is not None})
        (folder / "mesh.yaml").write_text(text, encoding="utf-8")
        return Site(folder, kubeconfig)

    @property
    def settings(self) -> dict[str, Any]:
        """What its mesh.yaml says."""
        document: dict[str, Any] = yaml.safe_load((self.folder / "mesh.yaml").read_text(encoding="utf-8"))
        return document

    @property
    def certs(self) -> Path:
        """Where its CA lies."""
        return Path(self.settings["certsDir"])

    @property
    def root(self) -> str | None:
        """SHA-256 of its root certificate, in hex; None where there is none."""
        path = self.certs / "root-cert.pem"
        return fingerprint(path.read_bytes()) if path.exists() else None

    def start(self, *arguments: str, **env: str) -> Running:
        """Starts istio-mc here, as a user would."""
        marker = uuid.uuid4().hex
        process = subprocess.Popen(  # Running waits for it
            [sys.executable, "-m", "istio_mc", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=environment(**{"KUBECONFIG": self.kubeconfig, _MARKER: marker, **env}),
        )
        return Running(arguments, process, marker)

    def run(self, *arguments: str, timeout_s: float = 150.0, **env: str) -> Result:
        """Runs istio-mc here to its end."""
        return self.start(*arguments, **env).wait(timeout_s)


def fingerprint(pem: bytes) -> str:
    """SHA-256 of the first certificate of a PEM bundle, in hex."""
    return hashlib.sha256(x509.load_pem_x509_certificates(pem)[0].public_bytes(Encoding.DER)).hexdigest()


def secret(context: str, name: str) -> dict[str, bytes] | None:
    """A Secret's data, decoded."""
    found = get(context, "secret", name)
    return {k: base64.b64decode(v) for k, v in found["data"].items()} if found else None


def live_root(context: str) -> str | None:
    """Fingerprint of the root a cluster's Secret cacerts holds."""
    found = secret(context, "cacerts")
    return fingerprint(found["root-cert.pem"]) if found else None


def clean(contexts: Iterable[str] = CONTEXTS) -> None:
    """Removes every trace of Istio, the sample, the Gateway API and add-ons from clusters, all at once.

    (When the product's own `uninstall` is there, it will do this.)
    """
    each(_clean, contexts)


MANAGED = "app.kubernetes.io/managed-by=istio-mc"
_OF_ADDONS = (
    "validatingwebhookconfiguration,apiservice,deployment,daemonset,service,serviceaccount,role,rolebinding,"
    "clusterrole,clusterrolebinding,namespace,crd"
)
"""Kinds that add-ons consist of, in the order in which they go."""


def _clean(context: str) -> None:
    listed = kubectl(
        context,
        "get",
        "crd,clusterrole,clusterrolebinding,mutatingwebhookconfiguration,validatingwebhookconfiguration,namespace,"
        "validatingadmissionpolicy,validatingadmissionpolicybinding",
        "-o",
        "name",
    ).split()
    istios = [name for name in listed if re.search(r"istio|gateway\.networking\.k8s\.io|/sample$", name)]
    namespaces = [name for name in istios if name.startswith("namespace/")]
    # Webhooks first: without istiod they would refuse what follows. CRDs last: a namespace goes slowly while
    # kinds go that it may hold. The policies of a newer Gateway API refuse the CRDs of an older one.
    for part in ("webhook", "admissionpolicy", "namespace/", "role", "customresourcedefinition"):
        names = [name for name in istios if part in name.partition("/")[0] + "/"]
        if names:
            kubectl(context, "delete", *names, "--ignore-not-found", "--wait=false")
        if part == "namespace/":
            for namespace in namespaces:
                where = ("-n", namespace.partition("/")[2])
                kubectl(
                    context, "delete", "pods", "--all", *where, "--force", "--grace-period=0", "--wait=false"
                )
        if part == "role" and namespaces:
            kubectl(context, "wait", "--for=delete", *namespaces, "--timeout=60s", timeout_s=70)
        if part == "customresourcedefinition" and names:
            kubectl(context, "wait", "--for=delete", *names, "--timeout=60s", timeout_s=70)
    kubectl(context, "delete", "configmap", "-A", "-l", "istio.io/config=true", "--ignore-not-found")
    kubectl(
        context,
        "delete",
        _OF_ADDONS,
        "-A",
        "-l",
        MANAGED,
        "--ignore-not-found",
        "--timeout=60s",
        timeout_s=70,
    )


Snapshot = dict[str, tuple[str, ...]]

# What changes by itself in a mesh at rest: leases and events are heartbeats, and so are the ConfigMaps by
# which istiods elect their leader; an HPA writes into its status what it cannot measure; metrics are made up
# at each reading.
_RESTLESS = re.compile(r"^(leases\.|events|horizontalpodautoscalers\.|.*\.metrics\.k8s\.io)")
_LEADER = "control-plane.alpha.kubernetes.io/leader"
_CLUSTER_WIDE = (
    "namespaces,customresourcedefinitions,clusterroles,clusterrolebindings,"
    "mutatingwebhookconfigurations,validatingwebhookconfigurations"
)


def snapshot(context: str) -> Snapshot:
    """Every object of istio-system and every cluster-wide one of Istio's: uid, resourceVersion, restarts."""
    kinds = kubectl(context, "api-resources", "--verbs=list", "--namespaced", "-o", "name").split()
    still = ",".join(sorted(kind for kind in kinds if not _RESTLESS.match(kind)))
    items = get(context, still)["items"]
    wide = get(context, _CLUSTER_WIDE, namespace=None)["items"]
    items += [item for item in wide if re.search(r"istio|gateway\.networking", item["metadata"]["name"])]
    items = [item for item in items if _LEADER not in (item["metadata"].get("annotations") or {})]
    found = {_name(item): _state(item) for item in items}
    hpas = get(context, "horizontalpodautoscalers")["items"]
    return found | {_name(item): (item["metadata"]["uid"], json.dumps(item["spec"])) for item in hpas}


def snapshots() -> dict[str, Snapshot]:
    """Of all three clusters."""
    return each(snapshot)


def changed(before: Snapshot, after: Snapshot) -> set[str]:
    """Names of what was made, changed or removed."""
    return {name for name in before | after if before.get(name) != after.get(name)}


def _name(item: Mapping[str, Any]) -> str:
    return f"{item['kind']} {item['metadata']['name']}"


def _state(item: Mapping[str, Any]) -> tuple[str, ...]:
    metadata = item["metadata"]
    statuses = (item.get("status") or {}).get("containerStatuses") or [] if item["kind"] == "Pod" else []
    return (metadata["uid"], metadata["resourceVersion"], *(str(s["restartCount"]) for s in statuses))


def rolled_out(context: str, deployment: str = GATEWAY, namespace: str = SYSTEM) -> None:
    """Waits until a Deployment is, and the pods it replaced are gone."""
    kubectl(context, "rollout", "status", deployment, "-n", namespace, "--timeout=60s", timeout_s=70)

    def no_pod_terminates() -> bool:
        pods = get(context, "pods", namespace=namespace)["items"]
        return not any(pod["metadata"].get("deletionTimestamp") for pod in pods)

    soon(no_pod_terminates, f"the replaced pods of {context} are gone", 60)


def cilium_running() -> dict[str, str] | None:
    """What ncloud's Cilium agent runs with, by its own account; None where none answers."""
    try:
        with urllib.request.urlopen(f"http://{_CILIUM}:9879/config", timeout=2) as answer:
            found: dict[str, str] = json.load(answer)
            return found
    except OSError:
        return None


def restart_cilium() -> None:
    """Has ncloud's Cilium agents read their settings anew, in a later second than these were written."""
    where = ("-n", "kube-system")
    time.sleep(1.1)  # Agents begun in the second of the change are not taken for newer ones.
    kubectl("ncloud", "rollout", "restart", "daemonset/cilium", *where)
    kubectl("ncloud", "rollout", "status", "daemonset/cilium", *where, "--timeout=60s", timeout_s=70)


def set_cilium() -> None:
    """Gives ncloud's Cilium what a mesh needs of it: its lack is an error to verify."""
    live = get("ncloud", "configmap", "cilium-config", namespace="kube-system")["data"]
    where = ("-n", "kube-system")
    if not REQUIRED_CILIUM_SETTINGS.items() <= live.items():
        body = json.dumps({"data": REQUIRED_CILIUM_SETTINGS})
        kubectl("ncloud", "patch", "configmap", "cilium-config", *where, "--type=merge", "-p", body)
    elif REQUIRED_CILIUM_SETTINGS.items() <= (cilium_running() or {}).items():
        return
    restart_cilium()


def soon(true: Callable[[], bool], what: str, timeout_s: float = 20.0) -> None:
    """Waits until something is true."""
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(0.5)


def gone(context: str, what: str, selector: str, namespace: str = SYSTEM) -> None:
    """Waits until nothing of a kind with such labels is left."""
    where = ("-l", selector, "-n", namespace)
    kubectl(context, "wait", "--for=delete", what, *where, "--timeout=60s", timeout_s=70)


def merged_kubeconfig() -> dict[str, Any]:
    """The lab's three kubeconfig files as one document."""
    merged: dict[str, Any] = {"apiVersion": "v1", "kind": "Config"}
    for cluster in settings.CLUSTERS:
        document = yaml.safe_load(cluster.kubeconfig.read_text(encoding="utf-8"))
        for key in ("clusters", "users", "contexts"):
            merged[key] = merged.get(key, []) + document[key]
    return merged


def write_kubeconfig(path: Path, document: Mapping[str, Any]) -> str:
    """Writes one; its path, as KUBECONFIG has it."""
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    path.chmod(0o600)
    return str(path)
