"""What the pretraining command refuses before it renders anything, and what it never writes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ccafl_plugin.synthetic import pretrain_command
from ccafl_plugin.synthetic.pretrain_command import main, new_model
from ccafl_plugin.synthetic.pretraining.weights_file import save_weights
from ccafl_plugin.utils.errors import CCAFLError


@pytest.fixture(autouse=True)
def nothing_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    def rendered(*_: object) -> None:
        raise AssertionError("rendering began")

    monkeypatch.setattr(pretrain_command, "draw_people", rendered)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--learning-rate", "inf"], "--learning-rate: inf is out of range"),
        (["--learning-rate", "nan"], "--learning-rate: nan is out of range"),
        (["--learning-rate", "0"], "--learning-rate: 0.0 is out of range"),
        (["--weight-decay", "nan"], "--weight-decay: nan is out of range"),
        (["--weight-decay", "-1"], "--weight-decay: -1.0 is out of range"),
        (["--steps", "0"], "--steps: 0 is out of range"),
        (["--batch-size", "1"], "--batch-size: 1 pairs"),
        (["--seed", "-1"], "--seed: -1 is out of range"),
        (["--output", "/dev/null/weights.safetensors"], "can't be written"),
        (["--output", "/dev/zero"], "can't be written: it is no file"),
        (["--output", "/proc/weights.safetensors"], "can't be written"),
    ],
)
def test_a_wrong_argument_is_one_line_before_anything_is_rendered(
    arguments: list[str], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "kept.safetensors"
    kept.write_bytes(b"the old weights")
    assert main(["--output", str(kept), *arguments]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and expected in err and err.count("\n") == 1
    assert kept.read_bytes() == b"the old weights"
    assert [file.name for file in tmp_path.iterdir()] == [kept.name]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_never_written(value: float, tmp_path: Path) -> None:
    kept = tmp_path / "kept.safetensors"
    kept.write_bytes(b"the old weights")
    model = new_model(0)
    with torch.no_grad():
        next(model.image_encoder.parameters()).view(-1)[0] = value
    with pytest.raises(CCAFLError, match=r"is not written: '[^\n]+' holds numbers that are not finite"):
        save_weights(model, kept, {})
    assert kept.read_bytes() == b"the old weights"
    assert [file.name for file in tmp_path.iterdir()] == [kept.name]
