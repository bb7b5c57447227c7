"""What a shell offers for the values of options."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from istio_mc.cli import completers


@pytest.fixture(autouse=True)
def _kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config"
    document = {
        "clusters": [
            {"name": name, "cluster": {"server": f"https://{name}"}} for name in ("kt", "nhn", "ncloud")
        ],
        "users": [{"name": "u", "user": {}}],
        "contexts": [
            {"name": name, "context": {"cluster": name, "user": "u"}} for name in ("kt", "nhn", "ncloud")
        ],
    }
    path.write_text(yaml.safe_dump(document))
    monkeypatch.setenv("KUBECONFIG", str(path))


def test_every_context_is_offered_at_the_start() -> None:
    assert completers.contexts("") == ["kt", "nhn", "ncloud"]


def test_the_last_part_of_a_list_is_completed() -> None:
    assert completers.contexts("kt,n") == ["kt,nhn", "kt,ncloud"]


def test_a_context_already_in_the_list_is_not_offered_again() -> None:
    assert completers.contexts("nhn,") == ["nhn,kt", "nhn,ncloud"]


def test_an_unreadable_kubeconfig_gives_no_completions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    assert completers.contexts("") == []


def offered(*words: str) -> list[str]:
    """What bash is given for the last word of a command line."""
    done = subprocess.run(
        [Path(sys.executable).with_name("istio-mc")],
        env={
            **os.environ,
            "_ISTIO_MC_COMPLETE": "complete_bash",
            "COMP_WORDS": " ".join(("istio-mc", *words)),
            "COMP_CWORD": str(len(words)),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout.split()


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("address", "--unset", "n"), ["nhn", "ncloud"]),
        (("address", "--set", "k"), ["kt="]),
        (("address", "--via", "m"), ["metallb"]),
        (("install", "--replace-ca", "kt,nh"), ["kt,nhn"]),
        (("link", "--api-server", "k"), ["kt="]),
        (("uninstall", "--contexts", "kt,nh"), ["kt,nhn"]),
        (("tools", "install", "ku"), ["kubectl"]),
        (("tools", "download", "folder", "helm", "--platform", "darwin"), ["darwin/amd64", "darwin/arm64"]),
        (("verify", "--only", "link,gateway.a"), ["link,gateway.address"]),
        (("status", "-o", "j"), ["json", "junit"]),
    ],
    ids=" ".join,
)
def test_a_shell_is_offered_what_the_option_takes(words: tuple[str, ...], expected: list[str]) -> None:
    assert offered(*words) == expected
