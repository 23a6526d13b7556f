"""Examples in docstrings run; a new one has to be added to the table with what it needs."""

from __future__ import annotations

import ast
import functools
import re
import shutil
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torchreid

import ccafl_plugin
from ccafl_plugin.engine import ImageCCAFLEngine, PromptStage
from ccafl_plugin.features import FeatureExtractor
from ccafl_plugin.options import options
from ccafl_plugin.utils.errors import WrongArgument
from tests.data.own_pictures import write
from tests.engine.small_runs import make_engine
from tests.features.conftest import tiny_model, tiny_weights
from tests.pages import REPOSITORY

__all__ = ["tiny_model", "tiny_weights"]


@functools.cache
def examples() -> tuple[tuple[str, str], ...]:
    """File and text of every block of code in a docstring."""
    return tuple(_examples())


def _examples() -> Iterator[tuple[str, str]]:
    for file in sorted((REPOSITORY / "ccafl_plugin").rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)) if "::\n" in text else ():
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                for block in re.findall(r"::\n\n((?: {4}.*\n?|\n)+)", (ast.get_docstring(node) or "") + "\n"):
                    yield str(file.relative_to(REPOSITORY / "ccafl_plugin")), textwrap.dedent(block)


def engine(program: str, folder: Path, pictures: Path, **_: Any) -> None:
    """The engine's, with one epoch."""
    made = make_engine(pictures)
    names = {"torchreid": torchreid, "datamanager": made.datamanager, "model": made.model}
    names |= {"optimizer": made.optimizer, "scheduler": made.scheduler}
    exec(program.replace("max_epoch=50", "max_epoch=1"), names)
    assert isinstance(names["engine"], ImageCCAFLEngine)
    assert list((folder / "log" / "ccafl" / "model").iterdir())


def extractor(program: str, folder: Path, weights: Path, **_: Any) -> None:
    """The extractor's, with a small model."""
    (folder / "log").mkdir()
    shutil.copy(weights, folder / "log" / "weights.safetensors")
    write(folder, "query.jpg", *(f"gallery/{n}.jpg" for n in range(3)))
    names: dict[str, Any] = {"FeatureExtractor": FeatureExtractor}
    exec(program, names)
    assert names["similarity"].shape == (1, 3)


def error(program: str, **_: Any) -> None:
    """The error's: its text has a braced name, which the message has without braces."""
    with pytest.raises(WrongArgument, match=r"^precision: 'fp16' needs a GPU\.$"):
        exec(program, {"WrongArgument": WrongArgument, "precision": "fp16"})


def settings(program: str, folder: Path, **_: Any) -> None:
    """The options', with the package's small CLIP in the place of RN50."""
    shutil.copy(Path(ccafl_plugin.__file__).parent / "weights" / "clip_tiny.safetensors", folder / "RN50.pt")
    names: dict[str, Any] = {"torchreid": torchreid}
    with options.override(input_size=(64, 32)):
        exec(program.replace('"clip_rn50"', '"clip_tiny"'), names)
        assert (options.iters_per_epoch, options.seed, options.clip_weights) == (100, 7, "")
    assert names["model"].feature_dim == 512


RUNNERS: dict[str, Callable[..., None]] = {
    "engine/ccafl_engine.py": engine,
    "features/extractor.py": extractor,
    "options.py": settings,
    "utils/errors.py": error,
}
"""File -> what runs the example in it."""


def test_every_example_is_in_the_table() -> None:
    assert sorted(file for file, _ in examples()) == sorted(RUNNERS)


@pytest.mark.parametrize(("file", "program"), examples(), ids=[file for file, _ in examples()])
def test_an_example_runs(
    file: str,
    program: str,
    pictures: Path,
    tiny_weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ccafl_plugin.engine.ccafl_engine.PromptStage", lambda: PromptStage(epochs=1))
    torch.manual_seed(0)
    RUNNERS[file](program=program, folder=tmp_path, pictures=pictures, weights=tiny_weights)
