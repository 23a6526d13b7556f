"""Lines of shell commands on pages of the documentation: whether each would start, without running anything."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

from benchmarks.run import parse as parse_benchmarks
from ccafl_plugin.config import load_config
from ccafl_plugin.config.shipped_files import config_file
from ccafl_plugin.runs import train_command
from tests.pages import HOME, REPOSITORY

PARSERS = {
    "associate": "ccafl_plugin.features.associate_command",
    "check_data": "ccafl_plugin.runs.check_command",
    "checkpoints": "ccafl_plugin.runs.checkpoints_command",
    "convert_weights": "ccafl_plugin.runs.convert_command",
    "export": "ccafl_plugin.exporting.export_command",
    "extract": "ccafl_plugin.features.extract_command",
    "make_synthetic": "ccafl_plugin.synthetic.render_command",
    "make_validation": "ccafl_plugin.data.validation_split",
    "pretrain_clip": "ccafl_plugin.synthetic.pretrain_command",
    "report": "ccafl_plugin.report.report_command",
    "search": "ccafl_plugin.features.search_command",
    "suite": "ccafl_plugin.suites.suite_command",
    "thresholds": "ccafl_plugin.features.thresholds_command",
}
"""Tool -> the module whose ``parser`` reads its arguments. ``train`` is checked by loading its configuration."""
OTHERS = {
    *("pytest", "ruff check .", "ruff format --check .", "mypy"),
    "OMP_WAIT_POLICY=PASSIVE jupyter nbconvert --to notebook --execute --inplace notebooks/torchreid_with_ccafl.ipynb",
    "jupyter nbconvert --to notebook --coalesce-streams --inplace notebooks/torchreid_with_ccafl.ipynb",
    *("python -m venv .venv", ". .venv/bin/activate", "cd ccafl_plugin"),
}
"""Commands of other programs that pages show, as they stand."""
PLACEHOLDER = "FILE"
"""Of a configuration, in a line that is right for all of them."""


def simple_commands(block: str) -> list[list[str]]:
    """The words of each command of a block; comments, ``&&`` and line ends divide nothing but commands."""
    lines = block.replace("\\\n", " ").splitlines()
    return [
        words for line in lines for part in line.split(" && ") for words in [shlex.split(part, comments=True)] if words
    ]


def check_command(words: list[str], extras: set[str], scripts: set[str], folder: Path) -> None:
    """Fails if a command would not start.

    Args:
        words: of one command.
        extras: of the package.
        scripts: commands of an installed wheel.
        folder: where files can stand for those that the reader has.

    Raises:
        AssertionError: no such tool, extra or address.
        SystemExit: arguments that the tool does not take.
        CCAFLError: settings that do not exist.
    """
    if words[0] == "torchrun":
        assert re.fullmatch(r"--nproc_per_node=\d+", words[1])
        words = ["python", *words[2:]]
    if words[:3] == ["python", "-m", "benchmarks"]:
        parse_benchmarks(words[3:])
    elif words[:3] == ["python", "-m", "website"]:
        assert len(words) <= 4
    elif words[0] == "python" and words[1] != "-m":
        assert (REPOSITORY / words[1]).is_file(), f"no file {words[1]}"
        _check_tool(Path(words[1]).stem, words[2:], folder)
    elif words[0].startswith("ccafl-"):
        assert words[0] in scripts, f"no command {words[0]}"
        _check_tool(words[0].removeprefix("ccafl-").replace("-", "_"), words[1:], folder)
    elif words[:2] == ["pip", "install"]:
        for name in re.findall(r"\[([\w,]+)\]", " ".join(words)):
            assert set(name.split(",")) <= extras, f"no extra {name}"
    elif words[:2] == ["git", "clone"]:
        assert words[2] == HOME
    else:
        assert " ".join(words) in OTHERS, f"nothing checks {' '.join(words)!r}"


def _check_tool(name: str, words: list[str], folder: Path) -> None:
    if name != "train":
        importlib.import_module(PARSERS[name]).parser().parse_args(words)
        return
    given = train_command.parser().parse_args(words)
    train_command.check_names(given)
    pairs = given.opts[1:] if given.opts[:1] == ["--"] else given.opts
    for key in ("model.resume", "model.load_weights"):
        if key in pairs and pairs[pairs.index(key) + 1] != "auto":
            file = folder / "file"
            file.touch()
            pairs[pairs.index(key) + 1] = str(file)
    file = None if given.config_file == PLACEHOLDER else config_file(given.config_file)
    named = {"sources": given.sources, "targets": given.targets, "transforms": given.transforms, "root": given.root}
    load_config(file, pairs, **named)
