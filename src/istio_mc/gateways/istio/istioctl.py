"""istioctl, with an explicit context and a deadline; errors include istioctl's own output."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from istio_mc.domain import yamltext
from istio_mc.domain.hint import Advice, istio_mc
from istio_mc.domain.istio.stand_ins import Template
from istio_mc.domain.kube.objects import is_object
from istio_mc.domain.kube.refusal import problem_quoted
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.problem import Code, Problem, ProblemError
from istio_mc.domain.tools import VERSION_ARGUMENTS, Tool
from istio_mc.gateways.host import files, process
from istio_mc.gateways.host.parallel import all_of
from istio_mc.gateways.tools import find
from istio_mc.gateways.tools.cache import find_cache

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from istio_mc.domain.istio.stand_ins import StandIn
    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.mesh import Cluster


_LOCAL_TIMEOUT_S = 60.0
_SHOWN = 200
"""Characters of output to show when it is not a Kubernetes object."""


@dataclass(frozen=True, slots=True)
class Istioctl:
    """One istioctl binary."""

    path: Path
    version: str

    def manifest(self, document: Path, deadline: float = math.inf) -> list[Object]:
        """The objects that `istioctl install` of a document would apply; reads no cluster.

        Raises:
            ProblemError: istioctl rejected the document, did not end in time, or printed no objects.
        """
        timeout_s = process.within(_LOCAL_TIMEOUT_S, deadline)
        # Otherwise warnings about settings are printed before the objects (istioctl 1.27.9 to 1.31.0).
        arguments = ["manifest", "generate", "--log_target", "stderr"]
        done = self._run(arguments, document, timeout_s=timeout_s)
        try:
            items = yamltext.load_all(done.stdout)
        except yaml.YAMLError as error:
            seen = " ".join(str(error).split())
        else:
            if all(is_object(item) for item in items):
                return items
            seen = next(str(item) for item in items if not is_object(item))[:_SHOWN]
        raise ProblemError.of(
            code=Code.ISTIOCTL_FAILED,
            message=f"istioctl {self.version} printed a manifest that cannot be read",
            seen=seen,
            expected="Kubernetes objects as YAML",
            hint=self._to_paste(arguments, document, ""),
        )

    def install(
        self,
        document: Path,
        *,
        context: str,
        kubeconfig: Path,
        timeout_s: float,
        cancel: threading.Event,
        pasted_kubeconfig: str,
    ) -> None:
        """Installs a document into the cluster of a context and waits until the new objects are ready.

        Args:
            kubeconfig: A private kubeconfig with this context, credentials already obtained.
            pasted_kubeconfig: The user's own KUBECONFIG, for the command to paste in an error.

        Raises:
            ProblemError: With the command to paste, the exit code and the end of its output.
        """
        patience = f"{max(1, int(timeout_s - 1))}s"
        arguments = [
            "install",
            "--context",
            context,
            "--namespace",
            SYSTEM_NAMESPACE,
            "--readiness-timeout",
            patience,
            "--skip-confirmation",
        ]
        self._run(
            arguments,
            document,
            timeout_s=timeout_s,
            context=context,
            kubeconfig=kubeconfig,
            pasted_kubeconfig=pasted_kubeconfig,
            cancel=cancel,
        )

    def move_tag(
        self,
        tag: str,
        revision: str,
        *,
        context: str,
        kubeconfig: Path,
        timeout_s: float,
        pasted_kubeconfig: str,
    ) -> None:
        """Moves a revision tag of a cluster to a revision.

        Args:
            revision: Value of the revision label: `default` for the revision without a name.
            kubeconfig: As for `install`.

        Raises:
            ProblemError: As from `install`.
        """
        arguments = ["tag", "set", tag, "--revision", revision, "--overwrite", "--skip-confirmation"]
        self._run(
            [*arguments, "--context", context, "--istioNamespace", SYSTEM_NAMESPACE],
            None,
            timeout_s=timeout_s,
            context=context,
            kubeconfig=kubeconfig,
            pasted_kubeconfig=pasted_kubeconfig,
        )

    def _run(
        self,
        arguments: Sequence[str],
        document: Path | None,
        *,
        timeout_s: float,
        context: str | None = None,
        kubeconfig: Path | None = None,
        pasted_kubeconfig: str = "",
        cancel: threading.Event | None = None,
    ) -> process.Completed:
        # istioctl lives for seconds, and garbage collection takes a fifth of its processor time (1.26.0).
        env = {"GOGC": "400"} | os.environ
        if kubeconfig:
            env["KUBECONFIG"] = str(kubeconfig)
        name = f"istioctl {arguments[0]}" + (f" in {context}" if context else "")
        try:
            done = process.run(
                [self.path, *arguments, *(("-f", document) if document else ())],
                timeout_s=timeout_s,
                name=name,
                env=env,
                cancel=cancel,
            )
        except process.ProcessTimeout as error:
            paste = self._to_paste(arguments, document, pasted_kubeconfig)
            raise ProblemError(
                *(replace(problem, cluster=context, hint=paste) for problem in error.problems)
            ) from None
        if done.returncode != 0:
            seen = process.tail(done.stdout + b"\n" + done.stderr)
            refused = (
                problem_quoted(context, f"istioctl {arguments[0]}", SYSTEM_NAMESPACE, seen)
                if context
                else None
            )
            raise ProblemError(
                refused
                or Problem(
                    code=Code.ISTIOCTL_FAILED,
                    cluster=context,
                    message=f"{name} failed with exit code {done.returncode}",
                    seen=seen,
                    expected="exit code 0",
                    hint=self._to_paste(arguments, document, pasted_kubeconfig),
                )
            )
        return done

    def _to_paste(self, arguments: Sequence[str], document: Path | None, kubeconfig: str) -> Advice:
        """The command for a user to run again; the document is copied to a place where it is not deleted."""
        kept = document
        with suppress(OSError):
            if document:
                kept = Path(tempfile.mkdtemp(prefix="istio-mc-failed-")) / document.name
                shutil.copyfile(document, kept)
        line = process.command_to_paste([self.path, *arguments, *(("-f", kept) if kept else ())])
        return Advice(f"KUBECONFIG={process.command_to_paste([kubeconfig])} {line}" if kubeconfig else line)


def find_istioctl(
    env: Mapping[str, str],
    bin_dir: Path | None = None,
    version: str | None = None,
    deadline: float = math.inf,
) -> Istioctl:
    """Returns the istioctl to use: the first of the required version in bin-dir, the private cache or PATH.

    Args:
        bin_dir: Folder from mesh.yaml that is searched first; ISTIO_MC_BIN_DIR has precedence.
        version: The mesh's Istio version; None: any. If none has this version, another one is returned.

    Raises:
        ProblemError: istioctl is not installed, or does not report its version.
    """
    if env.get(find.BIN_DIR_VARIABLE):
        bin_dir = Path(env[find.BIN_DIR_VARIABLE])
    tool = find.find(Tool.ISTIOCTL, version, env, find_cache(env, files.home_folder()), bin_dir, deadline)
    hint = istio_mc("tools", "install", "istioctl", *(("--istioctl", version) if version else ()))
    if tool is None:
        raise ProblemError.of(
            code=Code.ISTIOCTL_MISSING,
            message="istioctl is not installed",
            seen="none in the cache, none on PATH",
            expected=f"istioctl {version or 'of the Istio version of the mesh'}",
            hint=hint,
        )
    if tool.version is None:
        raise ProblemError.of(
            code=Code.ISTIOCTL_UNUSABLE,
            message=f"{tool.path} does not report its version",
            seen=tool.output,
            expected="a JSON document with clientVersion.version",
            hint=Advice(process.command_to_paste([tool.path, *VERSION_ARGUMENTS[Tool.ISTIOCTL]])),
        )
    return Istioctl(tool.path, tool.version)


_MOST_KEPT = 200


def manifest(istioctl: Istioctl, document: Path, cache: Path, deadline: float = math.inf) -> list[Object]:
    """The objects that `istioctl install` of a document would apply; cached.

    Args:
        istioctl: The program; the cache identifies it by path, size and time of change.

    Raises:
        ProblemError: istioctl rejected the document, or did not end in time.
    """
    kept = cache / f"{_name(istioctl, document.read_bytes())}.json"
    with suppress(OSError, ValueError):
        objects_of_cache: list[Object] = json.loads(kept.read_bytes())
        os.utime(kept)
        return objects_of_cache
    made = istioctl.manifest(document, deadline)
    _keep(kept, made)
    return made


def _keep(path: Path, content: object) -> None:
    with suppress(OSError):
        files.make_private_folder(path.parent)
        files.write(path, json.dumps(content).encode())
        _forget_the_oldest(path.parent)


def manifest_of(
    istioctl: Istioctl,
    cluster: Cluster,
    stand_in: StandIn | None,
    write: Callable[[Cluster], Path],
    cache: Path,
    deadline: float = math.inf,
) -> list[Object]:
    """Like `manifest`, for one of many clusters: two runs of istioctl serve all with equal stand-ins.

    The manifest derived from the stand-in is compared with the cluster's own once. If they differ, this
    istioctl writes the values in an unexpected form, and each cluster gets its own run.

    Raises:
        ProblemError: istioctl rejected the document, or did not end in time.
    """

    def own() -> list[Object]:
        return manifest(istioctl, write(cluster), cache, deadline)

    def shared(substitute: Cluster) -> list[Object]:
        with suppress(ProblemError):  # if the fault is not specific to the stand-in, `own` raises it too
            return istioctl.manifest(write(substitute), deadline)
        return []

    if stand_in is None:
        return own()
    name = f"shared-{_name(istioctl, stand_in.document.encode())}"
    with _lock_of(name):
        template = _templates.get(name) or _read_template(cache / f"{name}.json")
        if template is None:
            _templates[name] = _REJECTED  # replaced if the following succeeds
            runs: dict[str, Callable[[], list[Object]]] = {
                "own": own,
                "shared": partial(shared, stand_in.cluster),
            }
            made = all_of(runs)
            template = Template.of(made["shared"])
            is_proved = stand_in.filled(template) == made["own"]
            template = template if is_proved else _REJECTED
            if made["shared"]:
                _keep(cache / f"{name}.json", list(template.manifest))
        _templates[name] = template
    return stand_in.filled(template) if template.manifest else own()


_REJECTED = Template((), frozenset())
_templates: dict[str, Template] = {}
_locks: dict[str, threading.Lock] = {}
_making = threading.Lock()


def _lock_of(name: str) -> threading.Lock:
    with _making:
        return _locks.setdefault(name, threading.Lock())


def _read_template(path: Path) -> Template | None:
    """The template in a file; without objects if the stored template is unusable; None: no file."""
    with suppress(OSError, ValueError):
        template = Template.of(json.loads(path.read_bytes()))
        os.utime(path)
        return template
    return None


def _name(istioctl: Istioctl, document: bytes) -> str:
    stat = istioctl.path.stat()
    program = f"{istioctl.path}\0{istioctl.version}\0{stat.st_size}\0{stat.st_mtime_ns}\0"
    return hashlib.sha256(program.encode() + document).hexdigest()


def _forget_the_oldest(cache: Path) -> None:
    kept = sorted(cache.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in kept[_MOST_KEPT:]:
        path.unlink(missing_ok=True)
