from __future__ import annotations

import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from ccafl_plugin.optim import (
    FollowingRate,
    fuse_steps,
    is_bias,
    load_state,
    parameter_groups,
    warmup_cosine,
    warmup_multi_step,
)
from ccafl_plugin.utils.errors import CCAFLError


def rates(build, epochs: int, lr: float = 3.5e-4) -> list[float]:
    """Learning rate in each epoch, stepped once at its end."""
    optimizer = torch.optim.Adam([nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler = build(optimizer)
    seen = []
    for _ in range(epochs):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


def test_multi_step_with_the_papers_values():
    seen = rates(lambda optimizer: warmup_multi_step(optimizer, [40, 50]), 60)
    for epoch, rate in enumerate(seen):
        if epoch < 10:
            expected = 3.5e-4 * (0.01 + 0.99 * epoch / 10)
        else:
            expected = 3.5e-4 if epoch < 40 else 3.5e-5 if epoch < 50 else 3.5e-6
        assert rate == pytest.approx(expected, rel=1e-12), epoch
    assert seen[0] == pytest.approx(3.5e-6)


def test_cosine_with_the_prompt_stages_values():
    """Warm-up from 1e-5 over 5 epochs to 3.5e-4, then a cosine over 60 epochs to 1e-6."""
    high, low, start = 3.5e-4, 1e-6, 1e-5
    seen = rates(lambda optimizer: warmup_cosine(optimizer, 60, 5, start / high, low / high), 63, lr=high)
    for epoch, rate in enumerate(seen):
        if epoch < 5:
            expected = start + (high - start) * epoch / 5
        elif epoch < 60:
            expected = low + (high - low) * (1 + math.cos(math.pi * epoch / 60)) / 2
        else:
            expected = low
        assert rate == pytest.approx(expected, rel=1e-12), epoch


@given(
    milestones=st.lists(st.integers(0, 12), max_size=4),
    gamma=st.floats(0.05, 1.0),
    warmup=st.integers(0, 6),
    start=st.floats(0.0, 1.0),
)
def test_multi_step_equals_a_walk_through_the_epochs(milestones, gamma, warmup, start):
    seen = rates(lambda optimizer: warmup_multi_step(optimizer, milestones, gamma, warmup, start), 14, lr=1.0)
    rate = 1.0
    for epoch in range(14):
        for milestone in milestones:
            if milestone == epoch:
                rate *= gamma
        expected = start + (1 - start) * epoch / warmup if epoch < warmup else rate
        assert seen[epoch] == pytest.approx(expected, rel=1e-9)


def test_a_schedule_goes_on_where_its_state_was_saved():
    def make():
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
        return optimizer, warmup_multi_step(optimizer, [3], 0.1, 2, 0.5)

    optimizer, scheduler = make()
    for _ in range(2):
        optimizer.step()
        scheduler.step()
    optimizer_state, scheduler_state = optimizer.state_dict(), scheduler.state_dict()
    resumed_optimizer, resumed = make()
    resumed_optimizer.load_state_dict(optimizer_state)
    resumed.load_state_dict(scheduler_state)
    for _ in range(3):
        for pair in ((optimizer, scheduler), (resumed_optimizer, resumed)):
            pair[0].step()
            pair[1].step()
        assert resumed_optimizer.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]


@pytest.mark.parametrize("milestones", [40, "40", None])
def test_multi_step_wants_a_list(milestones):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    with pytest.raises(CCAFLError, match=r"stepsize must be a list of epochs"):
        warmup_multi_step(optimizer, milestones)


def test_cosine_wants_epochs():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    with pytest.raises(CCAFLError, match="max_epoch must be positive"):
        warmup_cosine(optimizer, 0)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2)
        self.norm = nn.BatchNorm1d(4)
        self.frozen = nn.Linear(4, 4).requires_grad_(False)
        self.bias_free = nn.Linear(4, 4, bias=False)


def test_groups_are_biases_then_weights_without_frozen_parameters():
    model = Block()
    biases, weights = parameter_groups(model, lr=0.5, bias_lr_factor=2.0)
    assert (biases["lr"], weights["lr"]) == (1.0, 0.5)
    names = {parameter: name for name, parameter in model.named_parameters()}
    assert {names[parameter] for parameter in biases["params"]} == {
        "attention.in_proj_bias",
        "attention.out_proj.bias",
        "norm.bias",
    }
    assert {names[parameter] for parameter in weights["params"]} == {
        "attention.in_proj_weight",
        "attention.out_proj.weight",
        "norm.weight",
        "bias_free.weight",
    }


def test_no_empty_group():
    model = nn.Linear(2, 2, bias=False)
    (weights,) = parameter_groups(model, lr=0.1)
    assert weights == {"params": [model.weight], "lr": 0.1, "name": "weights"}


def test_nothing_to_train_is_an_error():
    with pytest.raises(CCAFLError, match="no trainable parameter"):
        parameter_groups(nn.Linear(2, 2).requires_grad_(False), lr=0.1)


def test_is_bias_looks_at_the_last_part_of_the_name():
    assert is_bias("layer.bias")
    assert is_bias("bias")
    assert is_bias("in_proj_bias")
    assert not is_bias("bias_free.weight")


class Readings(TorchDispatchMode):
    """Counts how often the host reads a number of a tensor."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


def scaled_steps(build, fused: bool, gradients: list[float]) -> tuple[torch.Tensor, list[int]]:
    """A parameter after steps with a gradient scaler, and how often each step read something back."""
    parameter = nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizer, scaler, counts = build([parameter]), torch.amp.GradScaler("cpu", init_scale=4.0), []
    assert fuse_steps(optimizer, ("cpu",) if fused else ()) == fused
    for gradient in gradients:
        scaler.scale((gradient * parameter).sum()).backward()
        with Readings() as readings:
            scaler.step(optimizer)
            scaler.update()
        counts.append(readings.count)
        optimizer.zero_grad()
    return parameter.detach(), counts


@pytest.mark.parametrize(
    "build",
    [
        lambda parameters: torch.optim.Adam(parameters, lr=0.1, weight_decay=5e-4),
        lambda parameters: torch.optim.Adam(parameters, lr=0.1, amsgrad=True),
        lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9),
    ],
)
def test_fused_steps_read_nothing_and_do_the_same(build):
    gradients = [1.0, -3.0, math.inf, 0.5]  # the third step must be left out
    plain, plain_counts = scaled_steps(build, False, gradients)
    fused, fused_counts = scaled_steps(build, True, gradients)
    torch.testing.assert_close(fused, plain)
    assert min(plain_counts) >= 1
    assert fused_counts == [0] * len(gradients)


def test_only_what_can_be_fused_is():
    cpu, meta = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2, device="meta"))
    assert not fuse_steps(torch.optim.Adam([cpu]))
    assert not fuse_steps(torch.optim.Adam([cpu, meta]), ("meta",))
    assert fuse_steps(torch.optim.Adam([meta]), ("meta",))
    assert not fuse_steps(torch.optim.RMSprop([meta]), ("meta",))


@pytest.mark.parametrize("fused", [(False, True), (True, False)])
def test_a_state_goes_on_under_the_other_kind_of_step(fused):
    """Saved on a CPU, loaded on a GPU, and the other way round."""

    def steps(parameter, optimizer, count):
        for _ in range(count):
            optimizer.zero_grad()
            parameter.square().sum().backward()
            optimizer.step()

    def make(fuse):
        parameter = nn.Parameter(torch.tensor([1.0, -2.0]))
        optimizer = torch.optim.Adam([{"params": [parameter], "name": "weights"}], lr=0.1)
        assert fuse_steps(optimizer, ("cpu",) if fuse else ()) == fuse
        return parameter, optimizer

    whole, optimizer = make(False)
    steps(whole, optimizer, 5)
    first, saving = make(fused[0])
    saving.param_groups[0]["lr"] = 0.1
    steps(first, saving, 3)
    state = saving.state_dict()
    before = copy.deepcopy(state)
    second, loading = make(fused[1])
    loading.param_groups[0]["lr"] = 77.0
    second.data.copy_(first.data)
    load_state(loading, state)
    assert state["param_groups"] == before["param_groups"]
    (group,) = loading.param_groups
    assert (group["lr"], group["name"], bool(group["fused"])) == (0.1, "weights", fused[1])
    steps(second, loading, 2)
    torch.testing.assert_close(second, whole)


def test_a_state_of_other_groups_is_refused():
    one, two = (torch.optim.Adam([{"params": [nn.Parameter(torch.zeros(1))]} for _ in range(n)]) for n in (1, 2))
    for target, source in ((one, two), (two, one)):
        with pytest.raises(ValueError, match="different number of parameter groups"):
            load_state(target, source.state_dict())


def test_a_rate_follows_anothers_schedule() -> None:
    leader = torch.optim.Adam([nn.Parameter(torch.zeros(1))], lr=3e-3)
    schedule = warmup_multi_step(leader, [4], warmup_epochs=2)
    optimizer = torch.optim.Adam([nn.Parameter(torch.zeros(1))], lr=1.0)
    following = FollowingRate(optimizer, leader, 0.5)
    seen = []
    for _ in range(6):
        seen.append((leader.param_groups[0]["lr"], optimizer.param_groups[0]["lr"]))
        leader.step()
        optimizer.step()
        schedule.step()
        following.step()
    assert [rate for rate, _ in seen] == pytest.approx([3e-5, 3e-3 * 0.505, 3e-3, 3e-3, 3e-4, 3e-4])
    assert all(own == 0.5 * rate for rate, own in seen)


def test_the_rate_of_the_last_group_is_followed_by_every_group() -> None:
    def optimizer(*rates: float) -> torch.optim.Optimizer:
        return torch.optim.SGD([{"params": [nn.Parameter(torch.zeros(1))], "lr": rate} for rate in rates])

    own = optimizer(1.0, 2.0)
    FollowingRate(own, optimizer(0.2, 0.1), 3.0)
    assert [group["lr"] for group in own.param_groups] == pytest.approx([0.3, 0.3])


@pytest.mark.parametrize("factor", [0.0, -1.0, math.inf, math.nan])
def test_a_rate_that_can_not_be_followed(factor: float) -> None:
    optimizer = torch.optim.Adam([nn.Parameter(torch.zeros(1))])
    with pytest.raises(CCAFLError, match="FollowingRate: the factor must be a number above 0"):
        FollowingRate(optimizer, optimizer, factor)
