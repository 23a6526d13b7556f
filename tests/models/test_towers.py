from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from ccafl_plugin.models import build_clip
from ccafl_plugin.models.positions import interpolate_positions
from ccafl_plugin.options import options
from ccafl_plugin.utils.errors import CCAFLError


@pytest.fixture
def vit_tower():
    """A ViT tower small enough for every test, on open_clip's own transformer."""
    import open_clip

    from ccafl_plugin.models.towers import ViTTower

    def build(size=(64, 32)):
        torch.manual_seed(3)
        vision = {"image_size": 224, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16}
        text = {"width": 64, "heads": 1, "layers": 1, "vocab_size": 100}
        return ViTTower(open_clip.CLIP(48, vision, text, quick_gelu=True).visual, (14, 14), size).eval()

    return build


def test_resnet_keeps_stride_16(tiny, images):
    tower = tiny.image_encoder
    assert tower(images).shape == (3, 512, 4, 2)
    assert tower.embed(tower(images)).shape == (3, 128)
    assert tower.grid == (4, 2) and tower.positions.shape == (1 + 8, 512)


def test_last_stage_changes_nothing_but_the_averages():
    """With its averages put back the tower is open_clip's own encoder."""
    import open_clip

    from ccafl_plugin.models.clip import TINY
    from ccafl_plugin.models.towers import ResNetTower

    torch.manual_seed(0)
    visual = open_clip.CLIP(**TINY).visual.eval()
    images = torch.randn(2, 3, 224, 224)
    expected = visual(images)
    tower = ResNetTower(visual, (7, 7), (112, 112))  # stride 16: 112 pixels are 7 positions
    with torch.no_grad():
        assert tower.grid == (7, 7)
        visual.layer4[0].avgpool = nn.AvgPool2d(2)
        setattr(visual.layer4[0].downsample, "-1", nn.AvgPool2d(2))
        tower._seen = True
        torch.testing.assert_close(tower.embed(tower(images)), expected)


@pytest.mark.parametrize("size", [(64, 32), (65, 33), (96, 48), (79, 47), (16, 16), (256, 128)])
def test_grid_of_an_input_size_is_that_of_the_map(tiny, vit_tower, size):
    images = torch.zeros(1, 3, *size)
    assert tiny.image_encoder.grid_of(*size) == tuple(tiny.eval().image_encoder(images).shape[-2:])
    tower = vit_tower()
    assert tower.grid_of(*size) == tuple(tower.visual.conv1(images).shape[-2:])


def test_vit_token_and_projection_are_open_clips(vit_tower):
    tower = vit_tower()
    images = torch.randn(2, 3, 64, 32)
    hidden = tower(images)
    embedding = tower.embed(hidden)
    assert hidden.shape == (2, 64) and embedding.shape == (2, 48)
    tower.visual.proj = tower.projection
    torch.testing.assert_close(tower.visual(images), embedding)


def test_first_batch_sets_the_size(tiny):
    tower, native = tiny.image_encoder, tiny.image_encoder.positions.detach().clone()
    parameter = tower.positions
    with torch.inference_mode():
        tiny.eval()(torch.randn(2, 3, 96, 48))
    assert tower.grid == (6, 3) and tower.positional_grid.tolist() == [6, 3]
    assert tower.positions is parameter, "an optimizer made before still holds it"
    torch.testing.assert_close(tower.positions.data, interpolate_positions(native, (4, 2), (6, 3)))
    tiny.train()
    tiny(torch.randn(2, 3, 96, 48))[1].sum().backward()  # inference first does not end training
    assert parameter.grad.shape == (1 + 18, 512)


@pytest.mark.parametrize("kind", ["resnet", "vit"])
def test_later_sizes_are_interpolated_on_the_way(kind, tiny, vit_tower):
    tower = tiny.eval().image_encoder if kind == "resnet" else vit_tower()
    small, large = torch.randn(2, 3, 64, 32), torch.randn(2, 3, 96, 64)
    before = tower.embed(tower(small))
    own = tower.positions.detach().clone()
    resized = copy.deepcopy(tower)
    resized.resize_positions((6, 4))
    torch.testing.assert_close(tower.embed(tower(large)), resized.embed(resized(large)))
    assert torch.equal(tower.positions, own)
    assert torch.equal(tower.embed(tower(small)), before)
    tower.embed(tower(large)).sum().backward()
    assert tower.positions.grad.abs().sum() > 0


def test_replicas_leave_the_parameters_alone(tiny, images):
    tower = tiny.eval().image_encoder
    replica = tower._replicate_for_data_parallel()
    module, _, name = tower.position_key.rpartition(".")
    pooling = tower.get_submodule(module)._replicate_for_data_parallel()
    setattr(pooling, name, tower.positions.detach().clone())  # as torch does it: a tensor, no parameter
    parent, _, last = module.rpartition(".")
    inside = tower.get_submodule(parent)._replicate_for_data_parallel()
    setattr(inside, last, pooling)
    setattr(replica, parent, inside)
    assert replica.embed(replica(torch.zeros(1, 3, 96, 48))).shape == (1, 128)
    assert replica.grid == tower.grid == (4, 2) and not replica._seen


@pytest.mark.parametrize("seen", [False, True])
def test_state_dict_of_another_size(build_tiny, seen):
    source, target = build_tiny(size=(96, 48)), build_tiny(seed=1)
    state = {key: value.clone() for key, value in source.state_dict().items()}
    if seen:
        target(torch.randn(2, 3, 64, 32))
    target.load_state_dict(state)
    tower, positions = target.image_encoder, source.image_encoder.positions
    assert tower.grid == ((4, 2) if seen else (6, 3))
    torch.testing.assert_close(tower.positions, interpolate_positions(positions, (6, 3), tower.grid))
    assert tower.positional_grid.tolist() == list(tower.grid)
    for key, value in source.state_dict().items():
        assert torch.equal(state[key], value), "the caller's state dict is left alone"
    images = torch.randn(2, 3, 64, 32)
    torch.testing.assert_close(target.eval().image_embedding(images), source.eval().image_embedding(images))


def test_state_dict_without_a_grid_or_with_a_wrong_one(build_tiny):
    source, target = build_tiny(size=(96, 48)), build_tiny(seed=1)
    state = source.state_dict()
    del state["image_encoder.positional_grid"]
    target.load_state_dict(state)
    assert target.image_encoder.grid == (6, 3)
    # torchreid's load_pretrained_weights keeps the own positions beside the file's grid if the shapes differ
    target.load_state_dict({**state, "image_encoder.positional_grid": torch.tensor([8, 4])})
    assert target.image_encoder.positional_grid.tolist() == [6, 3]


def test_too_small_an_input_size(tiny):
    with options.override(input_size=(8, 32)), pytest.raises(CCAFLError, match="8x32 pixels is too small"):
        build_clip("clip_tiny", 4, pretrained=False)
    with pytest.raises(CCAFLError, match="4x4 pixels"):
        tiny(torch.zeros(2, 3, 4, 4))


def test_distributed_training_leaves_the_parameters_alone(tiny, monkeypatch):
    """DistributedDataParallel has laid out its gradient buckets by then."""
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    assert tiny.eval().image_embedding(torch.zeros(1, 3, 96, 48)).shape == (1, 128)
    assert tiny.image_encoder.grid == (4, 2)
