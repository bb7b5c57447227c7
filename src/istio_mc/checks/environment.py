"""Environment checks: requirements on clusters, permissions, other tools, merged Services."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from istio_mc.checks.model import Check, Facts, Finding, Observation, Scope, Severity, Target
from istio_mc.domain import cilium
from istio_mc.domain.hint import Advice, istio_mc, kubectl
from istio_mc.domain.istio import releases
from istio_mc.domain.istio.choice import INSTALLED
from istio_mc.domain.istio.operator import istio_operator
from istio_mc.domain.istio.releases import end_of_life_problem, kubernetes_problem, until
from istio_mc.domain.istio.services import merged
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import annotations_of, labels_of
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.observed import BUNDLE_VERSION, HELM_RELEASE, uses_istio_cni
from istio_mc.domain.problem import Code, Problem
from istio_mc.domain.text import few

if TYPE_CHECKING:
    from collections.abc import Callable

    from istio_mc.domain.istio.services import MergedService
    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.observed import Surroundings

_IMAGES = frozenset({"amd64", "arm64"})

_MOST_DENIED = 6


def _of(check: Callable[[Facts, str, Surroundings], Finding]) -> Callable[[Facts, Target], Finding]:
    """A check function on a cluster's surroundings; it passes if they were not read."""

    def evaluate(facts: Facts, target: Target) -> Finding:
        name = str(target.cluster)
        surroundings = facts.surroundings.get(name)
        return check(facts, name, surroundings) if surroundings else Finding("not read")

    return evaluate


def _kubernetes(facts: Facts, target: Target) -> Finding:
    server = facts.observed[str(target.cluster)].version
    problem = kubernetes_problem(facts.releases, facts.mesh.version, server)
    if problem is None:  # END_OF_LIFE reports a release that the table lacks, once for the mesh
        return Finding(f"{server} with Istio {facts.mesh.version}")
    hint = Advice(
        "set istio.version in mesh.yaml to a version that supports every cluster: ", istio_mc("tools", "list")
    )
    return Finding(server, replace(problem, hint=hint))


def _end_of_life(facts: Facts, _target: Target) -> Finding:
    version = facts.mesh.version
    release = facts.releases.release(version)
    problem = end_of_life_problem(facts.releases, version, facts.today)
    if release is None:
        return Finding(f"Istio {version} is not in the table of releases", problem)
    if facts.today is None:
        return Finding("not read")
    return Finding(until(facts.releases, release), problem)


def _storage(_facts: Facts, _name: str, surroundings: Surroundings) -> Finding:
    default = [one for one, is_default in surroundings.storage_classes.items() if is_default]
    if default:
        return Finding(", ".join(default))
    problem = Problem(
        code=Code.NO_DEFAULT_STORAGE_CLASS,
        message="no default StorageClass: a PersistentVolumeClaim without a class stays Pending",
        seen=", ".join(surroundings.storage_classes) or "no StorageClass",
        expected="one StorageClass marked as default",
        hint=Advice("mark one: ", istio_mc("addons", "default-storage", "CONTEXT=NAME")),
    )
    return Finding(str(problem.seen), problem)


def _metrics(_facts: Facts, _name: str, surroundings: Surroundings) -> Finding:
    if surroundings.metrics:
        return Finding("")
    seen = "not registered" if surroundings.metrics is None else "registered, but not available"
    problem = Problem(
        code=Code.NO_METRICS,
        message="Metrics API is not available: the gateway's HPA does not scale",
        seen=seen,
        expected="v1beta1.metrics.k8s.io, available",
        hint=Advice(
            istio_mc("addons", "install", "metrics-server"),
            "; with --insecure-kubelet-tls if kubelets have self-signed certificates",
        ),
    )
    return Finding(seen, problem)


def _architecture(_facts: Facts, name: str, surroundings: Surroundings) -> Finding:
    seen = ", ".join(f"{count} {one}" for one, count in surroundings.architectures.items())
    foreign = sorted(set(surroundings.architectures) - _IMAGES)
    if not foreign:
        return Finding(seen or "no node without a taint")
    problem = Problem(
        code=Code.ARCHITECTURE,
        message="some nodes have an architecture without Istio images",
        seen=seen,
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
    return Finding(seen, problem)


def _cilium(facts: Facts, name: str, surroundings: Surroundings) -> Finding:
    if surroundings.cilium is None:
        return Finding("no Cilium")
    values = istio_operator(facts.mesh, facts.clusters[name])["spec"]["values"]
    istio_cni = surroundings.istio_cni or uses_istio_cni(values)
    needs = cilium.needs(surroundings.cilium, istio_cni=istio_cni)
    wrong = [need for need in needs if not need.is_met]
    if not needs:
        return Finding("no socket load balancing, no Istio CNI plugin")
    if not wrong:
        return Finding("")
    problem = Problem(
        code=Code.CILIUM_SETTINGS,
        message="Cilium settings are not compatible with Istio",
        seen="; ".join(
            f"{need.key}: {surroundings.cilium.get(need.key) or 'absent'} ({need.why})" for need in wrong
        ),
        expected=", ".join(f"{need.key}: {need.desired}" for need in wrong),
        hint=istio_mc("cilium", "fix", "--yes", contexts=[name]),
    )
    return Finding(", ".join(need.key for need in wrong), problem)


def _calico(_facts: Facts, name: str, surroundings: Surroundings) -> Finding:
    calico = surroundings.calico
    if calico is None:
        return Finding("no Calico")
    if not calico.bypasses_sidecars:
        unread = "no permission to read its FelixConfiguration"
        return (
            Finding(str(calico) or "not in eBPF mode") if calico.is_known else Finding(unread, unknown=True)
        )
    patch = '{"spec":{"bpfConnectTimeLoadBalancing":"Disabled"}}'
    problem = Problem(
        code=Code.CALICO_SETTINGS,
        message="Calico selects the backend pod of a Service before the sidecar sees the request",
        seen=str(calico),
        expected="bpfConnectTimeLoadBalancing: Disabled",
        hint=Advice(
            "before Calico 3.27: bpfConnectTimeLoadBalancingEnabled: false; since 3.27: ",
            kubectl(name, "patch", "felixconfiguration", "default", "--type=merge", "-p", patch),
        ),
    )
    return Finding(str(calico), problem)


def _rights(_facts: Facts, name: str, surroundings: Surroundings) -> Finding:
    if not surroundings.denied:
        return Finding("")
    problem = Problem(
        code=Code.RIGHTS_MISSING,
        message="user lacks permissions for an install",
        seen=f"denied: {few(surroundings.denied, _MOST_DENIED, '; ')}",
        expected="the permissions of cluster-admin for the install",
        hint=Advice(kubectl(name, "auth", "can-i", "--list")),
    )
    return Finding(f"{len(surroundings.denied)} missing", problem)


def _owner(facts: Facts, _name: str, surroundings: Surroundings) -> Finding:
    revision = facts.mesh.revision or "default"
    seen = ", ".join(str(plane) for plane in surroundings.control_planes) or "no Istio yet"
    if surroundings.ambient:
        return Finding(seen, _managed("ztunnel is running: ambient mode"))
    same = [plane for plane in surroundings.control_planes if plane.revision == revision]
    if foreign := [plane for plane in same if plane.manager != "istioctl"]:
        return Finding(seen, _managed(f"{foreign[0]} is managed by {foreign[0].manager}"))
    if elsewhere := [plane for plane in same if plane.namespace != SYSTEM_NAMESPACE]:
        return Finding(seen, _managed(f"{elsewhere[0]} has the revision of this mesh"))
    return Finding(seen)


def _managed(seen: str) -> Problem:
    return Problem(
        code=Code.MANAGED_BY_OTHERS,
        message="Istio in this cluster is managed by another tool",
        seen=seen,
        expected="no control plane of this revision, or one that istioctl installed in istio-system: "
        "two tools revert each other's changes",
        hint=Advice("set another istio.revision in mesh.yaml, or exclude this cluster"),
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
            message="Istio CRDs are managed by Helm and may have another version",
            seen=few(of_helm, 3),
            expected=f"CRDs of Istio {facts.mesh.version}",
            hint=Advice(
                f"an install writes the CRDs of {facts.mesh.version}; make sure that Helm does not revert "
                "them"
            ),
        )
        return Finding(f"{len(of_helm)} CRDs managed by Helm", problem)
    newer = sorted(
        {version for crd in crds if releases.is_newer(version := _set_by(crd), facts.mesh.version)}
    )
    if newer:
        problem = Problem(
            code=Code.CRDS_NEWER,
            message=f"Istio CRDs are newer than those of Istio {facts.mesh.version}",
            seen=", ".join(newer),
            expected=f"CRDs of Istio {facts.mesh.version} or older",
            hint=Advice(
                "set istio.version in mesh.yaml to that version, or make sure that no one uses their new "
                "fields"
            ),
        )
        return Finding(", ".join(newer), problem)
    return Finding("")


def _set_by(crd: Object) -> str:
    """The version of the istioctl that wrote a CRD (label since 1.26.0); empty if unknown."""
    return labels_of(crd).get(INSTALLED, "")


def _gateway_api(facts: Facts, target: Target) -> Finding:
    crd = facts.observed[str(target.cluster)].find(objects.CRD, objects.GATEWAY_API_SIGN)
    if crd is None:
        return Finding("not installed yet")
    version = annotations_of(crd).get(BUNDLE_VERSION, "version unknown")
    if any(one["name"] == "v1" and one.get("served") for one in crd["spec"]["versions"]):
        return Finding(str(version))
    problem = Problem(
        code=Code.GATEWAY_API_OLD,
        message="Gateway API CRDs are too old for Istio; istio-mc does not change them",
        seen=str(version),
        expected="v1.0.0 or newer, which serves v1",
        hint=Advice("update them with the tool that installed them"),
    )
    return Finding(str(version), problem)


_check = partial(Check, severity=Severity.WARNING, reads=(Observation.SURROUNDINGS,))


PRESETS = (
    _check(
        id="versions.kubernetes",
        title="Kubernetes version",
        passes="Istio supports this Kubernetes version",
        evaluate=_kubernetes,
        looks_at="the API server's version, and the table of Istio's releases",
        usual_cause="only Kubernetes or only Istio was upgraded",
        fix="set `istio.version` in mesh.yaml to a version that supports every cluster: "
        f"`{istio_mc('tools', 'list')}`",
        docs="troubleshooting.md#versions-kubernetes",
    ),
    _check(
        id="versions.end-of-life",
        title="Istio support period",
        passes="Istio release is supported upstream",
        evaluate=_end_of_life,
        looks_at="the same table, and the current date",
        usual_cause="the minor version has reached its end of life",
        fix=f"set `istio.version` in mesh.yaml to a supported version: `{istio_mc('tools', 'list')}` "
        "lists them",
        docs="troubleshooting.md#versions-end-of-life",
        scope=Scope.MESH,
        needs=(),
    ),
    _check(
        id="nodes.architecture",
        title="node architectures",
        passes="Istio has images for all nodes",
        evaluate=_of(_architecture),
        looks_at="the architectures of the nodes without a taint for Istio's pods",
        usual_cause="a node pool with another architecture",
        fix="taint those nodes",
        docs="troubleshooting.md#nodes-architecture",
    ),
    _check(
        id="storage.default",
        title="default StorageClass",
        passes="default StorageClass exists",
        evaluate=_of(_storage),
        looks_at="the StorageClasses",
        usual_cause="no StorageClass is marked as default",
        fix=f"`{istio_mc('addons', 'default-storage', 'CONTEXT=NAME')}` marks one",
        docs="troubleshooting.md#storage-default",
    ),
    _check(
        id="metrics.available",
        title="Metrics API",
        passes="Metrics API is available",
        evaluate=_of(_metrics),
        looks_at="the APIService of the Metrics API",
        usual_cause="Metrics Server is not installed, or does not trust the kubelets",
        fix=f"`{istio_mc('addons', 'install', 'metrics-server')}`",
        docs="troubleshooting.md#metrics-available",
    ),
    _check(
        id="cni.cilium",
        title="Cilium settings",
        passes="Cilium settings are compatible with Istio",
        evaluate=_of(_cilium),
        looks_at="the ConfigMap `cilium-config`",
        usual_cause="Cilium's defaults bypass sidecars",
        fix=f"`{istio_mc('cilium', 'fix')}`",
        docs="troubleshooting.md#cni-cilium",
    ),
    _check(
        id="cni.calico",
        title="Calico settings",
        passes="Calico settings are compatible with Istio",
        evaluate=_of(_calico),
        looks_at="the FelixConfiguration `default` and the environment of DaemonSet `calico-node`",
        usual_cause="Calico's eBPF mode load-balances connections before the sidecar",
        fix="set `bpfConnectTimeLoadBalancing: Disabled` in the FelixConfiguration",
        docs="troubleshooting.md#cni-calico",
    ),
)
"""Checks of `install`, where a failure is a warning, and of `verify`."""

IN_A_MESH = tuple(
    # Istio installs with incompatible CNI settings, but then requests bypass the sidecars.
    replace(check, severity=Severity.ERROR) if check.topic == "cni" else check
    for check in PRESETS
)
"""The same checks as `verify` runs them."""

BEFORE_AN_INSTALL = (
    _check(
        id="rights.enough",
        title="install permissions",
        passes="user has all permissions for an install",
        severity=Severity.ERROR,
        evaluate=_of(_rights),
        looks_at="the permissions of this user for each request of an install",
        usual_cause="the user of the kubeconfig has too few permissions",
        fix="use a user with the permissions of cluster-admin for the install",
        docs="troubleshooting.md#rights-enough",
    ),
    _check(
        id="ownership.ours",
        title="owner of Istio",
        passes="Istio is not managed by another tool",
        severity=Severity.ERROR,
        evaluate=_of(_owner),
        looks_at="the istiods of all namespaces, and the tool that manages them",
        usual_cause="Helm or the Sail operator manages Istio in this cluster",
        fix="set another `istio.revision`, or exclude the cluster",
        docs="troubleshooting.md#ownership-ours",
    ),
    _check(
        id="ownership.crds",
        title="owner of Istio CRDs",
        passes="Istio CRDs are not managed by another tool and not newer",
        evaluate=_crds,
        looks_at="annotations and labels of Istio's CRDs",
        usual_cause="they were installed by Helm or by a newer istioctl",
        fix="make sure that Helm does not revert them; set `istio.version` to the newer version",
        docs="troubleshooting.md#ownership-crds",
    ),
    _check(
        id="ownership.gateway-api",
        title="Gateway API CRDs",
        passes="Istio supports the installed Gateway API CRDs",
        evaluate=_gateway_api,
        looks_at="the versions that the Gateway API's CRDs serve",
        usual_cause="they are older than v1.0.0; istio-mc does not change installed CRDs",
        fix="update them with the tool that installed them",
        docs="troubleshooting.md#ownership-gateway-api",
    ),
)
"""Checks of `install` only."""


_SHOWN = 5


def _make_equal(service: MergedService) -> Advice:
    command = kubectl(service.odd_cluster, "-n", service.namespace, "edit", "service", service.name)
    if len(set(service.ports.values())) > 1:
        return Advice(
            "rename one if they are different services, or use the same ports and port names: ", command
        )
    return Advice("rename one if they are different services, or use the same labels: ", command)


def _agree(facts: Facts, _target: Target) -> Finding:
    services = merged(facts.services)
    odd = [one for one in services if not one.agrees]
    if not odd:
        spread = sum(one.spreads for one in services)
        return Finding(f"{len(services)} in more than one cluster, {spread} with endpoints")
    problem = Problem(
        code=Code.SERVICES_DISAGREE,
        message="Services merged across clusters have different ports or labels",
        seen=few((f"{one} ({one.disagreement})" for one in odd), _SHOWN, "; "),
        expected="the same ports and labels in all clusters, or different names",
        hint=_make_equal(odd[0]),
    )
    return Finding(f"{len(odd)} of {len(services)} differ", problem)


SERVICES = (
    Check(
        id="services.agree",
        title="merged Services",
        passes="merged Services have the same ports and labels",
        looks_at="Services with the same name and namespace and endpoints in several clusters",
        usual_cause="two teams use the same name for different services",
        fix="rename one, or keep it in its cluster (`clusterLocal`)",
        severity=Severity.WARNING,
        scope=Scope.MESH,
        evaluate=_agree,
        reads=(Observation.SERVICES,),
        docs="troubleshooting.md#services-disagree",
    ),
)
