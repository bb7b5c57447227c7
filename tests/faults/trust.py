"""Faults of trust: what clusters sign with, what proxies hold, what API servers believe of istiod."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING

from istio_mc.domain.pki.cacerts import CaCerts
from istio_mc.domain.pki.certificates import (
    Authority,
    KeySpec,
    KeyType,
    load_signer,
    new_intermediate,
    new_root,
)
from istio_mc.domain.pki.pem import NamedPem, dump_certificates
from lab import node
from tests.e2e.harness import (
    CLUSTER_IDS,
    CONTEXTS,
    GATEWAY,
    SYSTEM,
    each,
    fingerprint,
    get,
    kubectl,
    soon,
)
from tests.e2e.trust import trusted_roots
from tests.faults.harness import Fault, fault, of, until_well

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cryptography.x509 import Certificate

    from tests.e2e.harness import Site

_EC = KeySpec(KeyType.EC, 256)
_ISTIOD = "deployment/istiod"
_TAG = "istio-revision-tag-default"
_XDS = "15012"


def _restart(context: str) -> None:
    """What istiod is given it may take only when it starts."""
    kubectl(context, "rollout", "restart", _ISTIOD, "-n", SYSTEM)


def _stored(site: Site, context: str) -> CaCerts:
    """What the site's folder has for a cluster."""
    folder = site.certs / CLUSTER_IDS[context]
    names = ("ca-cert.pem", "ca-key.pem", "cert-chain.pem", "root-cert.pem")
    cert, key, chain, root = ((folder / name).read_bytes() for name in names)
    return CaCerts(ca_cert=cert, ca_key=key, cert_chain=chain, root_cert=root)


def _root(site: Site) -> Authority:
    certificate = NamedPem("root", (site.certs / "root-cert.pem").read_bytes())
    key = NamedPem("key", (site.certs / "root-ca.key").read_bytes())
    return load_signer(certificate, datetime.now(UTC), root_key=key)


def _issued(site: Site, context: str, begins: datetime, lasts: timedelta) -> CaCerts:
    """Another CA for a cluster, under the mesh's own root."""
    made = new_intermediate(_root(site), CLUSTER_IDS[context], begins, key=_EC, validity=lasts)
    return CaCerts.from_authority(made)


def _put(context: str, data: Mapping[str, str]) -> None:
    found = get(context, "secret", "cacerts")
    metadata = {
        key: found["metadata"][key]
        for key in ("name", "namespace", "labels", "annotations")
        if key in found["metadata"]
    }
    body = {"apiVersion": "v1", "kind": "Secret", "type": found["type"], "metadata": metadata, "data": data}
    kubectl(context, "replace", "-f", "-", stdin=json.dumps(body))


def _take(context: str, ca: CaCerts) -> None:
    """An istiod that runs takes another CA, as it does by itself once its kubelet has written the files.

    A kubelet looks after a pod's Secrets each minute or so, and at once where the pod changes.
    """
    _put(context, ca.secret_data())
    pods = [pod["metadata"] for pod in get(context, "pods", "-l", "app=istiod")["items"]]
    (pod,) = [metadata for metadata in pods if "deletionTimestamp" not in metadata]
    folder = f"/var/lib/kubelet/pods/{pod['uid']}/volumes/kubernetes.io~secret/cacerts"
    inside = _inside(context)
    round_of = count()

    def written() -> bool:
        changed = f"looked={next(round_of)}"
        kubectl(context, "annotate", "pod", pod["name"], "-n", SYSTEM, changed, "--overwrite")
        found = inside.run(["cat", f"{folder}/ca-cert.pem", f"{folder}/root-cert.pem"])
        return found.stdout.encode() == ca.ca_cert + ca.root_cert

    soon(written, f"the files of istiod of {context} are as its Secret cacerts", 30)


def _given(context: str, make: Callable[[Site, str], CaCerts]) -> Callable[[Site], None]:
    """A cluster gets another CA, and its istiod starts with it, or fails to."""

    def give(site: Site) -> None:
        _put(context, make(site, context).secret_data())
        _restart(context)

    return give


def _without(context: str, key: str) -> Callable[[Site], None]:
    def take(site: Site) -> None:
        data = _stored(site, context).secret_data()
        del data[key]
        _put(context, data)
        _restart(context)

    return take


def _mismatch(site: Site, context: str) -> CaCerts:
    other = next(name for name in CONTEXTS if name != context)
    return replace(_stored(site, context), ca_key=_stored(site, other).ca_key)


def _expired(site: Site, context: str) -> CaCerts:
    begins = _root(site).certificate.not_valid_before_utc + timedelta(minutes=5)
    return _issued(site, context, begins, timedelta(seconds=1))


def _not_yet_valid(site: Site, context: str) -> CaCerts:
    return _issued(site, context, datetime.now(UTC) + timedelta(hours=3), timedelta(days=365))


def _other_root(_site: Site, context: str) -> CaCerts:
    """As an install with another folder makes it: no step of an exchange, in which both roots are taken."""
    now = datetime.now(UTC)
    made = new_intermediate(new_root(now, key=_EC), CLUSTER_IDS[context], now, key=_EC)
    return CaCerts.from_authority(made)


def _stale_ca_bundle(_site: Site) -> None:
    """Whoever wrote ncloud's webhooks left istiod's label out, and filled in a root of some time before."""
    other = dump_certificates([new_root(datetime.now(UTC), key=_EC).certificate])
    kubectl("ncloud", "label", "mutatingwebhookconfiguration", _TAG, "istio.io/rev-")
    found = get("ncloud", "mutatingwebhookconfiguration", _TAG, namespace=None)
    changes = [
        {
            "op": "replace",
            "path": f"/webhooks/{place}/clientConfig/caBundle",
            "value": base64.b64encode(other).decode(),
        }
        for place in range(len(found["webhooks"]))
    ]
    kubectl("ncloud", "patch", "mutatingwebhookconfiguration", _TAG, "--type=json", "-p", json.dumps(changes))


def _inside(context: str) -> node.Inside:
    pid = node.find_init(context)
    assert pid is not None
    return node.Inside(pid)


def _cut_off_from_istiod() -> None:
    """The proxy of the client in nhn hears nothing of istiod any more."""
    (pod,) = get("nhn", "pods", "-l", "app=sleep", namespace="sample")["items"]
    rule = ("PREROUTING", "-s", pod["status"]["podIP"], "-p", "tcp", "--dport", _XDS, "-j", "DROP")
    _inside("nhn").run(["iptables", "-w", "-t", "raw", "-I", *rule])


def _old_root(site: Site) -> None:
    """A rotation of the root misses a proxy: all clusters trust two roots, kt signs under the new one.

    kt signs under it only once its proxies trust it: one that connects to istiod again in between would
    reject istiod's certificate, and never get the new root.
    """
    _cut_off_from_istiod()
    now = datetime.now(UTC)
    new = new_root(now, key=_EC)
    old = _root(site).certificate
    both = dump_certificates([old, new.certificate])

    each(lambda context: _take(context, replace(_stored(site, context), root_cert=both)))
    _proxies_trust("kt", old, new.certificate)
    signs = CaCerts.from_authority(new_intermediate(new, CLUSTER_IDS["kt"], now, key=_EC))
    _take("kt", replace(signs, root_cert=both))


def _proxies_trust(context: str, *roots: Certificate) -> None:
    expected = {fingerprint(dump_certificates([root])) for root in roots}
    pods = get(context, "pods", "-l", "service.istio.io/canonical-name", namespace="sample")["items"]
    proxies = [f"{pod['metadata']['name']}.sample" for pod in pods] + [f"{GATEWAY}.{SYSTEM}"]

    def all_trust() -> bool:
        return all(trusted_roots(context, proxy) >= expected for proxy in proxies)

    soon(all_trust, f"the proxies of {context} trust both roots: {', '.join(proxies)}", 60)


def _one_root_again(site: Site) -> None:
    """The rotation is reverted, and the network is whole."""
    for rule in _inside("nhn").run(["iptables", "-w", "-t", "raw", "-S", "PREROUTING"]).stdout.splitlines():
        if f"--dport {_XDS}" in rule:
            _inside("nhn").run(["iptables", "-w", "-t", "raw", "-D", *rule.split()[1:]])

    each(lambda context: _take(context, _stored(site, context)))
    until_well(site)


MISSING = fault(
    "cacerts missing",
    of("trust.cacerts", "kt"),
    make=lambda _: kubectl("kt", "delete", "secret", "cacerts", "-n", SYSTEM),
)
PARTIAL = fault("cacerts missing a key", of("trust.cacerts", "ncloud"), make=_without("ncloud", "ca-key.pem"))
MISMATCH = fault(
    "key and certificate that do not match", of("trust.cacerts", "nhn"), make=_given("nhn", _mismatch)
)
EXPIRED = fault("intermediate expired", of("trust.valid", "kt"), make=_given("kt", _expired))
NOT_YET_VALID = fault(
    "intermediate not yet valid", of("trust.valid", "nhn"), make=_given("nhn", _not_yet_valid)
)
STALE_BUNDLE = fault(
    "webhook with a stale caBundle", of("control-plane.webhooks", "ncloud"), make=_stale_ca_bundle
)
OTHER_ROOT = fault(
    "another root in one cluster", of("trust.one-root", "nhn"), make=_given("nhn", _other_root)
)
OLD_ROOT = fault(
    "proxy still on the old root", of("trust.proxies", "nhn"), make=_old_root, tidy=_one_root_again
)

ROUNDS: tuple[tuple[Fault, ...], ...] = (
    (MISSING, PARTIAL, MISMATCH),
    (EXPIRED, NOT_YET_VALID, STALE_BUNDLE),
    (OTHER_ROOT,),
    (OLD_ROOT,),
)
