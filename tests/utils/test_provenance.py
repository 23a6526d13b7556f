"""The commit of the checkout that computed a result."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from ccafl_plugin.utils import provenance

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *identity, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_the_commit_of_the_checkout_and_whether_files_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "somebody" / "checkout" / "package"
    package.mkdir(parents=True)
    monkeypatch.setattr(provenance, "PACKAGE", package)
    git(tmp_path, "init", "--quiet", "somebody")
    assert provenance.git_commit() == ""  # a repository around an installed package is somebody else's
    git(tmp_path, "init", "--quiet", "somebody/checkout")
    assert provenance.git_commit() == ""  # no commit yet
    (package / "code.py").write_text("1")
    git(package.parent, "add", ".")
    git(package.parent, "commit", "--quiet", "-m", "first")
    head = git(package.parent, "rev-parse", "HEAD")
    (package / "new.txt").write_text("not of the code")
    assert provenance.git_commit() == head
    (package / "code.py").write_text("2")
    assert provenance.git_commit() == f"{head}+changes"


def test_without_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert provenance.git_commit() == ""
