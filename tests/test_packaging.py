"""What the installation promises: metadata, bounds that are tried, files that travel with wheel and source archive."""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import requires, version
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

import ccafl_plugin
from ccafl_plugin.config.shipped_files import configs_folder
from tests.layouts_torchreid import REPOSITORY

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it

PROJECT: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
URL = "https://github.com/ccafl-plugin/ccafl_plugin"
EXTRAS = ("figures", "report", "cuhk03", "export", "search", "milvus")
"""Those that users install; \"test\" is for developers."""
PROVIDED_BY = {"torchvision": "torchvision", "PIL": "Pillow", "open_clip": "open_clip_torch", "yaml": "PyYAML"}
"""Distribution of an imported module, where the names differ."""


def declared() -> dict[str, Requirement]:
    """The requirements in pyproject.toml, those of the users' extras among them."""
    texts = [*PROJECT["dependencies"], *(text for extra in EXTRAS for text in PROJECT["optional-dependencies"][extra])]
    return {requirement.name: requirement for requirement in map(Requirement, texts)}


def oldest() -> dict[str, Requirement]:
    """The constraints of the oldest set on Python 3.10 and 3.11."""
    lines = (REPOSITORY / ".ci" / "oldest.txt").read_text().splitlines()
    parsed = [Requirement(line) for line in lines if not line.startswith("#")]
    return {
        pin.name: pin
        for pin in parsed
        if pin.marker is None or pin.marker.evaluate({"python_version": "3.11", "python_full_version": "3.11.0"})
    }


def test_every_lower_bound_is_tried_and_nothing_is_bounded_from_above():
    assert declared().keys() == oldest().keys()
    for name, requirement in declared().items():
        (bound,) = requirement.specifier
        (pin,) = oldest()[name].specifier
        assert (bound.operator, pin.operator) == (">=", "=="), name
        assert Version(bound.version) == Version(pin.version), name


def test_the_installation_is_of_this_version():
    assert version("ccafl_plugin") == ccafl_plugin.__version__
    assert requires("ccafl_plugin")


SCRIPTS = [(script, *target.split(":")) for script, target in PROJECT["scripts"].items()]


@pytest.mark.parametrize(("script", "module", "function"), SCRIPTS)
def test_commands(script: str, module: str, function: str, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", [script, "--help"])
    with pytest.raises(SystemExit, match="0"):
        getattr(importlib.import_module(module), function)()
    assert capsys.readouterr().out.startswith(f"usage: {script} ")


@pytest.mark.parametrize(
    "file", ["ccafl_train.py", *(f"tools/{name}.py" for name in ("train", "suite", "export", "pretrain_clip"))]
)
def test_commands_quieten_openmp_before_torch_is_imported(file: str) -> None:
    program = (
        f"import os, runpy, sys; runpy.run_path({file!r}); print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, env=environment, capture_output=True, text=True
    )
    assert run.stdout == "PASSIVE False\n", run.stderr


@pytest.mark.parametrize("name", ["synthetic/ccafl_tiny.yaml", "market1501/ccafl_rn50.yaml"])
def test_configs_are_found(name):
    assert (configs_folder() / name).is_file()


def test_extras_are_what_no_module_imports_at_its_top() -> None:
    """And every third-party module that one does import there is required."""
    required = {Requirement(text).name for text in PROJECT["dependencies"]}
    extras = {requirement.name for name, requirement in declared().items() if name not in required}
    assert extras == {"jinja2", "matplotlib", "h5py", "onnx", "onnxruntime", "onnxscript", "faiss-cpu", "pymilvus"}
    tops: set[str] = set()
    for file in (REPOSITORY / "ccafl_plugin").rglob("*.py"):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Import):
                tops.update(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                tops.add((node.module or "").partition(".")[0])
    third_party = tops - set(sys.stdlib_module_names) - {"ccafl_plugin"}
    assert "torch" in third_party
    assert {PROVIDED_BY.get(name, name) for name in third_party} <= required


def test_metadata() -> None:
    assert PROJECT["authors"] == [{"name": "The ccafl_plugin authors"}]
    assert all(url.startswith(URL) for url in PROJECT["urls"].values())
    for url in PROJECT["urls"].values():
        if "/blob/main/" in url:
            assert (REPOSITORY / url.partition("/blob/main/")[2]).exists(), url
    minors = [int(name.rpartition(".")[2]) for name in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", name)]
    assert PROJECT["requires-python"] == f">=3.{min(minors)}"
    assert (REPOSITORY / "ccafl_plugin" / "py.typed").exists()


def test_the_citation_is_of_this_project() -> None:
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert citation["repository-code"] == URL
    assert [author["name"] for author in citation["authors"]] == [author["name"] for author in PROJECT["authors"]]
    assert citation["license"] == PROJECT["license"]
    (arxiv,) = (entry["value"] for entry in citation["preferred-citation"]["identifiers"])
    assert arxiv.removeprefix("arXiv:") in (REPOSITORY / "README.md").read_text(encoding="utf-8")


def test_the_changelog_has_this_version() -> None:
    """The newest section is that of ``__version__``; releases stand in order, the newest first."""
    heads = re.findall(r"^## (.+)$", (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    newest, *older = heads
    own = Version(ccafl_plugin.__version__)
    assert newest.startswith(f"Unreleased, to be {own.base_version}" if own.is_devrelease else f"{own} ")
    releases = [Version(head.split()[0]) for head in older]
    assert releases == sorted(releases, reverse=True)
    assert not releases or releases[0] < own


def built(pattern: str) -> Path:
    """A distribution that ``.ci/run`` has built; the test is skipped where there is none."""
    if "CCAFL_DISTRIBUTIONS" not in os.environ:
        pytest.skip("CCAFL_DISTRIBUTIONS does not name a folder of built distributions")
    (found,) = Path(os.environ["CCAFL_DISTRIBUTIONS"]).glob(pattern)
    return found


def tracked() -> set[str]:
    """The files of the checkout that git knows, or would know after ``git add``."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no git, or not a git checkout")
    return {name for name in listed.split("\0") if name and (REPOSITORY / name).exists()}


def test_the_wheel_has_code_configs_weights_and_the_mark_of_types() -> None:
    with zipfile.ZipFile(built("*.whl")) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    wanted = {name for name in tracked() if name.startswith("ccafl_plugin/")} | {"ccafl_train.py"}
    wanted |= {f"ccafl_plugin/{name}" for name in tracked() if name.startswith("configs/")}
    assert names == wanted
    assert {"ccafl_plugin/py.typed", "ccafl_plugin/weights/clip_tiny.safetensors"} < names


def test_the_source_archive_has_every_file() -> None:
    with tarfile.open(built("*.tar.gz")) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert not tracked() - names - {"benchmarks/results/.gitkeep"}
