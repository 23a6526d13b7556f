"""Weights whose batch norms were folded keep their features, and training goes on from these."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
import torchreid
from torch import Tensor, nn

from ccafl_plugin.models.folded_norms import are_folded, restore
from ccafl_plugin.models.pooling import NeckBatchNorm


def small_net(seed: int = 0) -> nn.Sequential:
    """A trained-looking model with batch norms of three shapes of input."""
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 4, 1), nn.BatchNorm2d(4), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 6), nn.BatchNorm1d(6),
    )  # fmt: skip
    for norm in norms_of(model):
        nn.init.uniform_(norm.weight, 0.5, 2)
        nn.init.normal_(norm.bias)
    model.train()
    for _ in range(60):
        model(3 + 2 * torch.randn(32, 3, 9, 7))
    return model.double().eval()


def norms_of(model: nn.Module) -> list[nn.BatchNorm1d | nn.BatchNorm2d]:
    return [module for module in model.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]


@torch.no_grad()
def folded(model: nn.Sequential, exact: bool = False) -> nn.Sequential:
    """The same model with neutral batch norms, as an export has it; ``exact``: variances are 1 - eps, not 1."""
    model = copy.deepcopy(model)
    for layer, norm in itertools.pairwise(model):
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            scale = norm.weight / (norm.running_var + norm.eps).sqrt()
            neutral = 1.0 if exact else (1 + norm.eps) ** 0.5
            layer.weight *= (scale * neutral).view(-1, *[1] * (layer.weight.ndim - 1))
            layer.bias.copy_((layer.bias - norm.running_mean) * scale * neutral)
            norm.weight.fill_(1)
            norm.running_mean.zero_()
            norm.running_var.fill_(1 - norm.eps if exact else 1)
    return model


def images(count: int = 64, seed: int = 1) -> Tensor:
    torch.manual_seed(seed)
    return 3 + 2 * torch.randn(count, 3, 9, 7, dtype=torch.float64)


@pytest.mark.parametrize("exact", [False, True])
def test_features_stay_and_training_starts_from_them(exact: bool) -> None:
    exported = folded(small_net(), exact)
    expected = exported(images())
    torch.testing.assert_close(expected, small_net()(images()))
    assert are_folded(exported)
    spoilt = copy.deepcopy(exported).train()(images())
    assert (spoilt - expected).abs().max() > 0.5
    restore(exported, images(seed=2).split(10))
    torch.testing.assert_close(exported(images()), expected)
    assert not are_folded(exported) and not exported.training
    restored = exported.train()(images(seed=2))
    torch.testing.assert_close(restored, folded(small_net())(images(seed=2)), rtol=1e-5, atol=1e-5)


def test_statistics_are_those_of_all_inputs_whatever_the_batches() -> None:
    exported = folded(small_net())
    inputs = images()
    first = exported[0](inputs)
    restore(exported, inputs.split([1, 40, 23]))
    torch.testing.assert_close(exported[1].running_mean, first.mean(dim=(0, 2, 3)), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(exported[1].running_var, first.var(dim=(0, 2, 3), correction=0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["random", "trained", "none", "two of three"])
def test_other_models_are_left_alone(kind: str) -> None:
    model: nn.Module = small_net()
    if kind == "random":
        model = torchreid.models.build_model("osnet_x0_25", 4, pretrained=False)
    if kind == "none":
        model = nn.Linear(3, 2)
    if kind == "two of three":
        trained = model
        model = folded(small_net())
        model[1], model[9] = trained[1], trained[9]
    assert not are_folded(model)


def test_a_channel_that_never_fires_and_a_norm_that_no_image_reaches() -> None:
    exported = folded(small_net())
    with torch.no_grad():
        exported[3].weight[2] = 0
    exported[3].register_module("unused", nn.BatchNorm1d(3))
    expected = exported(images())
    restore(exported, images(seed=2).split(16))
    torch.testing.assert_close(exported(images()), expected)
    assert all(bool(norm.weight.isfinite().all()) for norm in norms_of(exported))
    assert bool((exported[3].unused.running_mean == 0).all())


def test_a_norm_that_was_not_folded_stays() -> None:
    """In an OSNet from an ONNX file, all batch norms but the last one are folded."""
    exported, trained = folded(small_net()), small_net()[9]
    exported[8], exported[9] = small_net()[8], trained
    assert are_folded(exported)
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    expected = exported(images())
    restore(exported, images(seed=2).split(16))
    torch.testing.assert_close(exported(images()), expected)
    assert all(torch.equal(value, before[name]) for name, value in trained.state_dict().items())
    assert not are_folded(exported)


def test_a_neck_without_a_bias_stays() -> None:
    """It could not take back what another mean changes. A new one is neutral, as folded norms are."""
    exported = folded(small_net()).append(NeckBatchNorm(6).double()).eval()
    expected = exported(images())
    assert are_folded(exported)
    restore(exported, images(seed=2).split(16))
    torch.testing.assert_close(exported(images()), expected)
    assert bool((exported[-1].running_mean == 0).all())


def test_norms_that_share_their_weights_stay() -> None:
    """Each sees other inputs, and one weight can't take both changes back."""
    exported = folded(small_net())
    twin = nn.BatchNorm2d(5).double()
    twin.weight, twin.bias = exported[1].weight, exported[1].bias
    exported = nn.Sequential(*exported[:2], twin, *exported[2:]).eval()
    expected = exported(images())
    restore(exported, images(seed=2).split(16))
    torch.testing.assert_close(exported(images()), expected)
    assert bool((exported[1].running_mean == 0).all()) and bool((exported[5].running_mean != 0).any())
