"""Files named as weights or checkpoints that are none, or another model's: one line with the key and the file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchreid
from torch import nn

from tests.hostile.file_contents import good, saved
from tests.hostile.weight_files import ALL
from tests.mistakes.conftest import Refused

CHOSEN = (
    "no weights: an empty file",
    "no weights: a web page",
    "no weights: a JSON error",
    "no weights: a pointer of Git LFS",
    "no weights: a gzip archive",
    "no weights: a PNG image",
    "no weights: NumPy's arrays",
    "no weights: random bytes",
    "code: in torch.save's archive",
    "code: a whole model",
    "damage: half an archive",
    "damage: one flipped bit in a weight",
    "content: a number for the tensors",
    "content: numbers",
    "content: a list",
    "content: a list for a tensor",
    "content: an optimizer alone",
    "content: nothing",
)
"""Of the table of hostile files; here by the command. The whole table is read by four readers in tests/hostile."""


def tiny(**settings: Any) -> nn.Module:
    return torchreid.models.build_model("clip_tiny", num_classes=3, loss="softmax", pretrained=False, **settings)


def without(name: str) -> bytes:
    state = tiny().state_dict()
    state.pop(next(key for key in state if name in key))
    return saved({"state_dict": state})


def another(name: str) -> bytes:
    model = torchreid.models.build_model(name, num_classes=3, loss="softmax", pretrained=False)
    return saved({"state_dict": model.state_dict(), "epoch": 3, "rank1": 0.5})


def transposed() -> bytes:
    state = tiny().state_dict()
    key = next(key for key, tensor in state.items() if tensor.ndim == 4)
    return saved({**state, key: state[key].transpose(2, 3)[..., :1].contiguous()})


OF_MODELS: dict[str, tuple[Callable[[], bytes], str]] = {
    "another model": (lambda: another("osnet_x0_25"), "is a checkpoint of another model than model.name"),
    "a tensor is missing": (lambda: without("weight"), "of the model's tensors are missing"),
    "a tensor of another shape": (transposed, "is a checkpoint of another model than model.name"),
    "a tensor too many": (lambda: saved({**tiny().state_dict(), "more": torch.zeros(2)}), "have no place in the model"),
    "two tensors of nothing": (lambda: saved(good()), "it has none of the model's"),
}


@pytest.mark.parametrize("name", [*CHOSEN, *OF_MODELS])
def test_weights(name: str, tmp_path: Path, refused: Refused, count: Counter[str]) -> None:
    make, _ = OF_MODELS[name] if name in OF_MODELS else ALL[name]
    file = tmp_path / "weights.pth"
    file.write_bytes(make())
    line = refused(str(file), "model.load_weights", str(file))
    assert line.startswith("error: model.load_weights: ")
    count["files of weights"] += 1


@pytest.mark.parametrize("name", CHOSEN[::2])
def test_weights_of_clip(name: str, tmp_path: Path, refused: Refused, count: Counter[str]) -> None:
    file = tmp_path / "clip.pt"
    file.write_bytes(ALL[name][0]())
    arguments = ("ccafl.clip_weights", str(file), "model.pretrained", "True")
    assert refused(str(file), *arguments).startswith("error: ccafl.clip_weights: ")
    count["files of weights"] += 1


@pytest.mark.parametrize("name", CHOSEN[1::2])
def test_a_checkpoint_of_torchreids_engine(name: str, tmp_path: Path, refused: Refused, count: Counter[str]) -> None:
    file = tmp_path / "model.pth.tar-1"
    file.write_bytes(ALL[name][0]())
    arguments = ("loss.name", "softmax", "sampler.train_sampler", "RandomSampler")
    line = refused(str(file), "model.resume", str(file), *arguments)
    assert line.startswith("error: model.resume: ")
    count["files of weights"] += 1


MANIFESTS: dict[str, str] = {
    "no JSON": "{",
    "a list": "[]",
    "empty": "",
    "no parts": json.dumps({"epoch": 1}),
    "parts outside": json.dumps({"epoch": 1, "parts": {"model": "../weights"}}),
    "a missing part": json.dumps({"epoch": 1, "parts": {"model": "model/model.pth.tar-9"}}),
    "an epoch that is none": json.dumps({"epoch": "one", "parts": {}}),
}


@pytest.mark.parametrize("key", ["model.resume", "ccafl.branch_from"])
@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests(name: str, key: str, tmp_path: Path, refused: Refused, count: Counter[str]) -> None:
    folder = tmp_path / "run"
    (folder / "model").mkdir(parents=True)
    (folder / "checkpoint-1.json").write_text(MANIFESTS[name], encoding="utf-8")
    line = refused(str(folder), key, str(folder))
    assert line.startswith(f"error: {key}: ")
    count["manifests of checkpoints"] += 1


def test_there_are_enough() -> None:
    """At least 20 files of weights."""
    assert len(CHOSEN) + len(OF_MODELS) >= 20
