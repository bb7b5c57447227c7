"""Which CA each cluster shall run under: one root for all, and no root ever replaced."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from istio_mc.domain import documents, objects, pem, plan
from istio_mc.domain.cacerts import ROOT_CERT, CaCerts
from istio_mc.domain.mesh import SYSTEM_NAMESPACE, Cluster
from istio_mc.domain.pem import NamedPem
from istio_mc.domain.plan import Step
from istio_mc.domain.problem import Problem, ProblemError
from istio_mc.ops import ca
from istio_mc.ops.ca_clusters import is_complete

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from istio_mc.domain.objects import Object
    from istio_mc.domain.observed import Observed
    from istio_mc.gateways.castore import CaStore


@dataclass(frozen=True, slots=True)
class Trust:
    """The mesh's root and the cacerts still to be written.

    Attributes:
        root_fingerprint: SHA-256 of the root certificate; None only in a dry run before there is one.
        created: Whether this run made the root.
        steps: The cacerts step of each cluster that needs one.
    """

    root_fingerprint: str | None
    created: bool
    steps: Mapping[str, Step] = field(repr=False)


def live_cacerts(context: str, observed: Observed) -> CaCerts | None:
    """The CA a cluster runs under as its Secret has it; None where there is no Secret.

    Raises:
        ProblemError: The Secret is not whole.
    """
    secret = observed.find(objects.SECRET, "cacerts")
    if secret is None:
        return None
    try:
        return CaCerts.from_secret_data(secret.get("data") or {})
    except ProblemError as error:
        raise ProblemError(*(problem.on(context) for problem in error.problems)) from None


def root_fingerprint(ca_certs: CaCerts) -> str:
    """SHA-256 of the first root of a bundle.

    Raises:
        ProblemError: It cannot be read.
    """
    return pem.fingerprint(pem.load_certificates(NamedPem(ROOT_CERT, ca_certs.root_cert))[0])


def decide(
    store: CaStore,
    clusters: Mapping[str, Cluster],
    observed: Mapping[str, Observed],
    options: ca.CaOptions,
    now: datetime,
    *,
    dry_run: bool = False,
) -> Trust:
    """Settles the CA of every cluster, making what is missing in the store.

    Where every cluster runs under one root already and the store holds nothing newer, the store is not
    needed at all: so a run from a machine without the keys changes nothing.

    Raises:
        ProblemError: Clusters run under different roots, or under one that is not the store's.
    """
    live = {name: live_cacerts(name, found) for name, found in observed.items()}
    roots = {name: root_fingerprint(found) for name, found in live.items() if found}
    stored = store.read()
    stored_root = _stored_root(store, stored.root_cert)
    if faults := _root_faults(store, roots, stored_root, all_live=None not in live.values()):
        raise ProblemError(*faults)
    needing = [
        name for name in observed if live[name] is None or clusters[name].cluster_id in stored.clusters
    ]
    if not needing:
        return Trust(next(iter(roots.values()), stored_root), created=False, steps={})
    if dry_run and not is_complete(stored, [clusters[name].cluster_id for name in needing]):
        steps = {name: _to_be_made(clusters[name]) for name in needing if live[name] is None}
        return Trust(stored_root, created=stored_root is None, steps=steps)
    made = ca.ensure(store, [clusters[name].cluster_id for name in needing], options, now)
    steps = {}
    for name in needing:
        wanted = made.ca_certs[clusters[name].cluster_id]
        if step := _step(wanted, live[name]):
            steps[name] = step
    created = made.init.outcome is ca.Outcome.CREATED
    return Trust(made.init.root.fingerprint, created=created, steps=steps)


def _step(wanted: CaCerts, live: CaCerts | None) -> Step | None:
    if live is None:
        reason = "Secret cacerts is missing"
    elif live.same_as(wanted):
        return None
    else:
        reason = "Secret cacerts holds another intermediate CA of the same root than the store"
    return Step(plan.CACERTS, (reason,), (documents.cacerts(wanted.secret_data()),))


def _to_be_made(cluster: Cluster) -> Step:
    """What a dry run says of a CA that it may not make."""
    document: Object = documents.cacerts({})
    return Step(
        plan.CACERTS,
        (f"Secret cacerts is missing; the CA of {cluster.cluster_id} would be made",),
        (document,),
    )


def _stored_root(store: CaStore, certificate: bytes | None) -> str | None:
    if certificate is None:
        return None
    return pem.fingerprint(pem.load_certificate(NamedPem(str(store.folder / ROOT_CERT), certificate)))


def _root_faults(
    store: CaStore, roots: Mapping[str, str], stored_root: str | None, *, all_live: bool
) -> list[Problem]:
    distinct = sorted(set(roots.values()))
    if len(distinct) > 1:
        return [
            Problem(
                code="roots-differ",
                message="the clusters run under different root CAs",
                seen="; ".join(f"{name}: {fingerprint}" for name, fingerprint in roots.items()),
                expected="one root everywhere",
                hint=f"kubectl --context CLUSTER -n {SYSTEM_NAMESPACE} get secret cacerts",
                docs="troubleshooting.md#roots-differ",
            )
        ]
    if not distinct:
        return []
    names = ", ".join(roots)
    if stored_root is None and not all_live:
        return [
            Problem(
                code="root-not-at-hand",
                message=f"{names} already run under a root CA that is not in {store.folder}",
                seen=f"root {distinct[0]}; no root in {store.folder}",
                expected="the root CA that the mesh already has",
                hint="name its folder with --certs-dir, or bring it in: istio-mc ca init --root-cert …",
                docs="troubleshooting.md#root-not-at-hand",
            )
        ]
    if stored_root is not None and stored_root != distinct[0]:
        return [
            Problem(
                code="root-is-another",
                message=f"{names} run under another root CA than the one in {store.folder}",
                seen=f"root {distinct[0]}",
                expected=f"root {stored_root}",
                hint="name the folder of the mesh's own CA with --certs-dir",
                docs="troubleshooting.md#root-is-another",
            )
        ]
    return []
