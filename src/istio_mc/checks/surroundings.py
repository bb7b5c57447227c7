"""What a mesh needs of its clusters: the presets of the guide, looked at before the first change."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from istio_mc.checks.access import REACHABLE
from istio_mc.checks.model import Check, Facts, Finding, Observation, Scope, Severity, Target
from istio_mc.domain import cilium, support
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.problem import Problem
from istio_mc.domain.support import Support

if TYPE_CHECKING:
    from collections.abc import Callable

    from istio_mc.domain.surroundings import Surroundings

_IMAGES = frozenset({"amd64", "arm64"})


def _of(look: Callable[[Facts, str, Surroundings], Finding]) -> Callable[[Facts, Target], Finding]:
    """A check of a cluster's surroundings; where they were not read, there is nothing to say."""

    def ask(facts: Facts, target: Target) -> Finding:
        name = str(target.cluster)
        found = facts.surroundings.get(name)
        return look(facts, name, found) if found else Finding("not looked at")

    return ask


def _kubernetes(facts: Facts, target: Target) -> Finding:
    server = facts.observed[str(target.cluster)].version
    release = support.istio_release(facts.mesh.version)
    fits = support.kubernetes_support(facts.mesh.version, server)
    if fits is Support.SUPPORTED or release is None:
        return Finding(f"{server} with Istio {facts.mesh.version}")
    problem = Problem(
        code=str(fits),
        message=f"Istio {facts.mesh.version} is not made for this Kubernetes",
        seen=server,
        expected=f"{support.shown(release.oldest)} to {support.shown(release.newest)}",
        hint="set istio.version in mesh.yaml to one that fits every cluster: istio-mc tools list",
    )
    return Finding(server, problem)


def _end_of_life(facts: Facts, _target: Target) -> Finding:
    release = support.istio_release(facts.mesh.version)
    if release is None:
        return Finding(f"Istio {facts.mesh.version} is in no table known here")
    if facts.today is None:
        return Finding("not looked at")
    until = f"{release.end_of_life:%Y-%m-%d}"
    if not release.ended(facts.today):
        return Finding(f"until {until}")
    problem = Problem(
        code="istio-end-of-life",
        message=f"Istio {facts.mesh.version} is past its end of life",
        seen=f"supported until {until}",
        expected="a release that upstream still mends",
        hint="set istio.version in mesh.yaml to a newer one",
    )
    return Finding(f"ended {until}", problem)


def _storage(_facts: Facts, _name: str, found: Surroundings) -> Finding:
    default = [name for name, is_default in found.storage_classes.items() if is_default]
    if default:
        return Finding(", ".join(default))
    problem = Problem(
        code="no-default-storage-class",
        message="there is no default StorageClass: a volume claim that names none stays pending",
        seen=", ".join(found.storage_classes) or "no StorageClass at all",
        expected="one marked as default",
        hint="kubectl patch storageclass NAME -p "
        '\'{"metadata":{"annotations":{"storageclass.kubernetes.io/is-default-class":"true"}}}\'',
    )
    return Finding("none", problem)


def _metrics(_facts: Facts, _name: str, found: Surroundings) -> Finding:
    if found.metrics:
        return Finding("available")
    seen = "not registered" if found.metrics is None else "registered, and not available"
    problem = Problem(
        code="no-metrics",
        message="there is no Metrics API: the gateway's HPA reads <unknown> and does not scale",
        seen=seen,
        expected="v1beta1.metrics.k8s.io, available",
        hint="install Metrics Server, with --kubelet-insecure-tls where kubelets sign for themselves",
    )
    return Finding(seen, problem)


def _architecture(_facts: Facts, _name: str, found: Surroundings) -> Finding:
    told = ", ".join(f"{count} {name}" for name, count in found.architectures.items())
    foreign = sorted(set(found.architectures) - _IMAGES)
    if not foreign:
        return Finding(told)
    problem = Problem(
        code="architecture",
        message="Istio has no images for some nodes",
        seen=told,
        expected="amd64 or arm64",
        hint="kubectl taint nodes -l kubernetes.io/arch=" + foreign[0] + " arch=other:NoSchedule",
    )
    return Finding(told, problem)


def _cilium(_facts: Facts, name: str, found: Surroundings) -> Finding:
    if found.cilium is None:
        return Finding("no Cilium")
    wanted = cilium.wanted()
    wrong = {key: found.cilium.get(key) for key, want in wanted.items() if found.cilium.get(key) != want}
    if not wrong:
        return Finding("as Istio needs them")
    problem = Problem(
        code="cilium-settings",
        message="Cilium is not set as a mesh needs it",
        seen=", ".join(f"{key}: {value or 'absent'}" for key, value in wrong.items()),
        expected=", ".join(f"{key}: {wanted[key]}" for key in wrong),
        hint=f"istio-mc cilium fix --yes --contexts {name}",
    )
    return Finding("not as Istio needs them", problem)


def _rights(_facts: Facts, _name: str, found: Surroundings) -> Finding:
    if not found.denied:
        return Finding("enough")
    shown = 6
    told = "; ".join(found.denied[:shown])
    more = f" and {len(found.denied) - shown} more" if len(found.denied) > shown else ""
    problem = Problem(
        code="rights-missing",
        message="this user may not do what an install does",
        seen=f"may not: {told}{more}",
        expected="the rights of cluster-admin for the install",
        hint="kubectl auth can-i --list",
    )
    return Finding(f"{len(found.denied)} missing", problem)


def _owner(facts: Facts, _name: str, found: Surroundings) -> Finding:
    revision = facts.mesh.revision or "default"
    told = ", ".join(str(plane) for plane in found.control_planes) or "no Istio yet"
    if found.ambient:
        return Finding(told, _managed("ztunnel runs: this mesh is in ambient mode"))
    same = [plane for plane in found.control_planes if plane.revision == revision]
    if foreign := [plane for plane in same if plane.manager != "istioctl"]:
        return Finding(told, _managed(f"{foreign[0]} is managed by {foreign[0].manager}"))
    if elsewhere := [plane for plane in same if plane.namespace != SYSTEM_NAMESPACE]:
        return Finding(told, _managed(f"{elsewhere[0]} has the revision this mesh would take"))
    return Finding(told)


def _managed(seen: str) -> Problem:
    return Problem(
        code="managed-by-others",
        message="Istio in this cluster is managed by other means, and two managers would undo each other",
        seen=seen,
        expected="no control plane of this revision but one that istioctl installed in istio-system",
        hint="set another istio.revision in mesh.yaml, or leave this cluster to its manager",
    )


def _crds(facts: Facts, target: Target) -> Finding:
    observed = facts.observed[str(target.cluster)]
    strangers = sorted(
        crd["metadata"]["name"]
        for crd in observed.objects.values()
        if crd["kind"] == "CustomResourceDefinition"
        and crd["metadata"]["name"].endswith(".istio.io")
        and (crd["metadata"].get("annotations") or {}).get("meta.helm.sh/release-name")
    )
    if not strangers:
        return Finding("none of others")
    problem = Problem(
        code="crds-of-others",
        message="Istio's CRDs were installed by Helm, and may be of another version",
        seen=", ".join(strangers[:3]) + (" …" if len(strangers) > 3 else ""),  # noqa: PLR2004 - a few names
        expected=f"CRDs of Istio {facts.mesh.version}",
        hint=f"istioctl install sets those of {facts.mesh.version}; see that Helm does not set them back",
    )
    return Finding(f"{len(strangers)} of Helm", problem)


def _check(
    check_id: str,
    description: str,
    severity: Severity,
    ask: Callable[[Facts, Target], Finding],
    scope: Scope = Scope.CLUSTER,
) -> Check:
    topic = check_id.partition(".")[0]
    needs = (REACHABLE,) if scope is Scope.CLUSTER else ()
    docs = f"troubleshooting.md#{check_id.replace('.', '-')}"
    reads = (Observation.SURROUNDINGS,)
    return Check(check_id, topic, description, severity, scope, ask, needs, reads=reads, docs=docs)


_WARNING, _ERROR = Severity.WARNING, Severity.ERROR

PRESETS = (
    _check("versions.kubernetes", "Istio is made for the server's Kubernetes version", _WARNING, _kubernetes),
    _check("versions.end-of-life", "upstream still mends this Istio", _WARNING, _end_of_life, Scope.MESH),
    _check("nodes.architecture", "Istio has images for every node", _WARNING, _of(_architecture)),
    _check("storage.default", "there is a default StorageClass", _WARNING, _of(_storage)),
    _check(
        "metrics.available", "the Metrics API answers, so that the HPA can scale", _WARNING, _of(_metrics)
    ),
    _check("cni.cilium", "Cilium, where it is the CNI, is set as a mesh needs it", _WARNING, _of(_cilium)),
)
"""Asked before an install, where none of them stands in its way, and by verify."""

IN_A_MESH = tuple(
    # A mesh does install over a Cilium that is set otherwise; then calls pass the sidecars by.
    replace(check, severity=_ERROR) if check.id == "cni.cilium" else check
    for check in PRESETS
)
"""The presets as verify judges them."""

BEFORE_AN_INSTALL = (
    _check("rights.enough", "this user may do what an install does", _ERROR, _of(_rights)),
    _check("ownership.ours", "no other manager governs Istio here", _ERROR, _of(_owner)),
    _check("ownership.crds", "Istio's CRDs are of no other version", _WARNING, _crds),
)
"""Asked before an install only."""
