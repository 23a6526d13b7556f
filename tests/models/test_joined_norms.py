"""Batch norms of several processes; what they compute together needs GPUs, so here it is what they keep."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ccafl_plugin.models import joined_norms
from ccafl_plugin.models.joined_norms import SyncNeckBatchNorm, join_batch_norms, join_if_shared
from ccafl_plugin.models.pooling import NeckBatchNorm


def test_parameters_buffers_and_names_are_kept() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, momentum=0.3), nn.Flatten(), NeckBatchNorm(4))
    model[1].running_mean.uniform_()
    model[3].running_var.uniform_(1, 2)
    model[3].eval()
    parameters, state = list(model.parameters()), {name: value.clone() for name, value in model.state_dict().items()}
    model.eval()
    images = torch.randn(2, 3, 1, 1)
    before = model(images)
    join_batch_norms(model)
    assert type(model[1]) is nn.SyncBatchNorm and type(model[3]) is SyncNeckBatchNorm
    assert model[1].momentum == 0.3 and not model[3].training and model[3].bias is None
    assert [id(each) for each in model.parameters()] == [id(each) for each in parameters]
    found = model.state_dict()
    assert list(found) == list(state) and all(torch.equal(found[name], state[name]) for name in state)
    assert torch.equal(model(images), before)
    assert model[3](torch.randn(2, 4, dtype=torch.float16)).dtype == torch.float32
    join_batch_norms(model)  # again: nothing is lost
    assert model[3].bias is None


@pytest.mark.parametrize(
    ("processes", "device", "wanted", "kind"),
    [
        (2, "cuda", True, nn.SyncBatchNorm),
        (2, "cuda", False, nn.BatchNorm1d),
        (2, "cpu", True, nn.BatchNorm1d),
        (1, "cuda", True, nn.BatchNorm1d),
    ],
)
def test_they_are_joined_for_several_processes_on_gpus(
    processes: int, device: str, wanted: bool, kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joined_norms, "num_processes", lambda: processes)
    model = nn.Sequential(nn.BatchNorm1d(2))
    join_if_shared(model, torch.device(device), wanted)
    assert type(model[0]) is kind
