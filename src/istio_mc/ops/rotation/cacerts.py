"""The Secret cacerts of a cluster while its CA changes: read, taken up by istiod, followed by proxies."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from istio_mc.domain.hint import Advice
from istio_mc.domain.istio.istiod import CA_CRL, crl_fault, list_istiods, reads_crl
from istio_mc.domain.istio.proxies import gateway_pods, ready
from istio_mc.domain.kube import objects
from istio_mc.domain.mesh import EAST_WEST_GATEWAY, SYSTEM_NAMESPACE
from istio_mc.domain.pki.cacerts import CaCerts
from istio_mc.domain.pki.pem import NamedPem, issued_by, load_first_certificate
from istio_mc.domain.pki.signing import contents_of
from istio_mc.domain.problem import Code, Problem, ProblemError
from istio_mc.gateways.host.parallel import results_in_time
from istio_mc.gateways.istio.data_path import serving
from istio_mc.gateways.istio.istiod import istiod_pods
from istio_mc.gateways.istio.proxies import injected_pods, proxies_hold
from istio_mc.ops.ca.trust import lists_do_not_fit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from istio_mc.domain.istio.proxies import ProxiesHold
    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.observed import Observed
    from istio_mc.gateways.kube.client import Kube

T = TypeVar("T")

CACERTS = "cacerts"
PHASE_ANNOTATION = "istio-mc/root-phase"
"""Annotation of istiod's pods: the change of cacerts that they are to take up."""

AGAIN_S = 10.0
"""After how long kubelets are to look again at a Secret that istiod has not taken up."""

_EVERY_PROXY = 1_000_000


def live_of(name: str, secret: Object | None) -> CaCerts:
    """A cluster's CA, by its Secret.

    Raises:
        ProblemError: There is none, it is not complete, or another tool made it.
    """
    data = (secret or {}).get("data") or {}
    if secret is None or "tls.crt" in data:
        raise ProblemError(
            _not_ours(name, "a Secret of cert-manager's form" if secret else "no Secret cacerts")
        )
    try:
        return CaCerts.from_secret_data(data)
    except ProblemError as error:
        raise ProblemError(*(problem.on(name) for problem in error.problems)) from None


def write(kube: Kube, ca: CaCerts, phase: str) -> None:
    """Changes the CA in a cluster's Secret, and has istiod's pods take it up soon; other keys stay.

    Raises:
        ProblemError: The Secret cannot be changed.
    """
    kube.patch(objects.SECRET, CACERTS, SYSTEM_NAMESPACE, {"data": ca.secret_data()})
    hurry(kube, phase)


def hurry(kube: Kube, mark: str) -> None:
    """Has the kubelets look at the Secret of istiod's pods now.

    They write a changed Secret into a pod within a minute or two, or when the pod changes (Kubernetes,
    pkg/kubelet/kubelet.go, syncPod): so the pods get an annotation. Where this is refused, it takes its time.

    Args:
        mark: Another value than the annotation has.
    """
    with suppress(ProblemError):
        for pod in istiod_pods(kube):
            body = {"metadata": {"annotations": {PHASE_ANNOTATION: mark}}}
            kube.patch(objects.POD, pod["metadata"]["name"], SYSTEM_NAMESPACE, body)


class Hurry:
    """Has kubelets look again while a changed Secret is waited for.

    A kubelet that looks at a pod before it has heard of the Secret writes the former one once more, and then
    looks after more than a minute only (seen on the lab, Kubernetes 1.33).
    """

    def __init__(self, kubes: Mapping[str, Kube], phase: str) -> None:
        self._kubes, self._phase = kubes, phase
        self._at, self._times = time.monotonic(), 1

    def again(self, names: Iterable[str]) -> None:
        """Has those of clusters look again, if the last time was a while ago."""
        if time.monotonic() - self._at < AGAIN_S:
            return
        self._at, self._times = time.monotonic(), self._times + 1
        for name in dict.fromkeys(names):
            hurry(self._kubes[name], f"{self._phase}-{self._times}")


def istiods_without(kube: Kube, ca: CaCerts) -> list[str]:
    """The istiod pods whose certificate is not one that a CA issued: they sign with another one.

    Ready or not: the pods of a node that the API server has lost sight of are not ready, and sign. One that
    is not ready and does not respond is left out where another responds: it reads the Secret when it starts.

    Raises:
        ProblemError: One of them, or all that are not ready, do not show their certificate; or none runs.
    """
    certificate = load_first_certificate(NamedPem("ca-cert.pem", ca.ca_cert))
    pods = {pod["metadata"]["name"]: pod for pod in istiod_pods(kube)}
    if not pods:
        raise ProblemError(_none_runs(kube.context))
    calls = {name: (math.inf, partial(serving, kube, pod)) for name, pod in pods.items()}
    shown, failed = results_in_time(calls, context=kube.context)
    silent = _that_count(failed, ready(pods.values()), any_responds=bool(shown))
    if silent:
        raise ProblemError(*(problems[0] for problems in silent.values()))
    return [pod for pod, one in shown.items() if not issued_by(one.certificate, certificate)]


def every_proxy(kube: Kube) -> ProxiesHold:
    """What every proxy of a cluster holds, whether its pod is ready or not.

    One that is not ready and does not respond is left out where another responds: it gets the roots, and a
    certificate, when it starts.

    Raises:
        ProblemError: The pods cannot be listed.
    """
    gateways = gateway_pods(
        kube.list(objects.POD, SYSTEM_NAMESPACE, labels=f"app={EAST_WEST_GATEWAY}"), EAST_WEST_GATEWAY
    )
    injected = injected_pods(kube)
    held = proxies_hold(kube, gateways, injected, most=_EVERY_PROXY)
    silent = _that_count(held.silent, ready((*gateways, *injected)), any_responds=bool(held.proxies))
    left_out = len(held.silent) - len(silent)
    return replace(held, silent=silent, running=held.running - left_out)


def _that_count(failed: Mapping[str, T], ready_pods: Iterable[Object], *, any_responds: bool) -> dict[str, T]:
    """Why pods do not respond, without those that are not ready, unless none responds.

    Args:
        failed: By name, or by namespace/name.
    """
    named = {pod["metadata"]["name"] for pod in ready_pods}
    return {pod: why for pod, why in failed.items() if not any_responds or pod.rpartition("/")[2] in named}


def unfit_lists(observed: Mapping[str, Observed], chains: Mapping[str, bytes | None]) -> Iterator[Problem]:
    """Revocation lists with which istiod would not start under the CA that a cluster changes to.

    Args:
        chains: cert-chain.pem of that CA, by context; None: it does not exist yet, and no list fits it.
    """
    for name, chain in chains.items():
        secret = observed[name].find(objects.SECRET, CACERTS)
        contents = contents_of(secret) if secret and reads_crl(observed[name].istiods) else {}
        fault = crl_fault(contents, chain)
        if chain is None and contents.get(CA_CRL):
            fault = f"{CA_CRL}; the next CA has not signed a list yet"
        if fault:
            yield lists_do_not_fit(name, fault)


def _none_runs(name: str) -> Problem:
    return Problem(
        code=Code.NOT_READY,
        cluster=name,
        message=f"no istiod of {name} runs",
        seen=f"no running pod with app=istiod in {SYSTEM_NAMESPACE}",
        expected="an istiod that shows under which CA it signs",
        hint=list_istiods(name),
    )


def _not_ours(name: str, seen: str) -> Problem:
    return Problem(
        code=Code.CACERTS_MADE_BY_OTHERS,
        cluster=name,
        message=f"the CA of {name} is not one that istio-mc issues",
        seen=seen,
        expected="Secret cacerts with the four files of istio-mc",
        hint=Advice("change the CA with the tool that made it"),
    )
