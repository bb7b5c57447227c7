"""`istio-mc report`: where the page goes, what it is not written over, and how the verb ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.conftest import Ran
from tests.support.fake_api import FakeApi, write_kubeconfig

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.thorough

Run = Callable[..., Ran]


@pytest.fixture
def config(api: FakeApi, tmp_path: Path) -> Path:
    """A kubeconfig with a cluster that answers, and has no mesh: nearly every check fails."""
    api.on("/version", {"gitVersion": "v1.32.3"})
    return write_kubeconfig(tmp_path / "kt.yaml", {"kt": api.url})


def arguments(config: Path, *more: str) -> tuple[str, ...]:
    return ("report", "--kubeconfig", str(config), "--contexts", "kt", *more)


def test_writes_a_page_and_prints_its_path(istio_mc: Run, config: Path, tmp_path: Path) -> None:
    done = istio_mc(*arguments(config))

    assert done.code == 0, done.err
    assert (tmp_path / "mesh-report.html").read_text().startswith("<!DOCTYPE html>")
    assert done.out.startswith("mesh-report.html: 1 cluster, ")
    assert "failed" in done.out


def test_leaves_nothing_but_the_page(istio_mc: Run, config: Path, tmp_path: Path) -> None:
    before = set(tmp_path.iterdir())
    istio_mc(*arguments(config, "-f", "mine.html"))

    assert set(tmp_path.iterdir()) - before == {tmp_path / "mine.html"}


def test_writes_over_an_earlier_page(istio_mc: Run, config: Path, tmp_path: Path) -> None:
    istio_mc(*arguments(config))
    first = (tmp_path / "mesh-report.html").stat().st_ino

    assert istio_mc(*arguments(config)).code == 0
    assert (tmp_path / "mesh-report.html").stat().st_ino != first


def test_overwrites_no_other_file_and_queries_no_cluster_then(
    istio_mc: Run, config: Path, tmp_path: Path, api: FakeApi
) -> None:
    (tmp_path / "mesh-report.html").write_text("mine")

    done = istio_mc(*arguments(config, "-o", "json"))

    assert done.code == 2
    assert [error["code"] for error in done.envelope["errors"]] == ["file-exists"]
    assert (tmp_path / "mesh-report.html").read_text() == "mine"
    assert api.calls == []


def test_writes_over_anything_with_force(istio_mc: Run, config: Path, tmp_path: Path) -> None:
    (tmp_path / "mesh-report.html").write_text("mine")

    assert istio_mc(*arguments(config, "--force")).code == 0
    assert "<html" in (tmp_path / "mesh-report.html").read_text()


@pytest.mark.parametrize("name", ["nowhere/mesh.html", "."])
def test_a_place_that_is_none_is_wrong_input(istio_mc: Run, config: Path, name: str) -> None:
    done = istio_mc(*arguments(config, "-f", name, "-o", "json"))

    assert done.code == 2
    assert [error["code"] for error in done.envelope["errors"]] == ["file-unwritable"]


def test_a_dash_is_standard_output(istio_mc: Run, config: Path, tmp_path: Path) -> None:
    before = set(tmp_path.iterdir())
    done = istio_mc(*arguments(config, "-f", "-"))

    assert done.code == 0
    assert done.out.startswith("<!DOCTYPE html>")
    assert done.out.endswith("</html>\n")
    assert set(tmp_path.iterdir()) == before


def test_standard_output_holds_one_thing(istio_mc: Run, config: Path) -> None:
    done = istio_mc(*arguments(config, "-f", "-", "-o", "json"))

    assert done.code == 2
    assert [error["code"] for error in done.envelope["errors"]] == ["output-taken"]


def test_json_has_the_numbers_of_the_page(istio_mc: Run, config: Path, tmp_path: Path) -> None:
    done = istio_mc(*arguments(config, "-o", "json"))

    assert done.envelope["status"] == "success"
    data = done.envelope["data"]
    assert data["file"] == "mesh-report.html"
    assert data["bytes"] == (tmp_path / "mesh-report.html").stat().st_size
    assert data["failed"] > 0
    assert data["clusters"] == ["kt"]


def test_the_page_is_in_the_language_of_the_option(istio_mc: Run, config: Path, tmp_path: Path) -> None:
    done = istio_mc(*arguments(config, "--lang", "ko"))

    assert done.code == 0, done.err
    assert '<html lang="ko">' in (tmp_path / "mesh-report.html").read_text()
    assert "1 cluster, " in done.out  # the terminal is in English


def test_the_language_of_mesh_yaml_is_that_of_every_page_unless_the_option_sets_another(
    istio_mc: Run, config: Path, tmp_path: Path
) -> None:
    settings = tmp_path / "mesh.yaml"
    settings.write_text(
        "apiVersion: istio-mc/v1alpha1\nkind: Mesh\nlang: ko\nclusters: [{context: kt}]\n", encoding="utf-8"
    )
    page = tmp_path / "mesh-report.html"
    given = ("report", "--kubeconfig", str(config), "--config", str(settings))

    assert istio_mc(*given).code == 0
    assert '<html lang="ko">' in page.read_text()
    assert istio_mc(*given, "--lang", "en").code == 0
    assert '<html lang="en">' in page.read_text()


def test_an_unknown_language_is_a_usage_error(istio_mc: Run, config: Path, api: FakeApi) -> None:
    done = istio_mc(*arguments(config, "--lang", "de"))

    assert done.code == 2
    assert "--lang: unknown language" in done.err
    assert api.calls == []
