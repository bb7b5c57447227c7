"""Credentials, obtained before any other work: every credential plugin runs once, all in parallel."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from istio_mc.domain.hint import Advice, Hint, kubectl, on_this_machine
from istio_mc.domain.kube.exec_credential import (
    INFO_VARIABLE,
    Plugin,
    PluginAnswer,
    answered_entry,
    exec_info,
    parse_answer,
    plugin_of,
)
from istio_mc.domain.kube.kubeconfig import has_own_credentials, uses_exec
from istio_mc.domain.naming import cluster_id
from istio_mc.domain.problem import Code, Problem, ProblemError
from istio_mc.gateways.host import files, process
from istio_mc.gateways.host.parallel import result_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from istio_mc.domain.kube.kubeconfig import Context

INTERACTIVE_DEADLINE_S = 120.0
"""Seconds that a user has to respond to a plugin's prompt on the terminal."""

_PRIVATE_BITS = 0o077
# JSON web tokens, EKS and Google tokens, and the word after "Bearer": a plugin may write them to stderr.
_TOKENS = re.compile(r"eyJ[\w-]{4,}(?:\.[\w-]*)*|k8s-aws-v1\.[\w-]+|ya29\.[\w.-]+|(?i:(?<=bearer ))\S+")
_AUTH_PROVIDER_HINTS = {
    "gcp": "Install gke-gcloud-auth-plugin, then: gcloud container clusters get-credentials CLUSTER",
    "azure": "Install kubelogin, then: kubelogin convert-kubeconfig",
    "oidc": "Use the credential plugin kubelogin (kubectl-oidc_login)",
}


@dataclass(frozen=True)
class Credential:
    """Credentials of a context.

    Attributes:
        user_entry: The user's kubeconfig entry, without a credential plugin. Not in `repr`.
    """

    user_entry: Mapping[str, object] = field(repr=False, hash=False)


@dataclass(frozen=True)
class _Run:
    """One run of a plugin, for all contexts with the same request."""

    plugin: Plugin
    context: Context
    certificate_authority: bytes | None


def resolve(
    contexts: Sequence[Context],
    deadline_s: float,
    *,
    terminal: bool | None = None,
    until: float = math.inf,
) -> dict[str, Credential | Problem]:
    """Returns the credentials of every context, including those from plugins.

    Plugins run in parallel, with standard input closed. A plugin with interactiveMode "Always" gets the
    terminal, and so does one with "IfAvailable" that failed without it: these run one after another.
    Contexts with the same plugin, arguments and cluster information share one run.

    Args:
        deadline_s: Time limit of each plugin in seconds. (At least 120 for a plugin that prompts.)
        terminal: Whether a user can respond on standard input; None: yes if it is a terminal.

    Returns:
        Context name → credential, or the Problem that makes the context unusable: its own first problem, an
        `auth-provider`, or the plugin's failure (its command, exit code, and the end of its standard error;
        never its standard output).
    """
    results: dict[str, Credential | Problem] = {context.name: _static(context) for context in contexts}
    runs: dict[str, _Run] = {}
    keys: dict[str, str] = {}
    for context in contexts:
        if results[context.name] is not _PENDING:
            continue
        run = _prepare(context)
        if isinstance(run, Problem):
            results[context.name] = run
            continue
        keys[context.name] = _key(run)
        runs.setdefault(keys[context.name], run)
    on_terminal = sys.stdin is not None and sys.stdin.isatty() if terminal is None else terminal
    answers = _run_all(runs, deadline_s, terminal=on_terminal, until=until)
    for context in contexts:
        if context.name in keys:
            results[context.name] = _result(context, answers[keys[context.name]])
    return results


def private_kubeconfig(folder: Path, kubeconfig_document: Mapping[str, object]) -> Path:
    """Writes a kubeconfig that only its owner can read: 0600, in a 0700 folder, complete or not at all.

    Args:
        kubeconfig_document: The document; the file is named for its current context. It is written as JSON,
            which is valid YAML, and in which no parser reads a name such as `y` as a boolean.

    Raises:
        ProblemError: It cannot be written, or other users can enter the folder.
    """
    files.make_private_folder(folder, parents=False)
    mode = folder.stat().st_mode & 0o777
    if mode & _PRIVATE_BITS:
        raise ProblemError.of(
            code=Code.FOLDER_NOT_PRIVATE,
            message=f"{folder} is open to others: credentials are not written there",
            seen=f"mode {mode:04o}",
            expected="mode 0700",
            hint=on_this_machine("chmod", "700", folder),
        )
    name = str(kubeconfig_document.get("current-context") or "")
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]  # two names may map to one id
    path = folder / f"{cluster_id(name)}-{digest}.kubeconfig"
    files.write(path, json.dumps(kubeconfig_document, indent=1).encode())
    return path


_PENDING = Problem(code=Code.CREDENTIAL_PENDING, message="not yet obtained")


def _static(context: Context) -> Credential | Problem:
    """The result for contexts that need no plugin; otherwise _PENDING."""
    if context.problems:
        return context.problems[0].on(context.name)
    if uses_exec(context.user_entry):
        return _PENDING
    provider = context.user_entry.get("auth-provider")
    if isinstance(provider, dict) and not has_own_credentials(context.user_entry):
        name = str(provider.get("name") or "")
        return Problem(
            code=Code.AUTH_PROVIDER_UNSUPPORTED,
            message=f"user {context.user} has the legacy auth-provider {name}, which is not supported",
            cluster=context.name,
            expected="a token, a client certificate or a credential plugin (exec)",
            hint=Advice(
                _AUTH_PROVIDER_HINTS.get(name, "Write the kubeconfig again with the provider's tool")
            ),
        )
    return Credential({key: value for key, value in context.user_entry.items() if key != "exec"})


def _prepare(context: Context) -> _Run | Problem:
    plugin = plugin_of(context.user_entry)
    path = context.cluster_entry.get("certificate-authority")
    if not plugin.provide_cluster_info or not isinstance(path, str) or not path:
        return _Run(plugin, context, None)
    try:
        return _Run(plugin, context, files.read(Path(path)))
    except ProblemError as error:
        return error.problems[0].on(context.name)


def _key(run: _Run) -> str:
    """Key of a plugin run; equal for contexts whose plugin requests are equal."""
    info = exec_info(run.plugin, run.context.cluster_entry, run.certificate_authority, interactive=False)
    return repr((run.plugin.command, run.plugin.args, sorted(run.plugin.env.items()), info))


def _run_all(
    runs: Mapping[str, _Run],
    deadline_s: float,
    *,
    terminal: bool,
    until: float,
) -> dict[str, PluginAnswer | Problem]:
    if not runs:
        return {}
    quiet = {key: run for key, run in runs.items() if run.plugin.interactive_mode != "Always"}
    answers: dict[str, PluginAnswer | Problem] = {}
    cancel = threading.Event()
    with ThreadPoolExecutor(max(1, len(quiet)), thread_name_prefix="credentials") as pool:
        futures = {
            key: pool.submit(_run_plugin, run, deadline_s, cancel=cancel) for key, run in quiet.items()
        }
        try:
            answers |= {key: result_of(future) for key, future in futures.items()}
        except BaseException:
            cancel.set()  # after Ctrl-C; otherwise the pool would wait for every plugin's deadline
            raise
    for key, run in runs.items():
        answer = answers.get(key)
        may_prompt = run.plugin.interactive_mode == "IfAvailable" and terminal
        if key not in quiet and not terminal:
            answers[key] = _failure(
                run,
                "prompts on a terminal, but there is none",
                hint=Advice("Log in beforehand, or use another user"),
            )
        elif key not in quiet or (
            may_prompt and isinstance(answer, Problem) and answer.code == Code.CREDENTIAL_PLUGIN_FAILED
        ):
            longer = process.within(max(deadline_s, INTERACTIVE_DEADLINE_S), until)
            answers[key] = _run_plugin(run, longer, cancel=cancel, interactive=True)
    return answers


def _run_plugin(
    run: _Run, deadline_s: float, *, cancel: threading.Event, interactive: bool = False
) -> PluginAnswer | Problem:
    plugin = run.plugin
    info = exec_info(plugin, run.context.cluster_entry, run.certificate_authority, interactive=interactive)
    # Looked up on this program's PATH, not on the PATH set for the plugin: as Go's os/exec does.
    program = plugin.command if "/" in plugin.command else shutil.which(plugin.command)
    if program is None:
        return _missing(run)
    try:
        done = process.run(
            [program, *plugin.args],
            timeout_s=deadline_s,
            name=f"credential plugin {plugin.shown}",
            env={**os.environ, **plugin.env, INFO_VARIABLE: info},
            cancel=cancel,
            interactive=interactive,
        )
    except process.ProcessStartError:
        if not Path(program).exists():  # if it exists, it may be a script without its interpreter
            return _missing(run)
        return _failure(run, "cannot be executed", hint=Advice("See ", on_this_machine("ls", "-l", program)))
    except process.ProcessTimeout as error:
        return _failure(
            run,
            f"did not respond within {deadline_s:g} s",
            code=Code.CREDENTIAL_PLUGIN_TIMEOUT,
            stderr=error.stderr,
        )
    return _read(run, done)


def _read(run: _Run, done: process.Completed) -> PluginAnswer | Problem:
    if done.returncode != 0:
        how = f"exit code {done.returncode}" if done.returncode > 0 else f"signal {-done.returncode}"
        return _failure(run, f"failed with {how}", code=Code.CREDENTIAL_PLUGIN_FAILED, stderr=done.stderr)
    try:
        answer = parse_answer(run.plugin, done.stdout)
        _check_pair(answer)
    except ValueError as error:
        return _failure(run, str(error), stderr=done.stderr)
    return answer


def _check_pair(answer: PluginAnswer) -> None:
    """Rejects a certificate and key that cannot be used for TLS, before the first connection."""
    if answer.certificate is None or answer.key is None:
        return
    from cryptography import x509  # noqa: PLC0415 - few plugins give certificates, and it is slow to import
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        leaf = x509.load_pem_x509_certificates(answer.certificate.encode())[0]
        matches = load_pem_private_key(answer.key.encode(), None).public_key() == leaf.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("printed a certificate or key that cannot be read") from None
    if not matches:
        raise ValueError("printed a certificate and a key that do not belong together")


def _result(context: Context, answer: PluginAnswer | Problem) -> Credential | Problem:
    if isinstance(answer, Problem):
        return answer.on(context.name)
    return Credential(answered_entry(context.user_entry, answer))


def _missing(run: _Run) -> Problem:
    hint = process.tail((run.plugin.install_hint or "").encode())
    return _failure(
        run,
        "is not installed",
        code=Code.CREDENTIAL_PLUGIN_MISSING,
        hint=Advice(
            hint
            or f"Install {run.plugin.command}, or correct the kubeconfig ({', '.join(run.context.files)})"
        ),
    )


def _failure(
    run: _Run,
    what: str,
    *,
    code: Code = Code.CREDENTIAL_PLUGIN_UNUSABLE,
    stderr: bytes = b"",
    hint: Hint | None = None,
) -> Problem:
    return Problem(
        code=code,
        message=f"the credential plugin {run.plugin.shown} of user {run.context.user} {what}",
        cluster=run.context.name,
        seen=_TOKENS.sub("[removed]", process.tail(stderr)) or None,
        expected=f"an ExecCredential of {run.plugin.api_version} on its standard output",
        hint=hint or Advice("Check its output: ", kubectl(run.context.name, "get", "--raw", "/version")),
    )
