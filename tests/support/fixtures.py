"""Fixtures over the mesh that remembers: one mesh for all tests of a process, put back before each."""

from __future__ import annotations

import atexit
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from tests.support.mesh import CLUSTERS, Mesh, State, remembering_mesh
from tests.support.scripts import run_scripts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@cache
def _mesh() -> Mesh:
    opened = remembering_mesh()
    made = opened.__enter__()  # for as long as the process lives
    atexit.register(opened.__exit__, None, None, None)
    return made


@cache
def _bare() -> State:
    return _mesh().state()


@cache
def _installed() -> State:
    mesh = _mesh()
    mesh.restore(_bare())
    mesh.run("install", "--contexts", ",".join(CLUSTERS)).exits(0)
    return mesh.state()


@cache
def _scripted() -> State:
    mesh = _mesh()
    mesh.restore(_bare())
    run_scripts(mesh)
    return mesh.state()


T = TypeVar("T")

_made: dict[object, tuple[State, Any]] = {}


def forget_states() -> None:
    """Has every state but the bare one be made again where it is next used."""
    _installed.cache_clear()
    _scripted.cache_clear()
    _made.clear()


def mesh_of_process() -> Mesh:
    """The mesh of this process, all of whose states are made."""
    _installed()
    _scripted()
    _mesh().restore(_bare())
    return _mesh()


def made_once(mesh: Mesh, name: object, make: Callable[[], T]) -> T:
    """Brings the mesh of this process into a state that is made once, and restored in later tests.

    Args:
        mesh: That of the fixture `mesh`, as it is given to a test.
        name: Of the state: all that `make` depends on.
        make: Brings the mesh there.

    Returns:
        What `make` has returned, in this test or in an earlier one.
    """
    assert mesh is _mesh()
    if name not in _made:
        result = make()
        _made[name] = mesh.state(), result
    state, found = _made[name]
    mesh.restore(state)  # the first time too: no test gets more of it than the others
    made: T = found
    return made


@pytest.fixture(name="mesh")
def bare_mesh() -> Iterator[Mesh]:
    """Three clusters, kt, ncloud and nhn, without Istio."""
    state = _bare()
    _mesh().restore(state)
    yield _mesh()
    _mesh().restore(state)


@pytest.fixture(name="installed")
def installed_mesh() -> Iterator[Mesh]:
    """The three clusters as `install` leaves them."""
    state = _installed()
    _mesh().restore(state)
    yield _mesh()
    _mesh().restore(_bare())


@pytest.fixture(name="scripted")
def scripted_mesh() -> Iterator[Mesh]:
    """The three clusters as the guide's scripts leave them."""
    state = _scripted()
    _mesh().restore(state)
    yield _mesh()
    _mesh().restore(_bare())
