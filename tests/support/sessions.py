"""Sessions that no kubeconfig was read for."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from istio_mc.domain.kube.kubeconfig import Kubeconfig
from istio_mc.domain.settings.model import Settings
from istio_mc.ops.session.clusters import Clusters
from istio_mc.ops.session.run import Run
from istio_mc.ops.session.session import Session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from istio_mc.gateways.kube.client import Kube

NOTHING = Kubeconfig((), None, ())


def session_of(
    kubes: Mapping[str, object] | None = None,
    kubeconfig: Kubeconfig = NOTHING,
    *,
    settings: Settings | None = None,
    within_s: float = 60.0,
    **run: Any,
) -> Session:
    """A session on all contexts of a kubeconfig.

    Args:
        kubes: Its API servers, or what stands in for them, by context.
        kubeconfig: The kubeconfig.
        settings: The settings.
        within_s: Seconds until its deadline.
        **run: Further fields of its `Run`.
    """
    made = Run(time.monotonic() + within_s, run.pop("concurrency", 4), **run)
    servers = cast("Mapping[str, Kube]", kubes or {})
    clusters = Clusters(made, kubeconfig, kubeconfig.contexts, servers)
    return Session(made, clusters, settings or Settings(Path("certs")), kubeconfig, "config")


def changed(session: Session, **run: Any) -> Session:
    """The session with other fields of its `Run`; its API servers keep their deadlines."""
    return replace(session, run=replace(session.run, **run))
