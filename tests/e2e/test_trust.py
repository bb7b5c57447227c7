"""istiod runs under the CA that install made, RSA by default."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.e2e.harness import CONTEXTS, Site
from tests.e2e.trust import istiod_uses_the_given_ca, workload_is_signed_under

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("context", CONTEXTS)
def test_a_workload_is_signed_by_its_own_clusters_intermediate_under_the_one_root(
    mesh: Site, context: str, tmp_path: Path
) -> None:
    intermediate = workload_is_signed_under(mesh, context, tmp_path)

    assert isinstance(intermediate.public_key(), rsa.RSAPublicKey)


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.usefixtures("mesh")
def test_istiod_takes_the_ca_it_is_given(context: str) -> None:
    istiod_uses_the_given_ca(context)


def test_ca_verify_finds_one_root_in_files_and_clusters(mesh: Site) -> None:
    result = mesh.run("ca", "verify", "-o", "json").exits(0)

    assert result.json["status"] == "success"
