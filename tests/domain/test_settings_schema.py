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
from istio_mc.domain.settings.keys import Field, fields_of
from istio_mc.domain.settings.model import IstioSettings, Settings
from istio_mc.domain.settings.parse import parse_settings
from istio_mc.domain.settings.schema import json_schema
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
        here = (*at, field.name)
        yield here, field
        yield from places(field.below, (*here, 0) if field.is_list else here)


PLACES = {".".join(map(str, place)): (place, field) for place, field in places(fields_of(Settings))}


def at(document: Any, place: Place) -> Any:  # noqa: ANN401 - whatever stands there
    for part in place:
        document = document[part]
    return document


def changed(place: Place, value: object) -> dict[str, Any]:
    """The full example with another value in one place, made where it is not there."""
    document: dict[str, Any] = copy.deepcopy(ALL)
    holder: Any = document
    for part in place[:-1]:
        holder = holder[part] if isinstance(part, int) else holder.setdefault(part, {})
    holder[place[-1]] = value
    return document


SEVERAL, FLAGS = ("gatewayAddress",), ("strict", "install")


def wrong_for(field: Field) -> list[Any]:
    """Values of types that a key does not accept."""
    if field.is_list:
        return ["a", 1, {"context": "a"}, [None], ["a"], [["a"]]]
    if field.is_free:
        return ["a", 1, True, ["a"], {1: "a"}, {"a": [{"b": {True: 1}}]}]
    if field.below:
        return [1, True, ["a"], *([] if field.key.short else ["https://a"])]
    if field.name in FLAGS:
        return ["yes", 1, [True], {}]
    return [5, 1.26, True, {"a": "b"}, [5], [None], [["a"]], *([] if field.name in SEVERAL else [["a"]])]


@pytest.mark.parametrize("name", PLACES)
def test_a_value_of_another_type_is_refused_by_both(name: str) -> None:
    place, field = PLACES[name]
    for wrong in wrong_for(field):
        document = changed(place, wrong)
        assert problems_of(document), f"{name}: {wrong!r} passes the validation"
        assert faults_of(document), f"{name}: {wrong!r} passes the schema"


@pytest.mark.parametrize("name", ["", *(name for name, (_, field) in PLACES.items() if field.below)])
def test_an_unknown_key_is_refused_by_both(name: str) -> None:
    place = PLACES[name][0] if name else ()
    inside = (*place, 0) if name == "clusters" else place
    for unknown in ("surprise", "file", "versionBy", "mesh_id"):
        document = changed((*inside, unknown), "x")
        assert [problem.code for problem in problems_of(document)] == ["settings-key-unknown"]
        assert faults_of(document)


@pytest.mark.parametrize("name", PLACES)
def test_a_key_without_a_value_is_taken_alike_by_both(name: str) -> None:
    document = changed(PLACES[name][0], None)
    assert bool(problems_of(document)) is bool(faults_of(document)) is PLACES[name][1].key.required


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


GOOD = {
    "apiVersion": "istio-mc/v1alpha1",
    "kind": "Mesh",
    "key": "ec-256",
    "validity": "3650d",
    "revision": "canary",
    "version": "1.27.1",
    "network": "Net_1",
    "gatewayAddress": "203.0.113.7",
    "apiServer": "https://203.0.113.10:6443",
    "server": "https://api.example.com",
    "tlsServerName": "kubernetes",
    "mirror": "http://mirror.example.com",
    "sha256": "aB" * 32,
    **dict.fromkeys(("linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64"), "0" * 64),
}
"""A string that a key accepts; the others accept "a"."""

texts = st.sampled_from(
    [
        "a",
        "A_b",
        "1.26.0",
        "https://a:6443",
        "http://a",
        "",
        " ",
        "a b",
        "a\n",
        "\n",
        "x" * 64,
        "-a",
        "a:b",
        "5\u0660",
    ]
)
anything = st.one_of(
    texts, st.sampled_from([None, "yes", True, 0, 1, 1.5]), st.lists(texts, max_size=2), st.integers()
)
free = st.recursive(
    anything, lambda inner: st.dictionaries(st.sampled_from(["a", "b", 1]), inner, max_size=2), max_leaves=4
)


def sections(fields: tuple[Field, ...]) -> st.SearchStrategy[Any]:
    """Sections of a file that are right, or have a wrong value in one key, or a key too many or too few."""
    right = st.fixed_dictionaries(
        {field.name: values(field) for field in fields if field.key.required},
        optional={field.name: values(field) for field in fields if not field.key.required},
    )
    names = [field.name for field in fields]
    one_more = st.tuples(right, st.sampled_from([*names, "surprise", 1]), free)
    one_less = st.tuples(right, st.sampled_from(names))
    return st.one_of(
        right,
        right,
        right,
        one_more.map(lambda made: made[0] | {made[1]: made[2]}),
        one_less.map(lambda made: {key: value for key, value in made[0].items() if key != made[1]}),
    )


def values(field: Field) -> st.SearchStrategy[Any]:
    """Values that a key accepts, as far as they are no sections."""
    right = st.just(GOOD.get(field.name, "a"))
    if field.is_list:
        return st.lists(sections(field.below), max_size=2)
    if field.is_free:
        return st.dictionaries(st.just("a"), free, max_size=1)
    if field.below:
        return st.one_of(sections(field.below), *([right] if field.key.short else []))
    if field.name in FLAGS:
        return st.booleans()
    return st.one_of(right, st.lists(right, max_size=2)) if field.name in SEVERAL else right


def is_for_the_parser_alone(problem: Problem) -> bool:
    """Whether a problem is one that no pattern expresses: of two clusters, or of an address's meaning."""
    _, place, text = problem.message.split(": ", 2)
    name = re.sub(r"\[\d+\]$", "", re.sub(r"^clusters\[\d+\]\.", "clusters.0.", place))
    deeper = name in PLACES and callable(PLACES[name][1].key.fault) and not text.startswith("expected")
    return deeper or "is already that of" in text


@given(
    st.one_of(
        sections(fields_of(Settings)),
        st.builds(changed, st.sampled_from([place for place, _ in PLACES.values()]), free),
    )
)
def test_the_schema_and_the_parser_agree(document: dict[Any, Any]) -> None:
    problems, faults = problems_of(document), faults_of(document)
    if not faults:
        assert [problem for problem in problems if not is_for_the_parser_alone(problem)] == []
    if not problems:
        assert faults == []


@pytest.mark.parametrize("name", [name for name, (_, field) in PLACES.items() if not field.below])
def test_a_line_break_at_the_end_is_judged_alike_by_both(name: str) -> None:
    document = changed(PLACES[name][0], GOOD.get(PLACES[name][1].name, "a") + "\n")
    assert bool(problems_of(document)) is bool(faults_of(document))


@given(st.text("abAB09-_. \n\u0660", max_size=5) | st.integers(60, 66).map(lambda length: "a" * length))
def test_the_schemas_labels_are_kubernetes_labels(text: str) -> None:
    label, value = (at(PLACES, (name, 1)).key.pattern for name in ("clusters.0.id", "meshID"))
    assert bool(re.fullmatch(label, text)) is is_label(text)
    assert bool(re.fullmatch(value, text)) is is_label_value(text)


def test_every_setting_is_a_key_or_is_marked_as_none() -> None:
    keys = {field.attribute for field in fields_of(Settings)}
    assert {field.name for field in dataclasses.fields(Settings)} - keys == {"file"}
    keys = {field.attribute for field in fields_of(IstioSettings)}
    assert {field.name for field in dataclasses.fields(IstioSettings)} - keys == {"version_by"}


def test_the_settings_have_the_values_of_the_file() -> None:
    made = parse_settings(ALL, {}, Path("/m/mesh.yaml"))
    seen = dict(written_in(fields_of(Settings), made))
    expected = {name: at(ALL, PLACES[name][0]) for name in seen}
    expected |= {
        "certsDir": Path("/m/../private/certs"),
        "tools.binDir": Path("/m/../private/bin"),
        "clusters.0.apiServer.caFile": Path("/m/kt-ca.pem"),
        "clusters.0.gatewayAddress": ("203.0.113.7",),
    }
    assert seen == expected
    assert len(seen) > 30


def written_in(fields: tuple[Field, ...], holder: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    """The value of each key that examples/mesh-all.yaml sets, of lists the first."""
    for field in fields:
        value, name = getattr(holder, field.attribute), prefix + field.name
        if field.is_list:
            yield from written_in(field.below, value[0], f"{name}.0.")
        elif field.below:
            yield from written_in(field.below, value, f"{name}.")
        elif value:
            yield name, value


def test_each_key_has_a_description() -> None:
    assert [name for name, (_, field) in PLACES.items() if not field.key.about.endswith(".")] == []


def test_writing_out_a_default_changes_nothing() -> None:
    defaults = dict(_defaults(json_schema(), ()))
    assert {("istio", "hub"), ("meshID",), ("certsDir",), ("gatewayAPI", "install")} <= defaults.keys()
    plain = parse_settings(HEAD, {}, Path("/m/mesh.yaml"))
    for place, default in defaults.items():
        document: dict[str, Any] = dict(HEAD)
        for part in reversed(place):
            default = {part: default}  # noqa: PLW2901 - wrapped from the inside out
        assert parse_settings(document | default, {}, Path("/m/mesh.yaml")) == plain, place


def _defaults(section: dict[str, Any], above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, found in section["properties"].items():
        if "default" in found:
            yield (*above, key), found["default"]
        for form in found.get("anyOf", []):
            if "$ref" in form:
                name = form["$ref"].removeprefix("#/definitions/")
                yield from _defaults(SCHEMA.schema["definitions"][name], (*above, key))
