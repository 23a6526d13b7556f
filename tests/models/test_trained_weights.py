"""The fingerprint of weights; loading them is tested with the command that does it (tests/runs)."""

from __future__ import annotations

import torch
from torch import nn

from ccafl_plugin.models.trained_weights import fingerprint_of


class Model(nn.Module):
    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).to(torch.bfloat16)
        self.classifier = nn.Linear(4, classes)


def test_a_fingerprint_names_what_makes_features() -> None:
    model = Model()
    name = fingerprint_of(model)
    assert len(name) == 16
    assert fingerprint_of(Model()) == name
    assert fingerprint_of(Model(classes=9)) == name
    assert fingerprint_of(nn.DataParallel(Model())) == name
    model.encoder[1].num_batches_tracked += 1
    assert fingerprint_of(model) == name
    for tensor in (model.encoder[0].weight, model.encoder[1].running_mean, model.encoder[1].bias):
        before = tensor.data.clone()
        tensor.data.view(-1)[-1] += 1
        assert fingerprint_of(model) != name
        tensor.data.copy_(before)
    assert fingerprint_of(model) == name
    assert fingerprint_of(model.float()) != name
