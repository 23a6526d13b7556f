"""Encoders of open_clip by name: their own numbers at their own size, positions for other sizes, what they can't do."""

from __future__ import annotations

from pathlib import Path

import open_clip
import pytest
import torch
import torch.nn.functional as F
import torchreid
from torch import nn

from ccafl_plugin.config import load_config
from ccafl_plugin.features import FeatureExtractor
from ccafl_plugin.models import PromptLearner, TextEncoder, build_clip, reads_prompts
from ccafl_plugin.models.clip_files import architecture_of
from ccafl_plugin.models.open_clip_models import architecture, image_size, preprocessing, text_of, tower_of
from ccafl_plugin.models.positions import interpolate_positions
from ccafl_plugin.models.pretrained import read_weights
from ccafl_plugin.models.prompts import WholeTextEncoder
from ccafl_plugin.models.weights_description import WeightsDescription, read, read_description, save
from ccafl_plugin.options import options
from ccafl_plugin.runs.convert_command import main as convert
from ccafl_plugin.utils.errors import CCAFLError
from tests.models.small_open_clip import CONFIGS, add_small_architectures

NAMES = sorted(CONFIGS)
LIGHT = [name for name in NAMES if name not in ("small-eva", "small-mobileclip")]  # these have millions of numbers
WITHOUT_PROMPTS = {"small-siglip", "small-mobileclip"}


@pytest.fixture(scope="module", autouse=True)
def known(tmp_path_factory: pytest.TempPathFactory) -> None:
    add_small_architectures(tmp_path_factory.mktemp("configs"))


def make(name: str, size: tuple[int, int], **settings):
    with options.override(input_size=size, **settings):
        return torchreid.models.build_model(
            f"open_clip/{name}", 3, loss="ccafl", pretrained="clip_weights" in settings
        ).eval()


@pytest.fixture
def clip_file(tmp_path: Path):
    """An open_clip model with random weights, and its file."""

    def made(name: str) -> tuple[nn.Module, Path]:
        torch.manual_seed(0)
        clip = open_clip.create_model(name, pretrained=None).eval()
        for module in clip.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.running_mean, -0.1, 0.1)
                nn.init.uniform_(module.weight, 0.5, 1.5)
        torch.save({"state_dict": clip.state_dict()}, tmp_path / "clip.pt")
        return clip, tmp_path / "clip.pt"

    return made


@pytest.mark.parametrize("name", NAMES)
def test_embeddings_and_texts_are_open_clips_own(name: str, clip_file) -> None:
    clip, file = clip_file(name)
    size = image_size(f"open_clip/{name}")
    model = make(name, size, clip_weights=str(file))
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    tokens = open_clip.tokenize(["a man in red", "a woman"], 16)
    with torch.no_grad():
        torch.testing.assert_close(model.image_embedding(images), clip.encode_image(images), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(model.text_encoder(tokens), clip.encode_text(tokens), rtol=1e-4, atol=1e-5)
        feature = model(images)
    assert feature.shape == (2, model.feature_dim)
    torch.testing.assert_close(feature.norm(dim=1), torch.ones(2))
    assert model.embedding_dim == clip.encode_image(images).shape[1]
    assert model.joint_feature(images).shape == (2, model.feature_dim + model.embedding_dim)


@pytest.mark.parametrize("name", NAMES)
def test_positions_are_resized(name: str, clip_file) -> None:
    """Against open_clip's own encoder: of timm by its function for that, of a ViT with positions put in by hand."""
    clip, file = clip_file(name)
    model = make(name, (128, 64), clip_weights=str(file))
    images = torch.randn(2, 3, 128, 64, generator=torch.Generator().manual_seed(1))
    visual = clip.visual
    with torch.no_grad():
        if hasattr(visual, "trunk"):
            grid = model.image_encoder.grid
            patch = getattr(getattr(visual.trunk, "patch_embed", None), "patch_size", (32, 32))
            size = (grid[0] * patch[0], grid[1] * patch[1])
            if "small-eva" in name or "siglip" in name:
                visual.trunk.set_input_size(size)
            expected = visual(images[..., : size[0], : size[1]])
        elif name == "small-resnet":
            expected = None
        else:
            rows, columns = visual.grid_size
            grid = (128 // visual.patch_size[0], 64 // visual.patch_size[1])
            positions = interpolate_positions(visual.positional_embedding.data, (rows, columns), grid)
            visual.positional_embedding = nn.Parameter(positions)
            expected = visual(images)
        found = model.image_embedding(images)
    assert found.isfinite().all()
    if expected is not None:
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", LIGHT)
def test_a_described_file_of_another_size(name: str, tmp_path: Path) -> None:
    """Trained at 128 x 64, read by an extractor, and into a model that was built for another size."""
    torch.manual_seed(0)
    model = make(name, (128, 64))
    images = torch.rand(2, 3, 128, 64)
    with torch.no_grad():
        expected = model(images)
    described = WeightsDescription(f"open_clip/{name}", 128, 64, model.feature_dim, embedding_dim=model.embedding_dim)
    save(tmp_path / "w.safetensors", described, model.state_dict(), model.text_encoder.state_dict())
    extractor = FeatureExtractor(tmp_path / "w.safetensors", "cpu")
    with torch.no_grad():
        torch.testing.assert_close(extractor.encoder(images), expected)
        other = make(name, image_size(f"open_clip/{name}"))
        other.load_state_dict(read(tmp_path / "w.safetensors").state)
        torch.testing.assert_close(other(images), expected)


def test_a_first_batch_of_another_size_keeps_the_parameters() -> None:
    """An optimizer may know them."""
    model = make("small-siglip", (128, 64))
    before = dict(model.named_parameters())
    assert model(torch.randn(1, 3, 64, 64)).shape == (1, 64)
    after = dict(model.named_parameters())
    assert all(after[name] is parameter for name, parameter in before.items())
    with pytest.raises(CCAFLError, match="images of 128x64 pixels: the encoder was made for 64x64"):
        model(torch.randn(1, 3, 128, 64))
    model.load_state_dict(make("small-siglip", (128, 64)).state_dict())
    assert model.image_encoder.grid == (4, 4)  # it has seen a batch, so the file's positions are resized


@pytest.mark.parametrize("name", LIGHT)
def test_gradients_reach_every_parameter_that_is_trained(name: str) -> None:
    model = make(name, (128, 64)).train()
    raw, embedding, _ = model(torch.randn(3, 3, 128, 64))
    (raw.pow(2).sum() + embedding.pow(2).sum()).backward()
    without = [key for key, parameter in model.named_parameters() if parameter.requires_grad and parameter.grad is None]
    assert not without


@pytest.mark.parametrize("name", LIGHT)
def test_who_reads_prompts(name: str) -> None:
    assert reads_prompts(f"open_clip/{name}") == (name not in WITHOUT_PROMPTS)
    encoder = make(name, (128, 64)).text_encoder
    assert isinstance(encoder, WholeTextEncoder if name in WITHOUT_PROMPTS else TextEncoder)
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    if isinstance(encoder, TextEncoder):
        assert PromptLearner(2, encoder, 4)(torch.tensor([0, 1]), encoder).shape == (2, 24)


def test_real_names_that_read_prompts() -> None:
    reading = {"ViT-L-14", "EVA02-B-16", "convnext_base", "RN101-quickgelu", "PE-Core-B-16"}
    not_reading = {"ViT-B-16-SigLIP2", "MobileCLIP2-S0", "ViT-H-14-CLIPA"}
    known = set(open_clip.list_models())  # an old open_clip has fewer
    assert {"ViT-L-14", "ViT-H-14-CLIPA"} <= known
    assert {name for name in (reading | not_reading) & known if reads_prompts(f"open_clip/{name}")} == reading & known


def test_own_mean_and_deviation() -> None:
    assert preprocessing("open_clip/ViT-L-14")[0] == (0.48145466, 0.4578275, 0.40821073)
    assert preprocessing("open_clip/ViT-B-16-SigLIP") == ((0.5,) * 3, (0.5,) * 3, "bicubic")
    assert preprocessing("open_clip/MobileCLIP-S1")[:2] == ((0.0,) * 3, (1.0,) * 3)
    terms = ["ccafl.terms.alignment.enabled", "False", "ccafl.terms.icdl.weight_alignment", "0"]
    told = ["model.name", "open_clip/ViT-B-16-SigLIP", "loss.name", "ccafl", *terms]
    config = load_config(None, told)
    assert (config.data.norm_mean, config.data.norm_std) == ([0.5] * 3, [0.5] * 3)
    given = load_config(None, [*told, "data.norm_mean", "[0.1, 0.2, 0.3]"])
    assert (given.data.norm_mean, given.data.norm_std) == ([0.1, 0.2, 0.3], [0.5] * 3)
    assert load_config().data.norm_mean == [0.485, 0.456, 0.406]


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (["open_clip/ViT-L14"], "'open_clip/ViT-L14' is not available. Did you mean 'open_clip/ViT-L-14'"),
        (["open_clip/zzz"], r"'open_clip/zzz' is not available\. open_clip\.list_models\(\) lists all"),
        (["open_clip/coca_ViT-B-32"], "writes captions"),
        (["open_clip/roberta-ViT-B-32"], "needs a text encoder of transformers"),
        (["open_clip/ViT-B-16-SigLIP", "loss.name", "ccafl"],
         "can't read learnable prompts. It takes the terms icdl without weight_alignment, inter, ical, "
         "proxy_classifier, softmax and triplet: set ccafl.terms.alignment.enabled False"),
        (["open_clip/small-vit", "ccafl.clip_weights", "laion"],
         r"'laion' is no file and no tag of small-vit\. Set it to a file, or to one of open_clip's tags \(none\)"),
    ],
)  # fmt: skip
def test_what_is_not_to_be_had_is_one_line(pairs: list[str], message: str) -> None:
    with pytest.raises(CCAFLError, match=message) as error:
        load_config(None, ["model.name", *pairs])
    assert "\n" not in str(error.value)


def test_weights_that_do_not_fit_are_one_line(clip_file, tmp_path: Path) -> None:
    _, file = clip_file("small-vit")
    for name, settings, message in (
        ("small-vit-avg", {}, "does not match open_clip/small-vit-avg"),
        ("small-vit", {"clip_activation": "quick_gelu"}, r"computes with gelu, not quick_gelu; .*\(-quickgelu\)"),
    ):
        with pytest.raises(CCAFLError, match=message):
            make(name, (64, 64), clip_weights=str(file), **settings)
    with pytest.raises(CCAFLError, match=r"no weights of ViT-B-32 are named\. Set it to a file, or .*openai"):
        build_clip("open_clip/ViT-B-32", 1, pretrained=True)


def test_a_clip_file_becomes_a_described_one(clip_file, tmp_path: Path, capsys) -> None:
    clip, file = clip_file("small-vit")
    out = tmp_path / "w.safetensors"
    assert convert([str(file), "--out", str(out)]) == 1
    assert "does not say with which activation it was trained" in capsys.readouterr().err
    assert convert([str(file), "--out", str(out), "--activation", "gelu"]) == 0
    printed = capsys.readouterr().out
    assert "0 left over" in printed or "left over: logit_scale" in printed
    described = read_description(out)
    assert (described.model, described.feature, described.feature_dim) == ("open_clip/small-vit", "embedding", 24)
    assert (described.height, described.norm_mean[0]) == (64, 0.48145466)
    extractor = FeatureExtractor(out, "cpu")
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = F.normalize(clip.encode_image(images), dim=1)
        torch.testing.assert_close(extractor.encoder(images), expected, rtol=0, atol=1e-5)
        expected = F.normalize(clip.encode_text(open_clip.tokenize(["a man"], 16)), dim=1)
    torch.testing.assert_close(extractor.encode_text("a man"), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["ViT-S-32-alt", "ViT-B-32", "RN50x4", "ViT-L-14-336"])
@pytest.mark.parametrize("quick_gelu", [False, True])
def test_real_architectures_are_known_by_their_shapes(name: str, quick_gelu: bool) -> None:
    config = open_clip.get_model_config(name)
    with torch.device("meta"):
        state = open_clip.CLIP(**config).state_dict()
    if quick_gelu and f"{name}-quickgelu" not in open_clip.list_models():
        with pytest.raises(CCAFLError, match="not of which architecture"):
            architecture_of(state, True, "x")
    else:
        assert architecture_of(state, quick_gelu, "x") == f"open_clip/{name}{'-quickgelu' * quick_gelu}"


def test_names_of_tensors_with_and_without_text(clip_file) -> None:
    """open_clip's files of one kind say ``text.``, of the other not; the reader takes it away."""
    clip, file = clip_file("small-convnext")
    assert any(name.startswith("text.") for name in clip.state_dict())
    assert not any(name.startswith("text.") for name in read_weights(file)[0])
    assert architecture("open_clip/small-convnext") == "small-convnext"


@pytest.mark.slow  # models of 80 to 430 million numbers
@pytest.mark.parametrize("name", ["ViT-L-14", "EVA02-B-16", "MobileCLIP2-S0", "convnext_base", "ViT-B-16-SigLIP2"])
def test_real_sizes(name: str) -> None:
    if name not in open_clip.list_models():
        pytest.skip("this open_clip does not know it")
    clip = open_clip.create_model(name, pretrained=None).eval()
    size = image_size(f"open_clip/{name}")
    images = torch.randn(1, 3, *size)
    with torch.no_grad():
        expected = clip.encode_image(images)
        text = text_of(clip, f"open_clip/{name}")
        tower = tower_of(clip, size).eval()
        torch.testing.assert_close(tower.embed(tower(images)), expected, rtol=1e-4, atol=1e-5)
        assert tower.embedding_dim == expected.shape[1] == text.embed_dim
        upright = tower_of(open_clip.create_model(name, pretrained=None).eval(), (256, 128)).eval()
        assert upright.pool(upright(torch.randn(1, 3, 256, 128))).shape == (1, upright.feature_dim)
