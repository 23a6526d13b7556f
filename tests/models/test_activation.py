"""GELU and QuickGELU fit the same tensors; a file says which one it needs, or the user does."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ccafl_plugin.models import ClipReID, build_clip
from ccafl_plugin.models import clip as clip_module
from ccafl_plugin.models.activation import activation_for, activation_of, set_activation
from ccafl_plugin.models.clip import TINY, Backbone, clip_state_dict
from ccafl_plugin.models.positions import GRID_KEY
from ccafl_plugin.models.towers import ViTTower
from ccafl_plugin.models.trained_weights import load_weights
from ccafl_plugin.options import options
from ccafl_plugin.utils.errors import CCAFLError

VIT = {
    **TINY,
    "vision_cfg": {"image_size": 64, "patch_size": 16, "layers": 2, "width": 64, "head_width": 32},
}
NAME = "clip_small_vit"


@pytest.fixture(autouse=True)
def small_vit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A vision transformer that others have weights for, small enough for a test."""
    monkeypatch.setitem(clip_module.BACKBONES, NAME, Backbone(ViTTower, stride=56, openai_name="ViT-B-16", config=VIT))


def build(weights: str = "", activation: str = "", size: tuple[int, int] = (64, 64)) -> ClipReID:
    torch.manual_seed(0)
    with options.override(clip_weights=weights, clip_activation=activation, input_size=size):
        return build_clip(NAME, 3, "ccafl", pretrained=bool(weights)).eval()


@pytest.fixture
def others(tmp_path: Path) -> tuple[str, nn.Module]:
    """A CLIP that was trained with GELU, and its file, which says nothing about it."""
    import open_clip

    torch.manual_seed(5)
    clip = open_clip.CLIP(**{**VIT, "quick_gelu": False}).eval()
    torch.save(clip.state_dict(), tmp_path / "laion.pt")
    return str(tmp_path / "laion.pt"), clip


IMAGES = torch.linspace(-1, 1, 2 * 3 * 64 * 64).reshape(2, 3, 64, 64)
TOKENS = torch.tensor([[49406, 320, 2533, 49407, 0]])


def test_a_file_that_does_not_say_it_is_asked_for(others: tuple[str, nn.Module]) -> None:
    with pytest.raises(CCAFLError) as error:
        build(others[0])
    message = str(error.value)
    assert "does not say with which activation it was trained" in message
    assert (
        "set ccafl.clip_activation quick_gelu (as OpenAI, MetaCLIP and DFN) or gelu (as LAION and DataComp)" in message
    )
    assert "\n" not in message


def test_the_features_are_those_of_the_model_that_was_trained(others: tuple[str, nn.Module]) -> None:
    path, clip = others
    model = build(path, "gelu")
    torch.testing.assert_close(model.image_embedding(IMAGES), clip.encode_image(IMAGES), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        model.text_encoder(TOKENS), clip.encode_text(torch.nn.functional.pad(TOKENS, (0, 72))), rtol=1e-4, atol=1e-5
    )
    wrong = build(path, "quick_gelu").image_embedding(IMAGES)
    assert (wrong - clip.encode_image(IMAGES)).abs().max() > 1e-3  # what nobody would have noticed


def test_a_checkpoint_says_it(others: tuple[str, nn.Module], tmp_path: Path) -> None:
    model = build(others[0], "gelu")
    torch.save({"state_dict": model.state_dict()}, tmp_path / "checkpoint")
    again = build()
    assert activation_of(again.image_encoder) == "quick_gelu"
    load_weights(again, str(tmp_path / "checkpoint"))
    assert activation_of(again.image_encoder) == "gelu"
    assert torch.equal(again(IMAGES), model(IMAGES))
    quick = build()
    torch.save({"state_dict": quick.state_dict()}, tmp_path / "checkpoint")
    load_weights(again, str(tmp_path / "checkpoint"))
    assert activation_of(again.image_encoder) == "quick_gelu"
    assert torch.equal(again(IMAGES), quick(IMAGES))


@pytest.mark.parametrize("activation", ["gelu", "quick_gelu"])
def test_files_of_this_package_say_it(activation: str, tmp_path: Path) -> None:
    model = build(activation=activation)
    state = {key: value.contiguous() for key, value in clip_state_dict(model).items()}
    save_file(state, tmp_path / "own.safetensors")
    again = build(str(tmp_path / "own.safetensors"))
    assert activation_of(again.image_encoder) == activation_of(again.text_encoder) == activation
    torch.testing.assert_close(again.image_embedding(IMAGES), model.image_embedding(IMAGES), rtol=0, atol=0)
    other = "gelu" if activation == "quick_gelu" else "quick_gelu"
    with pytest.raises(CCAFLError, match=f"was trained with {activation}; leave the setting empty or say so"):
        build(str(tmp_path / "own.safetensors"), other)


def test_who_says_what() -> None:
    tensors: dict[str, Tensor] = {}
    assert activation_for(tensors, "gelu", "", False, "file") == "gelu"
    assert activation_for(tensors, "", "gelu", False, "file") == "gelu"
    assert activation_for(tensors, "", "", True, "file") == "quick_gelu"
    assert activation_for({GRID_KEY: torch.tensor([1, 1])}, "", "", False, "file") == "quick_gelu"
    with pytest.raises(CCAFLError, match="was trained with the activation 'swish'"):
        activation_for(tensors, "swish", "", False, "file")


def test_an_unknown_activation_is_named() -> None:
    with pytest.raises(CCAFLError, match=r"clip_activation: 'gelo' is not available\. Did you mean 'gelu'"):
        build(activation="gelo")
    with pytest.raises(CCAFLError, match="clip_activation"):
        set_activation(nn.Linear(1, 1), "relu")
