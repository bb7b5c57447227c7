"""What a mesh needs of its clusters: the presets of the guide, rights, other managers, equal Services."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from istio_mc.checks.access import REACHABLE
from istio_mc.checks.model import Check, Facts, Finding, Observation, Scope, Severity, Target
from istio_mc.domain import cilium
from istio_mc.domain.codes import Code
from istio_mc.domain.hint import Advice, istio_mc, kubectl
from istio_mc.domain.istio import releases
from istio_mc.domain.istio.operator import istio_operator
from istio_mc.domain.istio.releases import end_of_life_problem, kubernetes_problem, until
from istio_mc.domain.istio.services import merged
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import annotations_of, labels_of
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.observed import BUNDLE_VERSION, HELM_RELEASE, uses_istio_cni
from istio_mc.domain.problem import Problem
from istio_mc.domain.text import few

if TYPE_CHECKING:
    from collections.abc import Callable

    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.observed import Surroundings

_AS_DEFAULT = '{"metadata":{"annotations":{"storageclass.kubernetes.io/is-default-class":"true"}}}'
_IMAGES = frozenset({"amd64", "arm64"})

_MOST_DENIED = 6


def _of(look: Callable[[Facts, str, Surroundings], Finding]) -> Callable[[Facts, Target], Finding]:
    """A check of a cluster's surroundings; where they were not read, there is nothing to say."""

    def ask(facts: Facts, target: Target) -> Finding:
        name = str(target.cluster)
        found = facts.surroundings.get(name)
        return look(facts, name, found) if found else Finding("not looked at")

    return ask


def _kubernetes(facts: Facts, target: Target) -> Finding:
    server = facts.observed[str(target.cluster)].version
    problem = kubernetes_problem(facts.releases, facts.mesh.version, server)
    if problem is None:  # a release that the table lacks is reported once for the mesh
        return Finding(f"{server} with Istio {facts.mesh.version}")
    hint = Advice(
        "set istio.version in mesh.yaml to one that fits every cluster: ", istio_mc("tools", "list")
    )
    return Finding(server, replace(problem, hint=hint))


def _end_of_life(facts: Facts, _target: Target) -> Finding:
    version = facts.mesh.version
    release = facts.releases.release(version)
    problem = end_of_life_problem(facts.releases, version, facts.today)
    if release is None:
        return Finding(f"Istio {version} is not in the table of releases", problem)
    if facts.today is None:
        return Finding("not looked at")
    return Finding(until(facts.releases, release), problem)


def _storage(_facts: Facts, _name: str, found: Surroundings) -> Finding:
    default = [one for one, is_default in found.storage_classes.items() if is_default]
    if default:
        return Finding(", ".join(default))
    problem = Problem(
        code=Code.NO_DEFAULT_STORAGE_CLASS,
        message="there is no default StorageClass: a volume claim that names none stays pending",
        seen=", ".join(found.storage_classes) or "no StorageClass at all",
        expected="one marked as default",
        hint=Advice(kubectl("CONTEXT", "patch", "storageclass", "NAME", "-p", _AS_DEFAULT)),
    )
    return Finding("none", problem)


def _metrics(_facts: Facts, _name: str, found: Surroundings) -> Finding:
    if found.metrics:
        return Finding("available")
    seen = "not registered" if found.metrics is None else "registered, and not available"
    problem = Problem(
        code=Code.NO_METRICS,
        message="there is no Metrics API: the gateway's HPA reads <unknown> and does not scale",
        seen=seen,
        expected="v1beta1.metrics.k8s.io, available",
        hint=Advice("install Metrics Server, with --kubelet-insecure-tls where kubelets sign for themselves"),
    )
    return Finding(seen, problem)


def _architecture(_facts: Facts, name: str, found: Surroundings) -> Finding:
    told = ", ".join(f"{count} {one}" for one, count in found.architectures.items())
    foreign = sorted(set(found.architectures) - _IMAGES)
    if not foreign:
        return Finding(told or "no node without a taint")
    problem = Problem(
        code=Code.ARCHITECTURE,
        message="Istio has no images for some nodes",
        seen=told,
        expected="amd64 or arm64",
        hint=kubectl(
            name,
            "taint",
            "nodes",
            "-l",
            f"kubernetes.io/arch in ({','.join(foreign)})",
            "arch=other:NoSchedule",
            "--overwrite",
        ),
    )
    return Finding(told, problem)


def _cilium(facts: Facts, name: str, found: Surroundings) -> Finding:
    if found.cilium is None:
        return Finding("no Cilium")
    values = istio_operator(facts.mesh, facts.clusters[name])["spec"]["values"]
    istio_cni = found.istio_cni or uses_istio_cni(values)
    needs = cilium.needs(found.cilium, istio_cni=istio_cni)
    wrong = [need for need in needs if not need.is_met]
    if not needs:
        return Finding("no setting matters here: no socket load balancing, no CNI plugin of Istio's")
    if not wrong:
        return Finding("as Istio needs them")
    problem = Problem(
        code=Code.CILIUM_SETTINGS,
        message="Cilium is not set as a mesh needs it",
        seen="; ".join(
            f"{need.key}: {found.cilium.get(need.key) or 'absent'}, and {need.why}" for need in wrong
        ),
        expected=", ".join(f"{need.key}: {need.wanted}" for need in wrong),
        hint=istio_mc("cilium", "fix", "--yes", contexts=[name]),
    )
    return Finding("not as Istio needs them", problem)


def _calico(_facts: Facts, name: str, found: Surroundings) -> Finding:
    calico = found.calico
    if calico is None:
        return Finding("no Calico")
    if not calico.bypasses_sidecars:
        unread = "its FelixConfiguration may not be read"
        return (
            Finding(str(calico) or "not in eBPF mode") if calico.is_known else Finding(unread, unknown=True)
        )
    patch = '{"spec":{"bpfConnectTimeLoadBalancing":"Disabled"}}'
    problem = Problem(
        code=Code.CALICO_SETTINGS,
        message="Calico chooses the pod behind a Service before the sidecar sees the call",
        seen=str(calico),
        expected="bpfConnectTimeLoadBalancing: Disabled",
        hint=Advice(
            "before Calico 3.27 it is bpfConnectTimeLoadBalancingEnabled: false; from then on: ",
            kubectl(name, "patch", "felixconfiguration", "default", "--type=merge", "-p", patch),
        ),
    )
    return Finding(str(calico), problem)


def _rights(_facts: Facts, name: str, found: Surroundings) -> Finding:
    if not found.denied:
        return Finding("enough")
    problem = Problem(
        code=Code.RIGHTS_MISSING,
        message="this user may not do what an install does",
        seen=f"may not: {few(found.denied, _MOST_DENIED, '; ')}",
        expected="the rights of cluster-admin for the install",
        hint=Advice(kubectl(name, "auth", "can-i", "--list")),
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
        code=Code.MANAGED_BY_OTHERS,
        message="Istio in this cluster is managed by other means, and two managers would undo each other",
        seen=seen,
        expected="no control plane of this revision but one that istioctl installed in istio-system",
        hint=Advice("set another istio.revision in mesh.yaml, or leave this cluster to its manager"),
    )


def _crds(facts: Facts, target: Target) -> Finding:
    crds = [
        crd
        for crd in facts.observed[str(target.cluster)].of(objects.CRD)
        if crd["metadata"]["name"].endswith(".istio.io")
    ]
    of_helm = sorted(crd["metadata"]["name"] for crd in crds if HELM_RELEASE in annotations_of(crd))
    if of_helm:
        problem = Problem(
            code=Code.CRDS_OF_OTHERS,
            message="Istio's CRDs were installed by Helm, and may be of another version",
            seen=few(of_helm, 3),
            expected=f"CRDs of Istio {facts.mesh.version}",
            hint=Advice(
                f"an install sets those of {facts.mesh.version}; see that Helm does not set them back"
            ),
        )
        return Finding(f"{len(of_helm)} of Helm", problem)
    newer = sorted({found for crd in crds if releases.is_newer(found := _set_by(crd), facts.mesh.version)})
    if newer:
        problem = Problem(
            code=Code.CRDS_NEWER,
            message=f"Istio's CRDs are newer than those an install of {facts.mesh.version} writes",
            seen=", ".join(newer),
            expected=f"CRDs of Istio {facts.mesh.version}, or older",
            hint=Advice(
                "set istio.version in mesh.yaml to that one, or see that nobody needs what is new in them"
            ),
        )
        return Finding(f"of {', '.join(newer)}", problem)
    return Finding("none of others")


def _set_by(crd: Object) -> str:
    """The version of the istioctl that wrote a CRD (label of 1.26.0's); empty where it does not tell."""
    return labels_of(crd).get("operator.istio.io/version", "")


def _gateway_api(facts: Facts, target: Target) -> Finding:
    crd = facts.observed[str(target.cluster)].find(objects.CRD, objects.GATEWAY_API_SIGN)
    if crd is None:
        return Finding("not there yet")
    version = annotations_of(crd).get(BUNDLE_VERSION, "of no version it tells")
    if any(one["name"] == "v1" and one.get("served") for one in crd["spec"]["versions"]):
        return Finding(str(version))
    problem = Problem(
        code=Code.GATEWAY_API_OLD,
        message="the Gateway API's CRDs are older than Istio reads them, and are left as they are",
        seen=str(version),
        expected="v1.0.0 or newer, which serves version v1",
        hint=Advice(
            "have them brought up to date by who installed them; istio-mc leaves those that are there"
        ),
    )
    return Finding(str(version), problem)


def _check(
    check_id: str,
    title: str,
    severity: Severity,
    ask: Callable[[Facts, Target], Finding],
    scope: Scope = Scope.CLUSTER,
    *,
    looks_at: str,
    usual_cause: str,
    fix: str,
) -> Check:
    return Check(
        id=check_id,
        topic=check_id.partition(".")[0],
        title=title,
        looks_at=looks_at,
        usual_cause=usual_cause,
        fix=fix,
        severity=severity,
        scope=scope,
        ask=ask,
        needs=(REACHABLE,) if scope is Scope.CLUSTER else (),
        reads=(Observation.SURROUNDINGS,),
        docs=f"troubleshooting.md#{check_id.replace('.', '-')}",
    )


_WARNING, _ERROR = Severity.WARNING, Severity.ERROR

PRESETS = (
    _check(
        "versions.kubernetes",
        "Istio is made for the server's Kubernetes version",
        _WARNING,
        _kubernetes,
        looks_at="the API server's version, and the table of Istio's releases",
        usual_cause="the cluster was upgraded before Istio, or the other way round",
        fix=f"set `istio.version` in mesh.yaml to one that fits every cluster: `{istio_mc('tools', 'list')}`",
    ),
    _check(
        "versions.end-of-life",
        "this Istio release is supported upstream",
        _WARNING,
        _end_of_life,
        Scope.MESH,
        looks_at="the same table, and the day",
        usual_cause="time went on",
        fix=f"set `istio.version` in mesh.yaml to a supported one: `{istio_mc('tools', 'list')}` shows them",
    ),
    _check(
        "nodes.architecture",
        "Istio has images for every node",
        _WARNING,
        _of(_architecture),
        looks_at="the architectures of the nodes that have no taint against Istio's pods",
        usual_cause="a node pool of another architecture",
        fix="taint those nodes",
    ),
    _check(
        "storage.default",
        "there is a default StorageClass",
        _WARNING,
        _of(_storage),
        looks_at="the StorageClasses",
        usual_cause="none is marked as the default",
        fix="mark one",
    ),
    _check(
        "metrics.available",
        "the Metrics API answers, so that the HPA can scale",
        _WARNING,
        _of(_metrics),
        looks_at="the APIService of the Metrics API",
        usual_cause="Metrics Server is not installed, or does not trust the kubelets",
        fix="install Metrics Server",
    ),
    _check(
        "cni.cilium",
        "Cilium, where it is the CNI, is set as a mesh needs it",
        _WARNING,
        _of(_cilium),
        looks_at="the ConfigMap `cilium-config`",
        usual_cause="Cilium's defaults stand in the way of sidecars",
        fix=f"`{istio_mc('cilium', 'fix')}`",
    ),
    _check(
        "cni.calico",
        "Calico, where it is the CNI, leaves calls to the sidecars",
        _WARNING,
        _of(_calico),
        looks_at="the FelixConfiguration `default` and the environment of DaemonSet `calico-node`",
        usual_cause="Calico's eBPF mode balances connections when a pod connects, past its sidecar",
        fix="set `bpfConnectTimeLoadBalancing: Disabled` in the FelixConfiguration",
    ),
)
"""Asked before an install, where none of them stands in its way, and by verify."""

IN_A_MESH = tuple(
    # A mesh does install over a CNI plugin that is set otherwise; then calls pass the sidecars by.
    replace(check, severity=_ERROR) if check.topic == "cni" else check
    for check in PRESETS
)
"""The presets as verify judges them."""

BEFORE_AN_INSTALL = (
    _check(
        "rights.enough",
        "this user may do what an install does",
        _ERROR,
        _of(_rights),
        looks_at="whether this user may do each thing that an install does",
        usual_cause="the kubeconfig is of a user with few rights",
        fix="use one with the rights of cluster-admin for the install",
    ),
    _check(
        "ownership.ours",
        "no other manager governs Istio here",
        _ERROR,
        _of(_owner),
        looks_at="istiods of any namespace, and who made them",
        usual_cause="Helm or the Sail operator governs Istio here",
        fix="set another `istio.revision`, or leave the cluster to its manager",
    ),
    _check(
        "ownership.crds",
        "Istio's CRDs are of no other version",
        _WARNING,
        _crds,
        looks_at="annotations and labels of Istio's CRDs",
        usual_cause="Helm installed them, perhaps of another version; or a newer istioctl did",
        fix="see that Helm does not set them back; set `istio.version` to the newer one",
    ),
    _check(
        "ownership.gateway-api",
        "the Gateway API's CRDs are such as Istio reads",
        _WARNING,
        _gateway_api,
        looks_at="the versions that the Gateway API's CRDs serve",
        usual_cause="they are of before v1.0.0; istio-mc leaves CRDs that are there as they are",
        fix="have them brought up to date by who installed them",
    ),
)
"""Asked before an install only."""


_SHOWN = 5


def _agree(facts: Facts, _target: Target) -> Finding:
    found = merged(facts.services)
    odd = [one for one in found if not one.agrees]
    if not odd:
        spread = sum(one.spreads for one in found)
        return Finding(f"{len(found)} in more than one cluster, {spread} with endpoints there")
    problem = Problem(
        code=Code.SERVICES_DISAGREE,
        message="Services of one name and namespace differ between clusters, and the mesh makes one of them: "
        "a call may reach a cluster where it is offered otherwise",
        seen=few((f"{one} ({one.disagreement})" for one in odd), _SHOWN, "; "),
        expected="the same ports and labels, or other names",
        hint=Advice(
            "make them alike, or rename one, or keep it in its cluster: serviceSettings with "
            "clusterLocal: true in meshConfig"
        ),
    )
    return Finding(f"{len(odd)} of {len(found)} differ", problem)


SERVICES = (
    Check(
        id="services.agree",
        topic="services",
        title="Services that the mesh makes one of have the same ports and labels everywhere",
        looks_at="the Services of equal name and namespace that have endpoints in several clusters",
        usual_cause="two teams use one name for two things",
        fix="rename one, or keep it in its cluster",
        severity=Severity.WARNING,
        scope=Scope.MESH,
        ask=_agree,
        reads=(Observation.SERVICES,),
        needs=(REACHABLE,),
        docs="troubleshooting.md#services-disagree",
    ),
)
