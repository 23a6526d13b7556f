from __future__ import annotations

import copy
import dataclasses
import io

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ccafl_plugin.models import BACKBONES, build_clip
from ccafl_plugin.models.activation import activation_of, set_activation
from ccafl_plugin.models.clip import TINY
from ccafl_plugin.options import options
from ccafl_plugin.utils.errors import CCAFLError

DIMENSIONS = {"clip_rn50": (2048, 1024), "clip_vit_b16": (768, 512), "clip_tiny": (512, 128)}


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_every_backbone(name):
    """Shapes, dtypes, one gradient for every trainable parameter, the activation, and the grid of 256x128."""
    from open_clip.transformer import QuickGELU

    torch.manual_seed(0)
    model = build_clip(name, num_classes=5, loss="ccafl", pretrained=False).train()
    dim, embedding_dim = DIMENSIONS[name]
    assert model.image_encoder.grid == (16, 8)
    assert model.image_encoder.positions.shape[0] == 1 + 16 * 8
    assert (model.feature_dim, model.embedding_dim, model.name) == (dim, embedding_dim, name)
    assert model.text_encoder.embed_dim == embedding_dim

    raw, embedding, logits = model(torch.randn(2, 3, 256, 128))
    assert raw.shape == (2, dim) and embedding.shape == (2, embedding_dim) and logits is None
    assert raw.dtype == embedding.dtype == torch.float32
    (raw.square().sum() + embedding.square().sum()).backward()
    frozen = {"image_encoder.visual.conv1.weight"} if name == "clip_vit_b16" else set()
    for key, parameter in model.named_parameters():
        assert parameter.requires_grad == (key not in frozen), key
        assert (parameter.grad is None) == (key in frozen), key
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    for part in (model, model.text_encoder):
        gelu = [module for key, module in part.named_modules() if key.endswith("gelu")]
        assert all(isinstance(module, QuickGELU) for module in gelu)
    assert any(isinstance(module, QuickGELU) for module in model.text_encoder.modules())


def test_resnet50_map_is_16_by_8():
    with options.override(input_size=(256, 128)):
        tower = build_clip("clip_rn50", 1, "ccafl", pretrained=False).eval().image_encoder
    with torch.no_grad():
        assert tower(torch.randn(1, 3, 256, 128)).shape == (1, 2048, 16, 8)


def frozen_names(model):
    return {name for name, parameter in model.named_parameters() if not parameter.requires_grad}


def test_patch_projection_is_frozen_by_default_only():
    """Built on the meta device: nothing but names matters here."""
    with torch.device("meta"):
        key = "image_encoder.visual.conv1.weight"
        assert frozen_names(build_clip("clip_vit_b16", 1, pretrained=False)) == {key}
        with options.override(freeze_patch_projection=False):
            assert frozen_names(build_clip("clip_vit_b16", 1, pretrained=False)) == set()


def test_training_outputs_follow_the_loss(build_tiny, images):
    softmax, triplet, ccafl = (build_tiny(loss=loss, num_classes=7) for loss in ("softmax", "triplet", "ccafl"))
    triplet.load_state_dict(softmax.state_dict())
    logits = softmax(images)
    both, raw = triplet(images)
    assert logits.shape == (3, 7) and raw.shape == (3, 512)
    assert torch.equal(logits, both)
    torch.testing.assert_close(raw @ softmax.classifier.weight.T, logits)
    assert raw.norm(dim=1).sub(1).abs().min() > 0.1, "not normalised"

    assert ccafl.classifier is None
    ccafl.load_state_dict({key: value for key, value in triplet.state_dict().items() if "classifier" not in key})
    ccafl.make_classifier(9)
    raw_again, embedding, logits = ccafl(images)
    torch.testing.assert_close(raw_again, raw)
    assert logits.shape == (3, 9) and embedding.shape == (3, 128)


@pytest.mark.parametrize("loss", ["softmax", "triplet", "ccafl"])
def test_eval_gives_the_unit_feature(build_tiny, images, loss):
    model = build_tiny(loss=loss).eval()
    feature = model(images)
    raw, embedding = model.encode(images)
    torch.testing.assert_close(feature, F.normalize(raw, dim=1))
    torch.testing.assert_close(feature.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(model.image_embedding(images), embedding)


def test_raw_feature_is_batch_norm_of_gem_of_the_map(tiny, images):
    raw, _, _ = tiny(images)
    pooled = tiny.image_encoder(images).clamp(min=1e-6).pow(3).mean(dim=(2, 3)).pow(1 / 3)
    expected = (pooled - pooled.mean(dim=0)) / (pooled.var(dim=0, unbiased=False) + 1e-5).sqrt()
    torch.testing.assert_close(raw, expected, rtol=1e-4, atol=1e-4)


def test_float32_outputs_and_finite_gradients_under_autocast(build_tiny, images):
    model = build_tiny()
    model.make_classifier(4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        raw, embedding, logits = model(images)
        feature = model.eval()(images)
    assert {raw.dtype, embedding.dtype, logits.dtype, feature.dtype} == {torch.float32}
    (raw.sum() + embedding.sum() + logits.sum()).backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_text_encoder_is_no_part_of_the_model(tiny):
    text = tiny.text_encoder
    assert isinstance(text, nn.Module)
    assert text not in tiny.children() and text not in tiny.modules()
    assert not any("text" in key or "token" in key for key in tiny.state_dict())
    assert not {id(p) for p in text.parameters()} & {id(p) for p in tiny.parameters()}
    tiny.requires_grad_(True).train()
    assert not text.training and not any(p.requires_grad for p in text.parameters())


def test_deepcopy_is_independent(tiny, images):
    copied = copy.deepcopy(tiny)
    tiny.eval(), copied.eval()
    before = copied(images)
    assert torch.equal(before, tiny(images))
    with torch.no_grad():
        tiny.neck.weight.zero_()
        tiny.text_encoder.text_projection.zero_()
    assert torch.equal(before, copied(images))
    assert copied.text_encoder.text_projection.abs().sum() > 0


def test_data_parallel(tiny, images):
    parallel = nn.DataParallel(tiny)
    assert parallel.module.text_encoder is tiny.text_encoder
    tiny.eval()
    assert torch.equal(parallel(images), tiny(images))
    raw, embedding, logits = parallel.train()(images)
    assert raw.shape == (3, 512) and embedding.shape == (3, 128) and logits is None


def test_replicas_reach_the_text_encoder(tiny):
    """DataParallel's replicas are shallow copies; the text encoder has to come along."""
    assert tiny._replicate_for_data_parallel().text_encoder is tiny.text_encoder


def test_saved_state_gives_the_same_features(build_tiny, images):
    model, other = build_tiny(), build_tiny(seed=1)
    model(images)  # moves the running statistics
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    assert not torch.equal(model.eval()(images), other.eval()(images))
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(model(images), other(images))


def test_weights_follow_torchs_seed(build_tiny):
    one, two, three = build_tiny(seed=4), build_tiny(seed=4), build_tiny(seed=5)
    same = [torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True)]
    assert all(same)
    assert torch.equal(one.text_encoder.token_embedding.weight, two.text_encoder.token_embedding.weight)
    assert not torch.equal(one.image_encoder.visual.conv1.weight, three.image_encoder.visual.conv1.weight)


def test_tiny_learns_from_scratch(build_tiny):
    """Eight coarse patterns under noise are told apart after a few steps from random weights."""
    model = build_tiny(loss="softmax", num_classes=8)
    generator = torch.Generator().manual_seed(0)
    patterns = F.interpolate(torch.randn(8, 3, 4, 2, generator=generator), size=(64, 32))
    labels = torch.arange(8).repeat(4)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(15):
        loss = F.cross_entropy(model(patterns[labels] + torch.randn(32, 3, 64, 32, generator=generator)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 1.9 and losses[-1] < 0.2, losses


def test_misspelt_names():
    with pytest.raises(CCAFLError, match="Did you mean 'clip_rn50'"):
        build_clip("clip_r50", 4, pretrained=False)
    with pytest.raises(CCAFLError, match=r"loss: 'softmx' .* Did you mean 'softmax'"):
        build_clip("clip_tiny", 4, loss="softmx", pretrained=False)


def test_plain_gelu_is_replaced(monkeypatch):
    plain = dataclasses.replace(BACKBONES["clip_tiny"], config={**TINY, "quick_gelu": False})
    monkeypatch.setitem(BACKBONES, "clip_tiny", plain)
    assert activation_of(build_clip("clip_tiny", 4, pretrained=False).text_encoder) == "quick_gelu"


def test_an_open_clip_that_keeps_its_activation_elsewhere():
    with pytest.raises(CCAFLError, match=r"without quick_gelu \(found: none\)"):
        set_activation(torch.nn.Linear(2, 2), "quick_gelu")
