"""docs/search.md: its commands and its program run, in their order, on a few pictures."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path

import pytest
import torch

from ccafl_plugin.features import extract_command, search_command, thresholds_command
from ccafl_plugin.models import build_clip
from ccafl_plugin.models.weights_description import WeightsDescription, save
from ccafl_plugin.options import options
from tests.data.own_pictures import write

REPOSITORY = Path(__file__).resolve().parent.parent
TEXT = (REPOSITORY / "docs" / "search.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(sh|python)\n(.*?)```", TEXT, re.DOTALL)
TOOLS = {"extract": extract_command, "search": search_command, "thresholds": thresholds_command}


@pytest.mark.skipif(importlib.util.find_spec("faiss") is None, reason="needs ccafl_plugin[search]")
def test_its_commands_and_its_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    names = [f"{camera}/{n}/{image}.png" for camera in ("entrance", "yard") for n in (1, 2) for image in "ab"]
    write(tmp_path / "my-cameras", *names)
    torch.manual_seed(0)
    with options.override(input_size=(64, 32)):
        model = build_clip("clip_tiny", 4, "ccafl", pretrained=False)
    described = WeightsDescription("clip_tiny", 64, 32, 512, activation="quick_gelu", embedding_dim=128)
    save(tmp_path / "weights.safetensors", described, model.state_dict(), model.text_encoder.state_dict())
    monkeypatch.chdir(tmp_path)
    ran = 0
    for kind, block in BLOCKS:
        if kind == "python":
            exec(block, {})
            lines = capsys.readouterr().out.splitlines()
            assert len(lines) == 3 and all(line.endswith(" entrance") for line in lines)
            continue
        for command in block.splitlines():
            python, tool, *words = shlex.split(command)
            assert python == "python" and (REPOSITORY / tool).is_file()
            code = TOOLS[Path(tool).stem].main(words)
            printed = capsys.readouterr()
            assert code == 0, printed.err
            ran += 1
            if "query" in words:
                assert re.search(r"^ *1 +\d\.\d{4} ", printed.out, re.MULTILINE)
            elif "thresholds" not in tool:
                assert "8 features" in printed.out
    assert ran == 10
    made = {path.name for path in tmp_path.iterdir()}
    assert {
        "features.safetensors",
        "features.index.json",
        "people",
        "clean",
        "clean.cameras.safetensors",
        "result.html",
        "weights.thresholds.json",
    } <= made


def test_its_headings() -> None:
    headings = {
        re.sub(r"[^\w -]", "", line[3:].lower()).replace(" ", "-") for line in TEXT.splitlines() if line[:3] == "## "
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) == headings
