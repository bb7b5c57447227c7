"""Prometheus text of an istiod is read as counts and moments."""

from __future__ import annotations

import pytest

from istio_mc.domain.istio.istiod import Sample, metrics_of, samples

WHOLE = """\
# TYPE istiod_managed_clusters gauge
istiod_managed_clusters{cluster_type="local"} 1
istiod_managed_clusters{cluster_type="remote"} 2
citadel_server_csr_sign_err_count{error="CSR_ERROR"} 2
webhook_patch_failures_total{name="istio-sidecar-injector",reason="wrong_revision"} 4
webhook_patch_failures_total{name="istio-sidecar-injector",reason="webhook_update_failure"} 0
pilot_xds_push_time_bucket{type="cds",le="+Inf"} 11
"""


def test_only_what_has_happened_is_counted() -> None:
    found = metrics_of("istiod-1", WHOLE)
    assert found.sign_errors == {"CSR_ERROR": 2}
    assert found.webhook_failures == {("istio-sidecar-injector", "wrong_revision"): 4}
    assert found.sync_timeouts == {}


def test_an_istiod_without_remote_secrets_watches_none() -> None:
    assert metrics_of("istiod-1", 'istiod_managed_clusters{cluster_type="local"} 1').remote_clusters == 0


def test_a_ca_that_signs_nothing_ends_at_no_moment() -> None:
    found = metrics_of("istiod-1", WHOLE + "citadel_server_root_cert_expiry_timestamp 0\n")
    assert (found.root_expires, found.chain_expires) == (None, None)


@pytest.mark.parametrize("text", ["", "<html>", "go_threads 3\n", WHOLE + "and then\n"])
def test_what_is_not_an_istiods_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        metrics_of("istiod-1", text)


@pytest.mark.parametrize(
    ("line", "sample"),
    [
        ("up 1", Sample("up", {}, 1.0)),
        ("up{} 1e3 1395066363000", Sample("up", {}, 1000.0)),
        ('up{a="b",c="d"} -1', Sample("up", {"a": "b", "c": "d"}, -1.0)),
        (r'up{path="C:\\x",text="say \"}\"\n"} 0', Sample("up", {"path": "C:\\x", "text": 'say "}"\n'}, 0.0)),
    ],
)
def test_a_line_is_a_name_labels_and_a_value(line: str, sample: Sample) -> None:
    assert list(samples(line)) == [sample]
