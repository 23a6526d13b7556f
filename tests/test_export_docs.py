"""The page on export: its commands and programs run one after the other, and its tables name what there is."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch

from ccafl_plugin.exporting import KINDS
from ccafl_plugin.exporting.export_command import main, parser
from ccafl_plugin.features import FeatureExtractor
from ccafl_plugin.features.onnx_file import OnnxDescription
from tests.features.conftest import TINY, crops, tiny_model, tiny_weights
from tests.layouts_torchreid import REPOSITORY

pytest.importorskip("onnx", reason="ONNX files need the extra [export]")
pytest.importorskip("onnxruntime", reason="ONNX files need the extra [export]")

PAGE = (REPOSITORY / "docs" / "export.md").read_text(encoding="utf-8")
COMMANDS = [
    line for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE) for line in block.split("\n")
]
PROGRAMS = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
__all__ = ["crops", "tiny_model", "tiny_weights"]


def test_its_commands_and_programs(tiny_weights: Path, crops: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("log").mkdir()
    shutil.copy(tiny_weights, "log/weights.safetensors")
    shutil.copytree(crops, "gallery")
    shutil.copy(crops / "1.png", "query.jpg")  # images are told by their content
    for command in COMMANDS:
        words = shlex.split(command)
        if words[:1] == ["python"]:
            assert (REPOSITORY / words[1]).is_file()
            more = [] if "--for" in words else ["--pt2"]
            assert main([*words[2:], *more]) == 0
    assert {file.name for file in Path("log").iterdir()} == {
        *("weights.safetensors", "weights.onnx", "weights.pt2", "osnet_x0_25_ccafl.onnx")
    }
    names: dict[str, object] = {}
    exec(PROGRAMS[0], names)
    assert names["similarity"].argmax() == 1
    exec(PROGRAMS[1], names)
    expected = FeatureExtractor("log", "cpu")("query.jpg")
    torch.testing.assert_close(torch.from_numpy(names["feature"]), expected, rtol=0, atol=1e-4)
    exec(PROGRAMS[2], names)
    assert names["feature"].shape == (3, 512) and "clip_tiny" in names["extra"]["description.json"]


def test_its_tables_name_the_options_and_entries() -> None:
    first = " ".join(re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE))
    options = {option for action in parser()._actions for option in action.option_strings}
    assert set(re.findall(r"--\w+", first)) == options - {"-h", "--help"}
    assert {f"--{kind}" for kind in KINDS if kind != "onnx"} <= options
    own = set(OnnxDescription(TINY, (0, 0, 0), (1, 1, 1)).to_metadata()) - set(TINY.to_metadata())
    assert set(re.findall(r"`(\w+)`", first)) == own - {"ccafl_onnx", "input_range"}
