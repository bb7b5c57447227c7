"""The verbs that write, on a mesh that remembers: see tests/support."""

from tests.support.fixtures import bare_mesh, installed_mesh, scripted_mesh

__all__ = ["bare_mesh", "installed_mesh", "scripted_mesh"]
