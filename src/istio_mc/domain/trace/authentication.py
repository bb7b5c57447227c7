"""The PeerAuthentications of a service: whether its pods accept mTLS, and whether nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from istio_mc.domain.hint import kubectl
from istio_mc.domain.kube.objects import labels_of
from istio_mc.domain.kube.policies import Policies
from istio_mc.domain.problem import Code, Problem
from istio_mc.domain.trace.matching import applies_to, ref
from istio_mc.domain.trace.model import OK, Outcome, Path, broken

if TYPE_CHECKING:
    from collections.abc import Sequence

    from istio_mc.domain.hint import Command
    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.trace.model import ClusterView


def only_mtls(path: Path) -> bool:
    """Whether the target's pods refuse plain text."""
    pods = [one.pod for one in path.called if one.pod and one.meshed]
    mode, _ = effective_mode(path.target, path.service.namespace, pods, path.target_port)
    return bool(pods) and mode == "STRICT"


def peer_authentication(path: Path) -> Outcome:
    """MTLS is not turned off for the pods; each istiod goes by the PeerAuthentications of its own cluster."""
    if not path.through_gateway:
        return OK
    pods = [one.pod for one in path.target.endpoints if one.pod]
    for view in dict.fromkeys((path.target.context, path.client.context)):
        of = path.target if view == path.target.context else path.client
        mode, policy = effective_mode(of, path.service.namespace, pods, path.target_port)
        if mode == "DISABLE" and policy:
            return broken(
                Problem(
                    code=Code.PEER_AUTHENTICATION_OFF,
                    cluster=of.context,
                    message=f"{of.context}: {ref(policy)} turns mTLS off for {path.service}",
                    seen="mtls mode DISABLE",
                    expected="PERMISSIVE or STRICT: calls from another network are mTLS",
                    hint=_permissive(of, policy, path.target_port),
                )
            )
    return OK


def _permissive(view: ClusterView, policy: Object, port: int | None) -> Command:
    metadata, spec = policy["metadata"], policy.get("spec") or {}
    of_port = str(port) in (spec.get("portLevelMtls") or {})
    accepts = {"mode": "PERMISSIVE"}
    patch = json.dumps({"spec": {"portLevelMtls": {str(port): accepts}} if of_port else {"mtls": accepts}})
    words = ("patch", "peerauthentication", metadata["name"], "--type", "merge", "-p", patch)
    return kubectl(view.context, "-n", metadata["namespace"], *words)


def effective_mode(
    view: ClusterView, namespace: str, pods: Sequence[Object], port: int | None
) -> tuple[str, Object | None]:
    """The mTLS mode that PeerAuthentications set, and the one that sets it.

    One with a selector counts before one of the namespace, and that before one of the root namespace; of
    equal ones the oldest counts (pilot/pkg/security/authn/policy_applier.go, Istio 1.26.0).
    """
    root, labels = view.root_namespace, [labels_of(pod) for pod in pods]
    by_rank: dict[int, list[Object]] = {}
    for one in Policies.of(view.config.peer_authentications).selecting((namespace, root), labels):
        has_selector = bool(((one.get("spec") or {}).get("selector") or {}).get("matchLabels"))
        of = one["metadata"]["namespace"]
        if of == namespace and has_selector and applies_to(one, namespace, namespace, pods):
            by_rank.setdefault(0, []).append(one)
        elif of == namespace and not has_selector:
            by_rank.setdefault(1, []).append(one)
        elif of == root and not has_selector:
            by_rank.setdefault(2, []).append(one)
    for rank in sorted(by_rank):
        oldest = min(by_rank[rank], key=lambda one: str(one["metadata"].get("creationTimestamp") or ""))
        spec = oldest.get("spec") or {}
        levels = [(spec.get("portLevelMtls") or {}).get(str(port)), spec.get("mtls")]
        for level in levels:
            mode = (level or {}).get("mode", "UNSET")
            if mode != "UNSET":
                return str(mode), oldest
    return "PERMISSIVE", None
