"""Which cloud a cluster is in, by the names that its kubeconfig has."""

from __future__ import annotations

import pytest

from istio_mc.domain.gateway.console import Cloud, cloud_of


@pytest.mark.parametrize(
    ("texts", "cloud"),
    [
        (("kt", "kt-k2p", "https://203.0.113.1:6443"), Cloud.KT),
        (("prod", "k2p-standard", ""), Cloud.KT),
        (("a", "nks_kr_shop_1", "https://x.kr.vnks.ntruss.com"), Cloud.NCLOUD),
        (("a", "b", "https://x", "ncp-iam-authenticator"), Cloud.NCLOUD),
        (("nhn", "nhn-nks", "https://x-kr1-k8s.container.nhncloud.com:6443"), Cloud.NHN),
        (("market", "ktm", "https://192.0.2.1"), Cloud.OTHER),
    ],
)
def test_the_cloud_is_known_by_names(texts: tuple[str, ...], cloud: Cloud) -> None:
    assert cloud_of(*texts) is cloud
