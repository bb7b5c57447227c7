"""What an istiod counts, out of the Prometheus text of its `/metrics`: the few series that tell of a mesh.

The names are Istio 1.26.0's: pkg/kube/multicluster/secretcontroller.go, security/pkg/server/ca/monitoring.go,
pkg/webhooks/monitoring.go, pilot/pkg/xds/monitoring.go.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_MANAGED = "istiod_managed_clusters"
_TIMEOUTS = "remote_cluster_sync_timeouts_total"
_ROOT_END = "citadel_server_root_cert_expiry_timestamp"
_CHAIN_END = "citadel_server_cert_chain_expiry_timestamp"
_SIGN_ERRORS = "citadel_server_csr_sign_err_count"
_WEBHOOK_FAILURES = "webhook_patch_failures_total"

_SERIES = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>.*)\})?\s+(?P<value>\S+)(?:\s+-?\d+)?")
_LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\(.)")


class Sample(NamedTuple):
    """One line of Prometheus text.

    Attributes:
        name: The series' name.
        labels: Its labels.
        value: Its value.
    """

    name: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class IstiodMetrics:
    """What one istiod counts since it started.

    Attributes:
        pod: The istiod.
        remote_clusters: How many remote clusters it watches: one for each remote secret that it took.
        sync_timeouts: How often a cluster, by its ID, was not synced in time (30 s where nobody set another).
        root_expires: When the root it signs under ends; None where it signs nothing.
        chain_expires: When the CA it signs with ends; None where it signs nothing.
        sign_errors: Certificates it failed to sign, by its own word for the reason.
        webhook_failures: Webhook configurations whose caBundle it could not keep right: how often, by name
            and its own word for the reason.
    """

    pod: str
    remote_clusters: int
    sync_timeouts: Mapping[str, int]
    root_expires: datetime | None = None
    chain_expires: datetime | None = None
    sign_errors: Mapping[str, int] | None = None
    webhook_failures: Mapping[tuple[str, str], int] | None = None


def metrics_of(pod: str, text: str) -> IstiodMetrics:
    """Reads an istiod's `/metrics`.

    Raises:
        ValueError: It is no Prometheus text, or not an istiod's.
    """
    found = [sample for sample in samples(text) if sample.name in _NAMES]
    managed = {s.labels.get("cluster_type"): int(s.value) for s in found if s.name == _MANAGED}
    if "local" not in managed and "remote" not in managed:
        raise ValueError(_MANAGED)
    return IstiodMetrics(
        pod=pod,
        remote_clusters=managed.get("remote", 0),
        sync_timeouts=_counted(found, _TIMEOUTS, "cluster"),
        root_expires=_moment(found, _ROOT_END),
        chain_expires=_moment(found, _CHAIN_END),
        sign_errors=_counted(found, _SIGN_ERRORS, "error"),
        webhook_failures={
            (s.labels.get("name", ""), s.labels.get("reason", "")): int(s.value)
            for s in found
            if s.name == _WEBHOOK_FAILURES and s.value
        },
    )


_NAMES = frozenset({_MANAGED, _TIMEOUTS, _ROOT_END, _CHAIN_END, _SIGN_ERRORS, _WEBHOOK_FAILURES})


def samples(text: str) -> Iterator[Sample]:
    """The samples of Prometheus' text format, comments left out.

    Raises:
        ValueError: A line is neither a comment nor a sample.
    """
    for line in text.splitlines():
        line = line.strip()  # noqa: PLW2901 - the same line
        if not line or line.startswith("#"):
            continue
        match = _SERIES.fullmatch(line)
        if match is None:
            raise ValueError(line)
        labels = {
            name: _ESCAPE.sub(_unescaped, value) for name, value in _LABEL.findall(match["labels"] or "")
        }
        yield Sample(match["name"], labels, float(match["value"]))


def _unescaped(match: re.Match[str]) -> str:
    return "\n" if match[1] == "n" else match[1]


def _counted(found: Iterable[Sample], name: str, label: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for sample in found:
        if sample.name == name and sample.value:
            key = sample.labels.get(label, "")
            counts[key] = counts.get(key, 0) + int(sample.value)
    return counts


def _moment(found: Iterable[Sample], name: str) -> datetime | None:
    values = [sample.value for sample in found if sample.name == name and sample.value > 0]
    return datetime.fromtimestamp(min(values), UTC) if values else None
