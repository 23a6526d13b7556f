"""Switches that change what a step costs, not what it gives: checkpointing, memory format, compilation."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from ccafl_plugin.models import build_clip
from ccafl_plugin.models.running_statistics import running_statistics_kept
from ccafl_plugin.options import options
from ccafl_plugin.utils.errors import CCAFLError

SIZE = (64, 32)


def build(name: str = "clip_tiny", **switches: bool) -> nn.Module:
    torch.manual_seed(0)
    with options.override(input_size=SIZE, **switches):
        return build_clip(name, 4, loss="ccafl", pretrained=False).double().train()


def small_vit(gradient_checkpointing: bool = False) -> nn.Module:
    """A ViT tower on open_clip's own transformer that stands for a whole model."""
    import open_clip

    from ccafl_plugin.models.towers import ViTTower

    torch.manual_seed(3)
    vision = {"image_size": 224, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16}
    text = {"width": 64, "heads": 1, "layers": 1, "vocab_size": 100}
    tower = ViTTower(open_clip.CLIP(48, vision, text, quick_gelu=True).visual, (14, 14), SIZE).double().train()
    tower.gradient_checkpointing = gradient_checkpointing
    return tower


def steps(model: nn.Module, count: int = 2) -> dict[str, Tensor]:
    """Outputs, gradients, weights and buffers after training steps, and the random state."""
    rng = torch.Generator().manual_seed(1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    torch.manual_seed(5)
    for _ in range(count):
        outputs = model(torch.randn(3, 3, *SIZE, generator=rng, dtype=torch.float64))
        outputs = [outputs] if isinstance(outputs, Tensor) else [output for output in outputs if output is not None]
        optimizer.zero_grad()
        sum(output.square().sum() for output in outputs).backward()
        optimizer.step()
    found = {f"output {i}": output.detach() for i, output in enumerate(outputs)}
    found |= {f"gradient of {name}": p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {**found, **{k: v.clone() for k, v in model.state_dict().items()}, "random state": torch.get_rng_state()}


def assert_equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


def activations(model: nn.Module) -> int:
    """Bytes that a forward pass keeps for the backward pass beside the weights."""
    kept: dict[int, int] = {}
    weights = {value.untyped_storage().data_ptr() for value in model.state_dict().values()}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        outputs = model(torch.zeros(2, 3, *SIZE, dtype=torch.float64))
    del outputs
    return sum(size for pointer, size in kept.items() if pointer not in weights)


def test_gradient_checkpointing_gives_the_same_bits_with_less_memory() -> None:
    plain, checkpointed = build(), build(gradient_checkpointing=True)
    assert plain.image_encoder.gradient_checkpointing is False
    assert checkpointed.image_encoder.gradient_checkpointing is True
    assert_equal(steps(checkpointed), steps(plain))
    assert int(checkpointed.image_encoder.visual.bn1.num_batches_tracked) == 2
    assert activations(checkpointed) < 0.6 * activations(plain)


def test_gradient_checkpointing_of_the_transformer() -> None:
    plain, checkpointed = small_vit(), small_vit(gradient_checkpointing=True)
    assert_equal(steps(checkpointed), steps(plain))
    assert activations(checkpointed) < 0.6 * activations(plain)


def test_gradient_checkpointing_repeats_random_draws() -> None:
    """A stage with dropout draws the same in its second computation, and leaves the random state alone."""
    outcomes = []
    for switch in (False, True):
        model = build(gradient_checkpointing=switch)
        model.image_encoder.visual.layer2.append(nn.Dropout(0.5))
        outcomes.append(steps(model))
    assert_equal(*outcomes)


def test_nothing_is_computed_twice_in_evaluation_or_without_gradients() -> None:
    model = build(gradient_checkpointing=True)
    calls = []
    model.image_encoder.visual.layer1.register_forward_pre_hook(lambda *_: calls.append(1))
    images = torch.zeros(2, 3, *SIZE, dtype=torch.float64)
    with torch.no_grad():
        model(images)
    feature = model.eval()(images)
    feature.sum().backward()
    assert len(calls) == 2
    model.train()(images)[0].sum().backward()
    assert len(calls) == 4


def test_running_statistics_are_kept_and_restored() -> None:
    model = nn.Sequential(nn.BatchNorm1d(3), nn.BatchNorm1d(3, momentum=None), nn.BatchNorm1d(3).eval())
    model[2].momentum = 0.7
    inputs, before = torch.randn(4, 3), copy.deepcopy(model.state_dict())
    with running_statistics_kept(model):
        expected = model(inputs)
    assert_equal(dict(model.state_dict()), before)
    assert [norm.momentum for norm in model] == [0.1, None, 0.7]
    assert torch.equal(model(inputs), expected)
    assert [int(norm.num_batches_tracked) for norm in model] == [1, 1, 0]
    with pytest.raises(ZeroDivisionError), running_statistics_kept(model):
        raise ZeroDivisionError
    assert model[0].momentum == 0.1


def test_memory_format_changes_the_layout_only() -> None:
    last, first = build(), build(channels_last=False)
    layouts = []
    for model in (last, first):
        model.image_encoder.visual.layer4.register_forward_hook(
            lambda module, inputs, output: layouts.append(output.is_contiguous(memory_format=torch.channels_last))
        )
    outcomes = [steps(model, 1) for model in (last, first)]
    assert layouts == [True, False]
    for name, value in outcomes[0].items():
        torch.testing.assert_close(outcomes[1][name], value, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", ["resnet", "vit"])
def test_compiled_stages_give_the_same(kind: str) -> None:
    """With a compiler that counts what it is given and runs it as it is."""
    graphs = []

    def compiler(graph: torch.fx.GraphModule, inputs: list[Tensor]):
        graphs.append(graph)
        return graph.forward

    model = build() if kind == "resnet" else small_vit()
    plain = copy.deepcopy(model)
    names = list(model.state_dict())
    if kind == "resnet":
        model.compile_image_encoder(backend=compiler)
    else:
        model.compile_stages(backend=compiler)
    assert list(model.state_dict()) == names
    outcome, expected = steps(model), steps(plain)
    assert len(graphs) >= (5 if kind == "resnet" else 1)
    for name, value in expected.items():
        torch.testing.assert_close(outcome[name], value, rtol=1e-12, atol=1e-12)
    graphs.clear()
    assert_equal(steps(copy.deepcopy(plain)), steps(copy.deepcopy(model)))  # a copy has its own weights
    assert not graphs
    torch._dynamo.reset()


def test_training_runs_compiled_after_extractions_of_several_sizes() -> None:
    executed = []

    def compiler(graph: torch.fx.GraphModule, inputs: list[Tensor]):
        return lambda *values: executed.append(graph) or graph.forward(*values)

    model = build()
    model.compile_image_encoder(backend=compiler)
    with torch.no_grad():
        for images in (4, 3, 4):
            model.eval()(torch.rand(images, 3, *SIZE, dtype=torch.float64))
    for images in (4, 4):
        executed.clear()
        model.train()(torch.rand(images, 3, *SIZE, dtype=torch.float64))
        assert len(executed) == 5
    torch._dynamo.reset()


def test_compilation_and_checkpointing_exclude_each_other() -> None:
    with pytest.raises(CCAFLError, match=r"^compile: cannot be combined with gradient_checkpointing"):
        build(gradient_checkpointing=True).compile_image_encoder()


def test_replicas_are_not_compiled() -> None:
    model = build()
    model.compile_image_encoder(backend=lambda graph, inputs: pytest.fail("compiled"))
    replica = model.image_encoder._replicate_for_data_parallel()
    replica._modules = model.image_encoder._modules
    with pytest.warns(UserWarning, match="without compilation"):
        replica(torch.zeros(2, 3, *SIZE, dtype=torch.float64))
