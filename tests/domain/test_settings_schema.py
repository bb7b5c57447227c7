"""The JSON Schema of mesh.yaml and istio-mc's own validation: what one refuses, the other does."""

from __future__ import annotations

import copy
import dataclasses
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from istio_mc.domain.naming import is_label, is_label_value
from istio_mc.domain.problem import InputError
from istio_mc.domain.settings.fields import MESH, Field, Kind
from istio_mc.domain.settings.model import ApiServerSettings, ClusterSettings, Settings
from istio_mc.domain.settings.parse import parse_settings
from istio_mc.domain.settings.schema import json_schema, value_of
from istio_mc.gateways.host.settings_file import parse_yaml
from istio_mc.present.config import schema_text
from lab import files as lab_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from istio_mc.domain.problem import Problem

ROOT = Path(__file__).parents[2]
SCHEMA = jsonschema.Draft7Validator(json_schema())
HEAD = {"apiVersion": "istio-mc/v1alpha1", "kind": "Mesh"}
Place = tuple[str | int, ...]


def problems_of(document: object) -> tuple[Problem, ...]:
    """What the product's own validation says."""
    try:
        parse_settings(document, {}, Path("/m/mesh.yaml"))
    except InputError as error:
        return error.problems
    return ()


def faults_of(document: object) -> list[str]:
    """What the schema says."""
    return [f"{list(error.absolute_path)}: {error.message}" for error in SCHEMA.iter_errors(document)]


def documents() -> Iterator[tuple[str, str]]:
    """Every mesh.yaml in the tree: files, the lab's, and those shown in documentation."""
    for path in sorted({*ROOT.glob("examples/**/mesh*.yaml"), *ROOT.glob("tests/**/mesh*.yaml")}):
        yield str(path.relative_to(ROOT)), path.read_text()
    for path in sorted({ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")}):
        blocks = re.findall(r"^```ya?ml\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)
        for number, block in enumerate(block for block in blocks if "apiVersion: istio-mc/" in block):
            yield f"{path.relative_to(ROOT)}#{number}", block
    yield "lab", lab_files.mesh()


DOCUMENTS = dict(documents())
ALL = yaml.safe_load(DOCUMENTS["examples/mesh-all.yaml"])


def test_the_published_schema_is_what_the_code_prints() -> None:
    published = (ROOT / "docs/mesh.schema.json").read_text()
    assert published == schema_text(json_schema()), "istio-mc config schema > docs/mesh.schema.json"


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft7Validator.check_schema(json.loads(schema_text(json_schema())))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_mesh_yaml_in_the_tree_passes_both(name: str) -> None:
    document = parse_yaml(DOCUMENTS[name].encode(), name).value
    assert (problems_of(document), faults_of(document)) == ((), [])


def places(fields: tuple[Field, ...], at: Place = ()) -> Iterator[tuple[Place, Field]]:
    """Every key with its place in examples/mesh-all.yaml, whose first cluster has the long form of all."""
    for field in fields:
        here = (*at, field.key)
        yield here, field
        yield from places(field.fields, (*here, 0) if field.kind is Kind.ENTRIES else here)


PLACES = {".".join(map(str, place)): (place, field) for place, field in places(MESH)}


def at(document: Any, place: Place) -> Any:  # noqa: ANN401 - whatever stands there
    for part in place:
        document = document[part]
    return document


def changed(place: Place, value: object) -> dict[str, Any]:
    """The full example with another value in one place, made where it is not there."""
    document = copy.deepcopy(ALL)
    holder = document
    for part in place[:-1]:
        holder = holder[part] if isinstance(part, int) else holder.setdefault(part, {})
    holder[place[-1]] = value
    return document


WRONG = {
    Kind.TEXT: [1.26, True, ["a"], {"a": "b"}],
    Kind.TEXTS: [5, True, {"a": "b"}, [5], [None], [["a"]]],
    Kind.FLAG: ["yes", 1, [True], {}],
    Kind.MAPPING: ["a", 1, True, []],
    Kind.TEXT_OR_MAPPING: [1, True, ["a"]],
    Kind.ENTRIES: ["a", 1, {"context": "a"}, [None], ["a"], [["a"]]],
    Kind.FREE: ["a", 1, True, ["a"], {1: "a"}, {"a": [{"b": {True: 1}}]}],
}


@pytest.mark.parametrize("name", PLACES)
def test_a_value_of_another_type_is_refused_by_both(name: str) -> None:
    place, field = PLACES[name]
    for wrong in WRONG[field.kind]:
        document = changed(place, wrong)
        assert problems_of(document), f"{name}: {wrong!r} passes the validation"
        assert faults_of(document), f"{name}: {wrong!r} passes the schema"


@pytest.mark.parametrize("name", ["", *(name for name, (_, field) in PLACES.items() if field.fields)])
def test_an_unknown_key_is_refused_by_both(name: str) -> None:
    place = PLACES[name][0] if name else ()
    inside = (*place, 0) if name == "clusters" else place
    document = changed((*inside, "surprise"), "x")
    assert [problem.code for problem in problems_of(document)] == ["settings-key-unknown"]
    assert faults_of(document)


@pytest.mark.parametrize("name", PLACES)
def test_a_key_without_a_value_is_taken_alike_by_both(name: str) -> None:
    document = changed(PLACES[name][0], None)
    assert bool(problems_of(document)) is bool(faults_of(document)) is PLACES[name][1].required


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("meshID",), "a b"),
        (("certsDir",), " "),
        (("istio", "version"), "1.26"),
        (("istio", "revision"), "Canary"),
        (("istio", "hub"), "https://docker.io/istio"),
        (("istio", "tag"), "a:b"),
        (("clusters", 0, "context"), ""),
        (("clusters", 0, "id"), "KT_K2P"),
        (("clusters", 0, "id"), "a" * 64),
        (("clusters", 0, "network"), "-a"),
        (("clusters", 0, "apiServer"), "http://a"),
        (("clusters", 0, "gatewayAddress"), ""),
        (("tools", "kubectl", "sha256", "linux/amd64"), "abc"),
    ],
)
def test_a_malformed_string_is_refused_by_both(place: Place, value: str) -> None:
    document = changed(place, value)
    assert problems_of(document)
    assert faults_of(document)


texts = st.sampled_from(
    ["a", "A_b", "kt-k2p", "1.26.0", "https://a:6443", "203.0.113.7", "", " ", "a b", "x" * 64]
)
anything = st.one_of(texts, st.none(), st.booleans(), st.integers(), st.lists(texts, max_size=2))
free = st.dictionaries(st.sampled_from(["a", "b", 1]), anything, max_size=2)


def entries(fields: tuple[Field, ...]) -> st.SearchStrategy[Any]:
    """Documents that are nearly right: known keys, mostly with values of their kind."""
    optional = {field.key: st.one_of(values(field), anything) for field in fields}
    known = st.fixed_dictionaries({}, optional=optional)
    return st.one_of(known, known.map(lambda entry: entry | {"surprise": 1}))


def values(field: Field) -> st.SearchStrategy[Any]:
    if field.constant:
        return st.just(field.constant)
    if field.kind is Kind.ENTRIES:
        return st.lists(entries(field.fields), max_size=2)
    if field.fields:
        return entries(field.fields)
    return {Kind.FLAG: st.booleans(), Kind.FREE: free, Kind.TEXTS: st.lists(texts, max_size=2)}.get(
        field.kind, texts
    )


@given(entries(MESH).map(lambda entry: entry | HEAD if len(entry) % 2 else entry))
def test_no_document_is_too_much_for_the_schema_alone_nor_of_a_wrong_type_for_the_validation_alone(
    document: dict[str, Any],
) -> None:
    problems, faults = problems_of(document), faults_of(document)
    shape = [p for p in problems if p.code == "settings-key-unknown" or ": expected" in p.message]
    if not problems:
        assert not faults
    if shape:
        assert faults, [problem.message for problem in shape]


@given(st.text("abAB09-_. \n\u0660", max_size=5) | st.integers(60, 66).map(lambda length: "a" * length))
def test_the_schemas_labels_are_kubernetes_labels(text: str) -> None:
    label, value = (at(PLACES, (name, 1)).pattern for name in ("clusters.0.id", "meshID"))
    assert bool(re.fullmatch(label, text)) is is_label(text)
    assert bool(re.fullmatch(value, text)) is is_label_value(text)


def leaves(holder: object, prefix: str = "") -> Iterator[str]:
    """Dotted attributes of a settings dataclass, down to what is no dataclass."""
    assert dataclasses.is_dataclass(holder)
    for field in dataclasses.fields(holder):
        value = getattr(holder, field.name)
        if dataclasses.is_dataclass(value):
            yield from leaves(value, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name


def test_the_table_has_every_setting_there_is() -> None:
    fields = [field for _, field in PLACES.values()]
    named = {field.attribute for field in fields if field.attribute}
    mesh = set(leaves(Settings(Path("certs")))) - {"file", "clusters", "istio.version_by"}
    cluster = set(leaves(ClusterSettings("kt", api_server=ApiServerSettings("https://a"))))
    # A program has a digest for each platform, the CRDs one for all.
    unused = {
        attribute for attribute in mesh if re.fullmatch(r"tools\.(?!gateway_api)\w+\.sha256\.any", attribute)
    }
    unused |= {a for a in mesh if a.startswith("tools.gateway_api.") and not a.endswith((".mirror", ".any"))}
    unused |= {"tools.istioctl.version"}
    assert named == (mesh | cluster) - unused


def test_the_table_reads_back_what_the_file_says() -> None:
    settings = parse_settings(ALL, {}, Path("/m/mesh.yaml"))
    wanted, seen = {}, {}
    for name, (place, field) in PLACES.items():
        if field.attribute and field.kind is not Kind.FREE:
            try:
                wanted[name] = at(ALL, place)
            except KeyError:
                continue
            seen[name] = value_of(field, settings.clusters[0] if place[0] == "clusters" else settings)
    relative = {"certsDir": "/m/../private/certs", "tools.binDir": "/m/../private/bin"}
    relative["clusters.0.apiServer.caFile"] = "/m/kt-ca.pem"
    wanted = {name: [value] if name.endswith("gatewayAddress") else value for name, value in wanted.items()}
    assert seen == wanted | relative


def test_each_key_says_what_it_is() -> None:
    assert [name for name, (_, field) in PLACES.items() if not field.about.endswith(".")] == []


def test_writing_out_a_default_changes_nothing() -> None:
    told = dict(_defaults(json_schema()["properties"], ()))
    assert {("istio", "hub"), ("meshID",), ("certsDir",), ("gatewayAPI", "install")} <= told.keys()
    plain = parse_settings(HEAD, {}, Path("/m/mesh.yaml"))
    for place, default in told.items():
        document: dict[str, Any] = dict(HEAD)
        for part in reversed(place):
            default = {part: default}  # noqa: PLW2901 - wrapped from the inside out
        assert parse_settings(document | default, {}, Path("/m/mesh.yaml")) == plain, place


def _defaults(properties: dict[str, Any], above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, found in properties.items():
        if "default" in found:
            yield (*above, key), found["default"]
        yield from _defaults(found.get("properties", {}), (*above, key))
