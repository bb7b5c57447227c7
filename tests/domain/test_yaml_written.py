"""YAML that is written means the same to Go as to Python: kubectl and istioctl read it."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from istio_mc.domain import goyaml, yamltext
from istio_mc.domain.settings.template import scalar

NOT_STRINGS_TO_GO = ["y", "N", "on", "1e3", "1_000", "0o17", "0b1", ".5", "5.", "+.inf", "0x1F", "-0", "1E5"]


@pytest.mark.parametrize("text", NOT_STRINGS_TO_GO)
def test_a_cluster_id_stays_a_string_for_istioctl(text: str) -> None:
    written = yamltext.dump({"values": {"global": {"multiCluster": {"clusterName": text}}}})
    assert goyaml.load(written.encode()).value == {
        "values": {"global": {"multiCluster": {"clusterName": text}}}
    }


@pytest.mark.parametrize("text", NOT_STRINGS_TO_GO)
def test_a_value_of_mesh_yaml_stays_a_string_for_other_readers(text: str) -> None:
    assert goyaml.load(f"k: {scalar(text)}".encode()).value == {"k": text}


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=6))
@example("y")
@example("1e3")
@example("<<")
@example("=")
def test_every_text_is_read_as_it_was(text: str) -> None:
    written = yamltext.dump({"key": text, text: "value"})
    assert yaml.safe_load(written) == {"key": text, text: "value"}
    assert goyaml.load(written.encode()).value == {"key": text, text: "value"}


def test_what_needs_no_quotes_has_none() -> None:
    assert yamltext.dump({"kt": "network1"}) == "kt: network1\n"
