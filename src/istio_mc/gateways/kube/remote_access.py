"""Access to a cluster as istiods of other clusters have it: address, CA and token of a remote secret."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from istio_mc.domain.kube.refusal import Reason
from istio_mc.domain.kube.rights import Right
from istio_mc.domain.links.remote_secrets import READS, AccessResult, Reading, reader_kubeconfig
from istio_mc.domain.problem import Code, ProblemError
from istio_mc.gateways.host.parallel import all_of
from istio_mc.gateways.kube.client import Kube
from istio_mc.gateways.kube.errors import KubeError
from istio_mc.gateways.kube.rights import allowed, not_granted_everywhere

if TYPE_CHECKING:
    from istio_mc.domain.links.remote_secrets import Access

_CONNECT_S = 3.0
_READ_S = 5.0
_READS = tuple(Right(verb, resource, group, "") for group, resource in READS for verb in ("list", "watch"))


def try_access(context: str, access: Access, deadline: float | None = None) -> AccessResult:
    """Tests whether another cluster's istiod can read what istiod must read in a cluster.

    A loopback address is not tested: from here it would be this machine. Credentials that exist only in
    istiod's pod are not tested either.
    """
    if access.untested:
        return AccessResult(Reading.UNTESTED, access.untested)
    if access.is_loopback:
        return AccessResult(Reading.UNREACHABLE, "a loopback address is the reader's own machine")
    name = f"{context} as other istiods reach it"
    kube = Kube(
        name,
        reader_kubeconfig(name, access),
        deadline=deadline,
        connect_timeout_s=_CONNECT_S,
        read_timeout_s=_READ_S,
    )
    try:
        # One request first, so that an unreachable cluster costs one timeout.
        rights = not_granted_everywhere(kube, _READS)
        rights_held = {str(right): allowed(kube, right) for right in rights[:1]}
        rights_held |= all_of({str(right): partial(allowed, kube, right) for right in rights[1:]})
    except KubeError as error:
        return _result_of(error)
    except ProblemError as error:  # from several parallel requests
        return AccessResult(Reading.STRANGE, str(error))
    finally:
        kube.close()
    denied = [right for right, may in rights_held.items() if not may]
    return AccessResult(Reading.DENIED, ", ".join(denied)) if denied else AccessResult(Reading.OK)


def _result_of(error: KubeError) -> AccessResult:
    seen = error.problems[0].seen or error.problems[0].message
    if error.problems[0].code == Code.KUBECONFIG_UNUSABLE:  # no request was sent
        return AccessResult(Reading.UNTESTED, seen)
    if error.untrusted:
        return AccessResult(Reading.UNTRUSTED, seen, error.certificate)
    if error.reason is Reason.UNAUTHENTICATED:
        return AccessResult(Reading.UNAUTHENTICATED, seen)
    if error.unreachable:
        return AccessResult(Reading.UNREACHABLE, seen)
    return AccessResult(Reading.STRANGE, seen)
