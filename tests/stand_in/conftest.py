"""The stand-ins themselves: what they do as Kubernetes and istioctl do it."""

from tests.support.fixtures import bare_mesh, installed_mesh, scripted_mesh

__all__ = ["bare_mesh", "installed_mesh", "scripted_mesh"]
