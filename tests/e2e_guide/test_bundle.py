"""What is handed on, a page and an archive, of real clusters: whole, and without any secret of theirs."""

from __future__ import annotations

import base64
import json
import re
import stat
import textwrap
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from istio_mc.domain.redaction.redactor import encoded_forms
from lab import settings
from lab.images import BUSYBOX
from tests.e2e.harness import CONTEXTS, SYSTEM, Site, command, get, kubectl, secret, soon
from tests.support.bundles import contents

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD = "Sesame-open-7-for-nobody"  # noqa: S105 - planted, to be looked for
OPAQUE = "nobody-knows-this-by-its-shape"
READER = "istio-reader-service-account-istio-remote-secret-token"


def base64_of(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def forms(text: str) -> dict[str, str]:
    """A secret as people and programs come to write it."""
    return {
        "plain": text,
        "base64": base64_of(text),
        "base64-twice": base64_of(base64_of(text)),
        "base64-wrapped": textwrap.fill(base64_of(text), 76),
        "escaped": json.dumps({"message": text}),
        "escaped-twice": json.dumps(json.dumps({"message": text})),
        "kubeconfig": yaml.safe_dump(
            {"users": [{"name": "me", "user": {"client-key-data": base64_of(text)}}]}
        ),
    }


@pytest.fixture(scope="module")
def key() -> str:
    """A private key of nobody."""
    made = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    return made.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    ).decode()


@pytest.fixture(scope="module")
def token(whole: Site) -> str:
    """A real token: with it every Secret of kt is read."""
    assert whole
    found = secret("kt", READER)
    assert found
    return found["token"].decode()


@pytest.fixture(scope="module")
def planted(whole: Site, key: str, token: str) -> Iterator[Site]:
    """The mesh, with secrets in nhn's ConfigMaps, environments, annotations and logs."""
    written = {
        f"{name}-{form}": text
        for name, value in (("key", key), ("jwt", token))
        for form, text in forms(value).items()
    }
    written["database"] = f"host: db\npassword: {PASSWORD}\nurl: postgres://me:{PASSWORD}@db/x\n"
    manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}}
    written["manifest"] = yaml.safe_dump(manifest | {"stringData": {"x": PASSWORD}})
    written["applied"] = json.dumps({"log": json.dumps(manifest | {"data": {"x": base64_of(PASSWORD)}})})
    written["script"] = f"curl https://db.test/?sig={PASSWORD} --token {PASSWORD}"
    written["lists"] = f"tokens: [{PASSWORD}]\npasswords:\n- {PASSWORD}\n"
    written["headers"] = f"'x-api-key', '{PASSWORD}'\n'cookie', 'session={PASSWORD}'\n"
    written["address"] = f"cloning https://{PASSWORD}@git.test/x"
    env = [{"name": f"PLANTED_{number}", "value": text} for number, text in enumerate(written.values())]
    env += [{"name": "DB_PASSWORD", "value": PASSWORD}, {"name": "HARMLESS", "value": "stays"}]
    echo_all = 'for n in $(seq 0 99); do eval "echo \\"\\$PLANTED_$n\\""; done'
    script = f"echo begun; {echo_all}; echo $OPAQUE; echo ended; sleep 3600"
    container = {
        "name": "istio-proxy",
        "image": BUSYBOX,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", script],
        "env": [*env, {"name": "OPAQUE", "valueFrom": {"secretKeyRef": {"name": "planted", "key": "x"}}}],
    }
    labels = {"app": "planted", "sidecar.istio.io/inject": "false"}
    metadata = {"name": "planted", "namespace": SYSTEM}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata | {"labels": labels},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": written}
    opaque = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"x": OPAQUE}}
    documents = yaml.safe_dump_all([config, opaque, pod])
    kubectl("nhn", "apply", "-f", "-", stdin=documents)

    def has_ended() -> bool:
        log = command("kubectl", "--context", "nhn", "logs", "planted", "-n", SYSTEM, check=False)
        return "ended" in log

    try:
        soon(has_ended, "the planted pod has written its log", 60)
        yield whole
    finally:
        kubectl("nhn", "delete", "pod,configmap,secret", "planted", "-n", SYSTEM, "--wait=false")


@pytest.fixture(scope="module")
def bundle(planted: Site) -> dict[str, str]:
    path = planted.folder / "b.tar.gz"
    path.unlink(missing_ok=True)
    planted.run("bundle", "-f", path.name).exits(0)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return contents(path)


def squeezed(text: str) -> str:
    return re.sub(r"\s|\\+[nrt]|[\\\"']", "", text)


def lines_of(pem: str, public: str = "") -> list[str]:
    """The lines of a private key; not those of its public half, which its certificate has too."""
    shown = squeezed(public)  # where the lines of both break is chance
    return [line for line in pem.splitlines() if "-----" not in line and len(line) > 40 and line not in shown]


def real_secrets(site: Site) -> dict[str, list[str]]:
    """Every key and token there is in the mesh and in this run's kubeconfig."""
    found: dict[str, list[str]] = {}
    for context in CONTEXTS:
        cacerts, reader = secret(context, "cacerts"), secret(context, READER)
        assert cacerts
        assert reader
        found[f"{context}: CA"] = lines_of(cacerts["ca-key.pem"].decode(), cacerts["ca-cert.pem"].decode())
        found[f"{context}: reader"] = [reader["token"].decode().rpartition(".")[2]]
    root = (site.certs / "root-cert.pem").read_text()
    found["root CA"] = lines_of((site.certs / "root-ca.key").read_text(), root)
    for cluster in settings.CLUSTERS:
        user: dict[str, Any] = yaml.safe_load(cluster.kubeconfig.read_text())["users"][0]["user"]
        own, shown = (
            base64.b64decode(user[f"client-{half}-data"]).decode() for half in ("key", "certificate")
        )
        found[f"kubeconfig {cluster.name}"] = lines_of(own, shown)
    return found


def test_no_secret_comes_out_in_any_form(planted: Site, bundle: dict[str, str], key: str, token: str) -> None:
    desired = real_secrets(planted)
    desired["planted key"] = lines_of(key)
    desired["planted token"] = token.split(".")[1:]
    desired["password"], desired["opaque"] = [PASSWORD], [OPAQUE]
    everything = squeezed("\n".join(bundle.values()))

    assert all(len(parts) > 10 for name, parts in desired.items() if "CA" in name or "key" in name)
    come_out = {
        name
        for name, parts in desired.items()
        for part in parts
        for form in {part, *encoded_forms(part)}
        if form in everything
    }
    assert come_out == set()


def test_what_is_no_secret_is_there(bundle: dict[str, str]) -> None:
    nhn = "clusters/nhn"
    log = bundle[f"{nhn}/{SYSTEM}/logs/planted/istio-proxy.log"]
    assert log.startswith("begun\n")
    assert log.rstrip().endswith("ended")
    pods = list(yaml.safe_load_all(bundle[f"{nhn}/{SYSTEM}/pods.yaml"]))
    (pod,) = [pod for pod in pods if pod["metadata"]["name"] == "planted"]
    env = {entry["name"]: entry.get("value") for entry in pod["spec"]["containers"][0]["env"]}
    assert env["HARMLESS"] == "stays"
    assert env["DB_PASSWORD"] == "[redacted: password]"  # noqa: S105 - what stands in its place
    for context in CONTEXTS:
        root = get(context, "configmap", "istio-ca-root-cert")["data"]["root-cert.pem"]
        given = yaml.safe_load_all(bundle[f"clusters/{context}/{SYSTEM}/configmaps.yaml"])
        assert root in [(item.get("data") or {}).get("root-cert.pem") for item in given]


def test_each_cluster_has_what_a_ticket_needs(bundle: dict[str, str]) -> None:
    for context in CONTEXTS:
        folder = f"clusters/{context}/"
        paths = [path.removeprefix(folder) for path in bundle if path.startswith(folder)]
        for pattern in (
            r"version\.txt",
            rf"{SYSTEM}/(events|deployments|services|secrets|configmaps)\.yaml",
            rf"{SYSTEM}/logs/istiod-.*/discovery\.log",
            rf"{SYSTEM}/logs/istio-ingressgateway-.*/istio-proxy\.log",
            r"cluster/(mutatingwebhookconfigurations|nodes|namespaces)\.yaml",
            r"configuration/networking\.istio\.io/gateways\.yaml",
            r"istiod/istiod-.*/(syncz|networkz|mesh|endpointShardz)\.json",
            r"istiod/istiod-.*/metrics",
            r"gateway/istio-ingressgateway-.*/(certs|config_dump|listeners)\.json",
        ):
            assert [path for path in paths if re.fullmatch(pattern, path)], (context, pattern)


def test_logs_of_istiod_lose_nothing(bundle: dict[str, str]) -> None:
    for path, text in bundle.items():
        if path.endswith("/discovery.log"):
            assert "[redacted" not in text


def test_the_index_counts_what_was_taken_out(bundle: dict[str, str]) -> None:
    index = json.loads(bundle["index.json"])

    assert {"private key", "known secret", "password", "value of a Secret"} <= set(index["redactions"])
    assert all(cluster["reachable"] for cluster in index["clusters"])
    assert [entry for cluster in index["clusters"] for entry in cluster["missing"]] == []
