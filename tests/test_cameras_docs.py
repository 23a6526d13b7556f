"""docs/cameras.md: its settings exist with their defaults, its command loads, its programs run."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from ccafl_plugin.config import default_config, load_config
from ccafl_plugin.metrics import CameraNeighbours
from ccafl_plugin.options import options

REPOSITORY = Path(__file__).resolve().parent.parent
PAGE = (REPOSITORY / "docs" / "cameras.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_settings_and_defaults() -> None:
    rows = re.findall(r"^\| `([\w.]+)` \| `(\w+)` \|", PAGE, re.MULTILINE)
    assert len(rows) == 4
    for key, value in rows:
        node: Any = default_config()
        for name in key.split("."):
            node = node[name]
        assert str(node) == value


def test_its_command_loads(tmp_path: Path) -> None:
    (command,) = re.findall(r"```sh\npython tools/train.py --config-file (\S+) --root \S+ (.*)\n```", PAGE)
    pairs = command[1].split()
    weights = tmp_path / "weights"
    weights.touch()
    pairs[pairs.index("model.load_weights") + 1] = str(weights)
    config = load_config(REPOSITORY / command[0], pairs)
    assert (config.test.camera_normalization, config.test.camera_rerank) == ("mean_std", True)


@pytest.mark.parametrize("program", PROGRAMS)
def test_its_programs_run(program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(program, names)
    if "options" in names:
        assert (options.camera_normalization, options.camera_rerank) == ("mean_std", True)
    if "feature" in names:
        assert names["feature"].shape == (1, 16)


def test_numbers_of_neighbours() -> None:
    defaults = {name: p.default for name, p in inspect.signature(CameraNeighbours).parameters.items()}
    (given,) = re.findall(r"CameraNeighbours\(torch.*?, (k1.*?)\)", PAGE)
    assert dict(pair.split("=") for pair in given.split(", ")) == {
        name: str(value) for name, value in defaults.items() if name != "cameras"
    }
    assert f"the {defaults['k1_intra']} nearest of its own camera and the {defaults['k1_inter']} nearest" in PAGE
    assert f"the {defaults['k2_inter']} nearest of the others" in PAGE
