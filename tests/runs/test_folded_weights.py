"""Training from weights whose batch norms were folded; what restoring them does is tested in tests/models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torchreid
from torch import nn

from ccafl_plugin.models.folded_norms import are_folded
from ccafl_plugin.report.rebuilt_run import rebuilt
from ccafl_plugin.report.recorded_run import RecordedRun
from ccafl_plugin.runs import building

OSNET = (
    "model.name", "osnet_x0_25", "model.pretrained", "False", "ccafl.terms.icdl.weight_alignment", "0.0",
    "ccafl.terms.alignment.enabled", "False", "train.max_epoch", "1",
)  # fmt: skip
FOLDED = "were folded into its layers. They have the statistics of 54 training images now"


def test_training_restores_them_and_a_test_takes_them_as_they_are(
    command: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = torchreid.models.build_model("osnet_x0_25", 4, pretrained=False)
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d | nn.BatchNorm1d):
            nn.init.normal_(norm.bias, std=0.1)
    file = tmp_path / "folded.pth"
    torch.save({name: value for name, value in model.state_dict().items() if "classifier" not in name}, file)
    weights = (*OSNET, "model.load_weights", str(file))
    code, out, err = command(*weights)
    assert code == 0, err
    assert out.count(FOLDED) == 1
    code, out, err = command(*weights, "model.resume", str(tmp_path / "log"), "train.max_epoch", "2")
    assert code == 0, err
    assert FOLDED not in out
    log, other = tmp_path / "log", str(tmp_path / "other")
    for more in (["test.evaluate", "True"], ["ccafl.branch_from", str(log)], ["train.max_epoch", "0"]):
        code, out, err = command(*weights, "data.save_dir", other, *more)
        assert code == 0, err
        assert FOLDED not in out

    def fails(*_: object) -> None:
        raise AssertionError("a report does not train")

    monkeypatch.setattr(building, "restore", fails)
    with rebuilt(RecordedRun.read(log)) as again:
        assert are_folded(again.model)
