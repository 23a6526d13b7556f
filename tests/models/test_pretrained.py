"""Weight files of clip_tiny in every format; open_clip's own loader is the judge for the two large models."""

from __future__ import annotations

import pickle
import socket
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import ccafl_plugin.models.pretrained as pretrained_module
from ccafl_plugin.models import ClipReID, build_clip
from ccafl_plugin.models.clip import TINY, clip_state_dict
from ccafl_plugin.models.positions import interpolate_positions
from ccafl_plugin.options import options
from ccafl_plugin.utils.errors import CCAFLError


@pytest.fixture(autouse=True)
def sockets_blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args, **kwargs):
        raise OSError("no network here")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def openai_state(**config) -> dict[str, Tensor]:
    """A random CLIP's tensors as OpenAI's files hold them: weights of layers in half precision, norms in float32."""
    import open_clip

    torch.manual_seed(11)
    clip = open_clip.CLIP(**{**TINY, **config})
    open_clip.convert_weights_to_fp16(clip)
    assert {value.dtype for value in clip.state_dict().values()} >= {torch.float16, torch.float32}
    return clip.state_dict()


class QuickGELU(nn.Module):
    """What OpenAI's archive computes in its transformers; its program says so."""

    def forward(self, values):
        return values * torch.sigmoid(1.702 * values)


def torchscript_archive(state: dict[str, Tensor], path: Path) -> None:
    """OpenAI's own format: a scripted module that lists its resolution, context and vocabulary with its tensors."""
    root = QuickGELU()
    numbers = {"input_resolution": 224, "context_length": 77, "vocab_size": 49408}
    for key, value in {**state, **{key: torch.tensor(number) for key, number in numbers.items()}}.items():
        module, *names = root, *key.split(".")
        for name in names[:-1]:
            if name not in module._modules:
                module.add_module(name, nn.Module())
            module = module._modules[name]
        module.register_buffer(names[-1], value)
    torch.jit.save(torch.jit.script(root), path)


def in_format(form: str, state: dict[str, Tensor], folder: Path) -> Path:
    path = folder / {"torchscript": "RN50.pt", "safetensors": "clip.safetensors"}.get(form, "clip.pth")
    if form == "torchscript":
        torchscript_archive(state, path)
    elif form == "safetensors":
        save_file({key: value.contiguous() for key, value in state.items()}, path)
    elif form == "old torch.save":
        torch.save(state, path, _use_new_zipfile_serialization=False)
    elif form == "training checkpoint":
        torch.save({"epoch": 3, "state_dict": {f"module.{key}": value for key, value in state.items()}}, path)
    elif form == "text below text.":
        moved = {key if key.startswith(("visual", "logit")) else f"text.{key}": value for key, value in state.items()}
        torch.save(moved, path)
    else:
        torch.save(state, path)
    return path


FORMS = ["torchscript", "state dict", "safetensors", "old torch.save", "training checkpoint", "text below text."]


def load(path: Path | str, name: str = "clip_tiny", size: tuple[int, int] = (64, 32), seed: int = 0) -> ClipReID:
    torch.manual_seed(seed)
    with options.override(clip_weights=str(path), input_size=size):
        return build_clip(name, 4, "ccafl", pretrained=True).eval()


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return openai_state()


@pytest.mark.parametrize("form", FORMS)
def test_formats_give_equal_features(form, state, tmp_path, images):
    import open_clip

    model = load(in_format(form, state, tmp_path))
    assert {value.dtype for value in model.state_dict().values()} <= {torch.float32, torch.int64}
    assert {value.dtype for value in model.text_encoder.parameters()} == {torch.float32}

    clip = open_clip.CLIP(**TINY)
    clip.load_state_dict({key: value.float() for key, value in state.items()})
    for key, value in clip.visual.state_dict().items():
        loaded = model.image_encoder.visual.state_dict()[key]
        if key == "attnpool.positional_embedding":
            value = interpolate_positions(value, (7, 7), (4, 2))
        torch.testing.assert_close(loaded, value, rtol=0, atol=1e-6)
    tokens = open_clip.tokenize(["a person with a red coat", "nobody"])
    torch.testing.assert_close(model.text_encoder(tokens), clip.eval().encode_text(tokens), rtol=1e-5, atol=1e-5)
    again = load(in_format("state dict", state, tmp_path), seed=1)
    torch.testing.assert_close(model(images), again(images), rtol=0, atol=1e-6)
    torch.testing.assert_close(model.image_embedding(images), again.image_embedding(images), rtol=0, atol=1e-6)


def test_report_counts_and_left_over_keys(state, tmp_path, capsys):
    torch.save({**state, "visual.extra": torch.zeros(1)}, tmp_path / "clip.pt")
    load(tmp_path / "clip.pt")
    out = capsys.readouterr().out
    needed = [key for key in state if not key.endswith(("num_batches_tracked", "logit_scale"))]
    image = sum(key.startswith("visual.") for key in needed)
    text = len(needed) - image
    assert f"clip_tiny: {image} of {image} image tensors and {text} of {text} text tensors loaded from" in out
    assert "1 tensors in" in out and "not used: visual.extra" in out


def test_nothing_is_left_over_of_openais_archive(state, tmp_path, capsys):
    load(in_format("torchscript", state, tmp_path))
    assert "not used" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "key", ["visual.layer3.0.conv2.weight", "text_projection", "visual.attnpool.positional_embedding"]
)
def test_a_missing_tensor_stops_and_is_named(key, state, tmp_path):
    torch.save({name: value for name, value in state.items() if name != key}, tmp_path / "clip.pt")
    with pytest.raises(CCAFLError, match=f"does not match clip_tiny: '{key}' is missing"):
        load(tmp_path / "clip.pt")


def test_tensors_that_no_feature_depends_on_may_be_missing(state, tmp_path):
    kept = {key: value for key, value in state.items() if not key.endswith(("num_batches_tracked", "logit_scale"))}
    torch.save({**kept, "logit_scale": torch.ones(1)}, tmp_path / "clip.pt")
    load(tmp_path / "clip.pt")


def test_another_models_file(tmp_path, state):
    torch.save({**state, "visual.conv1.weight": torch.zeros(8, 3, 5, 5)}, tmp_path / "clip.pt")
    with pytest.raises(CCAFLError, match=r"'visual.conv1.weight' has shape \(8, 3, 5, 5\), expected \(8, 3, 3, 3\)"):
        load(tmp_path / "clip.pt")
    torch.save({"conv1.weight": torch.zeros(3)}, tmp_path / "other.pt")
    with pytest.raises(
        CCAFLError, match=r"has none of the \d+ tensors of clip_tiny \(its first tensor is 'conv1.weight'\)"
    ):
        load(tmp_path / "other.pt")


def test_files_that_are_no_weights(tmp_path):
    for name, content in (("a.pt", b"hello"), ("a.safetensors", b"hello"), ("empty.pt", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CCAFLError, match=r"^ccafl.clip_weights: can't read '.*': it is an? (text|empty)") as error:
            load(tmp_path / name)
        assert "\n" not in str(error.value)
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(CCAFLError, match="it is a list; expected are tensors by name"):
        load(tmp_path / "list.pt")
    with pytest.raises(CCAFLError, match=r"there is no file .*nowhere\.pt"):
        load(tmp_path / "nowhere.pt")


def test_code_in_a_file_is_not_executed(tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "executed",))

    (tmp_path / "evil.pt").write_bytes(pickle.dumps({"visual.conv1.weight": Evil()}))
    with pytest.raises(CCAFLError):
        load(tmp_path / "evil.pt")
    assert not (tmp_path / "executed").exists()


def test_own_weights_come_back_with_a_grid_that_is_no_square(tmp_path, images):
    model = load_random(size=(64, 32))
    file = tmp_path / "own.safetensors"
    save_file({key: value.contiguous() for key, value in clip_state_dict(model).items()}, file)
    again = load(file, seed=9)
    assert again.image_encoder.grid == (4, 2)
    torch.testing.assert_close(model.image_embedding(images), again.image_embedding(images), rtol=0, atol=0)
    tokens = torch.tensor([[49406, 320, 49407, 0]])
    assert torch.equal(model.text_encoder(tokens), again.text_encoder(tokens))


def load_random(name: str = "clip_tiny", size: tuple[int, int] = (64, 32)) -> ClipReID:
    torch.manual_seed(3)
    with options.override(input_size=size):
        return build_clip(name, 4, "ccafl", pretrained=False).eval()


def test_weights_of_the_package(state, tmp_path, monkeypatch):
    """A file NAME.safetensors in the package's own folder is the default of its model."""
    save_file({key: value.contiguous() for key, value in state.items()}, tmp_path / "clip_tiny.safetensors")
    monkeypatch.setattr(pretrained_module, "PACKAGE_WEIGHTS", tmp_path)
    model = load("")
    torch.testing.assert_close(model.image_encoder.visual.conv1.weight, state["visual.conv1.weight"].float())


def test_a_model_without_weights_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained_module, "PACKAGE_WEIGHTS", tmp_path)
    with pytest.raises(
        CCAFLError, match=r"no pretrained weights for clip_tiny.* ccafl.clip_weights.* model.pretrained False"
    ):
        load("")


@pytest.mark.parametrize(("name", "file"), [("clip_rn50", "RN50.pt"), ("clip_vit_b16", "ViT-B-16.pt")])
def test_no_network_is_one_line_with_file_and_key(name, file, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with torch.device("meta"), pytest.raises(CCAFLError) as error:
        load("", name)
    message = str(error.value)
    assert "\n" not in message
    assert "Fetch https://openaipublic.azureedge.net/clip/models/" in message and f"/{file} " in message
    assert (
        "save it as" in message
        and "set ccafl.clip_weights to the file" in message
        and "model.pretrained False" in message
    )


@pytest.mark.parametrize("name", ["clip_rn50", "clip_vit_b16"])
def test_large_models_through_open_clip(name, tmp_path, monkeypatch):
    """OpenAI's format at full size, handed over by the download; open_clip's own loader is the judge."""
    import open_clip

    archive = tmp_path / "archive.pt"
    torch.manual_seed(0)
    config = open_clip.get_model_config({"clip_rn50": "RN50-quickgelu", "clip_vit_b16": "ViT-B-16-quickgelu"}[name])
    clip = open_clip.CLIP(**config)
    open_clip.convert_weights_to_fp16(clip)
    torchscript_archive(clip.state_dict(), archive)
    asked = []
    monkeypatch.setattr(pretrained_module, "fetch", lambda url, *_, sha256: asked.append((url, sha256)) or archive)
    model = load("", name, size=(224, 224))
    assert asked[0][0].endswith({"clip_rn50": "/RN50.pt", "clip_vit_b16": "/ViT-B-16.pt"}[name])
    assert len(asked[0][1]) == 64

    judge = open_clip.load_openai_model(str(archive), precision="fp32", device="cpu")
    loaded = clip_state_dict(model)
    for key, value in judge.state_dict().items():
        if key in ("logit_scale", "visual.attnpool.positional_embedding"):  # the latter on another grid
            continue
        assert torch.equal(loaded[key], value), key
    tokens = open_clip.tokenize(["A photo of a X X X X person."])
    with torch.no_grad():
        torch.testing.assert_close(model.text_encoder(tokens), judge.encode_text(tokens), rtol=1e-5, atol=1e-5)
        if name == "clip_vit_b16":  # same stride, same grid: the image feature too
            image = torch.randn(1, 3, 224, 224)
            torch.testing.assert_close(model.image_embedding(image), judge.encode_image(image), rtol=1e-5, atol=1e-5)
