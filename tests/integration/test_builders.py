"""torchreid's builders with the plugin's names, and with torchreid's own, which must give what they gave before."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
import torchreid
from torch import nn

from ccafl_plugin.data.samplers import SAMPLERS
from ccafl_plugin.integration.torchreid_layout import torchreid_module
from ccafl_plugin.models import clip
from ccafl_plugin.options import options
from ccafl_plugin.utils.errors import CCAFLError

TRAIN = [
    (f"{person:02d}_{camera}_{shot}.jpg", person, camera, 0)
    for camera in range(3)
    for person in range(camera, 6)
    for shot in range(4)
]


def seeded(function, *args, **kwargs):
    random.seed(5)
    np.random.seed(5)
    torch.manual_seed(5)
    return function(*args, **kwargs)


# Models


def test_build_model_still_builds_torchreids_models():
    model = torchreid.models.build_model("osnet_x0_25", num_classes=3, pretrained=False)
    assert type(model).__name__ == "OSNet"
    with pytest.raises(KeyError, match="Unknown model"):
        torchreid.models.build_model("no_such_model", num_classes=3)


def test_build_model_passes_everything_on(monkeypatch):
    seen = []
    monkeypatch.setattr(clip, "build_clip", lambda *args, **kwargs: seen.append((args, kwargs)))
    torchreid.models.build_model("clip_rn50", 751, loss="ccafl", pretrained=False, use_gpu=False)
    assert seen == [(("clip_rn50", 751), {"loss": "ccafl", "pretrained": False, "use_gpu": False})]


# Samplers


@pytest.mark.parametrize(
    "name",
    ["RandomIdentitySampler", "SequentialSampler", "RandomSampler", "RandomDomainSampler", "RandomDatasetSampler"],
)
def test_torchreids_samplers_draw_what_they_drew(name):
    build = torchreid_module("data.sampler").build_train_sampler
    drawn = []
    for function in (build, build.__wrapped__):
        sampler = seeded(function, TRAIN, name, batch_size=6, num_instances=2, num_cams=3, num_datasets=1)
        drawn.append(seeded(lambda sampler=sampler: list(sampler)))
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) > 0


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_the_plugins_samplers_take_torchreids_arguments_and_the_options(name):
    build = torchreid_module("data.datamanager").build_train_sampler
    with options.override(iters_per_epoch=5, seed=9):
        sampler = build(TRAIN, name, batch_size=6, num_instances=2, num_cams=1, num_datasets=1)
    assert type(sampler) is SAMPLERS[name]
    assert (sampler.iters_per_epoch, sampler.seed, sampler.batch_size, sampler.num_instances) == (5, 9, 6, 2)
    assert list(sampler) == list(SAMPLERS[name](TRAIN, 6, 2, 5, 9))


def test_an_unknown_sampler_is_torchreids_error():
    with pytest.raises(AssertionError, match="train_sampler must be one of"):
        torchreid_module("data.sampler").build_train_sampler(TRAIN, "NoSampler")


# Optimizers

OPTIMIZERS = ["adam", "amsgrad", "sgd", "rmsprop", "radam"]


def layers() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2, bias=False))


class Ours(nn.Module):
    """Looks like one of the plugin's models to the optimizer's builder."""

    is_ccafl_backbone = True

    def __init__(self) -> None:
        super().__init__()
        self.body = layers()
        self.frozen = nn.Linear(2, 2).requires_grad_(False)


def described(optimizer: torch.optim.Optimizer) -> tuple:
    """Type, defaults and groups, with the identity of every parameter."""
    groups = [{**group, "params": [id(parameter) for parameter in group["params"]]} for group in optimizer.param_groups]
    return type(optimizer), optimizer.defaults, groups


@pytest.mark.parametrize("staged", [False, True])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_torchreids_models_get_the_optimizer_they_got(name, staged):
    build = torchreid.optim.build_optimizer
    model = layers()
    arguments = {"optim": name, "lr": 0.02, "staged_lr": staged, "new_layers": ["2"], "base_lr_mult": 0.5}
    assert described(build(model, **arguments)) == described(build.__wrapped__(model, **arguments))
    assert described(build(model, name, 0.02)) == described(build.__wrapped__(model, name, 0.02))


@pytest.mark.parametrize("wrap", [nn.Module, nn.DataParallel])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_plugins_models_get_biases_at_their_own_rate(name, wrap):
    model = Ours()
    given = wrap(model) if wrap is nn.DataParallel else model
    optimizer = torchreid.optim.build_optimizer(given, optim=name, lr=0.1, weight_decay=0.3, momentum=0.5)
    biases, weights = optimizer.param_groups
    names = {id(parameter): key for key, parameter in model.named_parameters()}
    assert {names[id(p)] for p in biases["params"]} == {"body.0.bias", "body.1.bias"}
    assert {names[id(p)] for p in weights["params"]} == {"body.0.weight", "body.1.weight", "body.2.weight"}
    assert (biases["lr"], weights["lr"]) == (0.2, 0.1)
    assert (biases["weight_decay"], weights["weight_decay"]) == (0.3, 0.3)
    plain = torchreid.optim.build_optimizer.__wrapped__(layers(), optim=name, lr=0.1, weight_decay=0.3, momentum=0.5)
    assert type(optimizer) is type(plain)
    assert optimizer.defaults == plain.defaults


def test_staged_rates_are_left_to_torchreid():
    model = Ours()
    build = torchreid.optim.build_optimizer
    arguments = {"lr": 0.1, "staged_lr": True, "new_layers": "frozen"}
    assert described(build(model, **arguments)) == described(build.__wrapped__(model, **arguments))


def test_bias_rate_comes_from_the_options():
    with options.override(bias_lr_factor=3.0):
        assert torchreid.optim.build_optimizer(Ours(), lr=0.1).param_groups[0]["lr"] == pytest.approx(0.3)
    with options.override(bias_lr_for_all_models=True):
        assert [group["lr"] for group in torchreid.optim.build_optimizer(layers(), lr=0.1).param_groups] == [0.2, 0.1]
    assert [group["lr"] for group in torchreid.optim.build_optimizer(layers(), lr=0.1).param_groups] == [0.1]


def test_what_is_not_a_model_is_torchreids_error():
    with (
        pytest.raises(TypeError, match=r"must be an instance of nn\.Module"),
        options.override(bias_lr_for_all_models=True),
    ):
        torchreid.optim.build_optimizer([1])
    with pytest.raises(ValueError, match="Unsupported optim"):
        torchreid.optim.build_optimizer(Ours(), optim="adamw9")


# Schedulers


def walk(build, name, **arguments) -> list:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = build(optimizer, lr_scheduler=name, **arguments)
    seen = [type(scheduler)]
    for _ in range(6):
        seen.append((optimizer.param_groups[0]["lr"], scheduler.state_dict()))
        optimizer.step()
        scheduler.step()
    return seen


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("single_step", {"stepsize": 2, "gamma": 0.3}),
        ("single_step", {"stepsize": [1, 3]}),
        ("multi_step", {"stepsize": [2, 3], "gamma": 0.5}),
        ("cosine", {"max_epoch": 5}),
    ],
)
def test_torchreids_schedulers_go_as_they_went(name, arguments):
    build = torchreid.optim.build_lr_scheduler
    assert walk(build, name, **arguments) == walk(build.__wrapped__, name, **arguments)


def test_unknown_schedulers_are_torchreids_error_and_it_lists_all():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    with pytest.raises(ValueError, match=r"Unsupported scheduler.*single_step.*warmup_multi_step.*warmup_cosine"):
        torchreid.optim.build_lr_scheduler(optimizer, "warmup")


def test_warm_up_reads_the_options():
    optimizer = torchreid.optim.build_optimizer(Ours(), lr=0.1)
    with options.override(warmup_epochs=2, warmup_factor=0.1):
        scheduler = torchreid.optim.build_lr_scheduler(optimizer, "warmup_multi_step", stepsize=[3], gamma=0.5)
    seen = []
    for _ in range(4):
        seen.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    assert np.allclose(seen, [[0.02, 0.01], [0.11, 0.055], [0.2, 0.1], [0.1, 0.05]], rtol=1e-12)


def test_cosine_reads_the_options():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    with options.override(warmup_epochs=1, warmup_factor=0.25, cosine_final_factor=0.5):
        scheduler = torchreid.optim.build_lr_scheduler(optimizer, lr_scheduler="warmup_cosine", max_epoch=4)
    seen = []
    for _ in range(5):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert np.allclose(seen, [0.25, 0.5 + 0.5 * (1 + 0.5**0.5) / 2, 0.75, 0.5 + 0.5 * (1 - 0.5**0.5) / 2, 0.5])


def test_milestones_must_be_a_list():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    with pytest.raises(CCAFLError, match="stepsize must be a list"):
        torchreid.optim.build_lr_scheduler(optimizer, "warmup_multi_step", stepsize=40)
