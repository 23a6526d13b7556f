"""The package's weights by name: described as they were trained, and the same features as a direct computation."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch
import torchreid
from PIL import Image
from torchvision import transforms

from ccafl_plugin.features import FeatureExtractor, open_extractor
from ccafl_plugin.models.named_weights import SHIPPED, file_of_weights, folder_beside, is_shipped, read_weights_file
from ccafl_plugin.models.pretrained import PACKAGE_WEIGHTS
from ccafl_plugin.models.weights_description import FILE, save
from ccafl_plugin.options import options
from ccafl_plugin.runs import convert_command
from ccafl_plugin.synthetic.pretrain_command import SIZE
from ccafl_plugin.synthetic.pretraining.contrastive_training import MEAN, STD
from ccafl_plugin.synthetic.pretraining.weights_file import LICENCE
from ccafl_plugin.utils.digests import digest_of_file
from ccafl_plugin.utils.errors import CCAFLError
from tests.data.own_pictures import picture

IMAGES = [picture(seed, 100, 50) for seed in range(3)]


@pytest.fixture(scope="module")
def extractor() -> FeatureExtractor:
    before = torch.get_rng_state()
    made = FeatureExtractor("clip_tiny", "cpu")
    assert torch.equal(torch.get_rng_state(), before)
    return made


def test_its_features_are_those_of_the_model_that_a_training_begins_with(extractor: FeatureExtractor) -> None:
    with options.override(input_size=(96, 48)):
        model = torchreid.models.build_model("clip_tiny", 1, loss="triplet", pretrained=True).eval()
    bicubic = transforms.InterpolationMode.BICUBIC
    steps = [transforms.Resize((96, 48), bicubic), transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    inputs = torch.stack([transforms.Compose(steps)(Image.fromarray(image)) for image in IMAGES])
    with torch.no_grad():
        torch.testing.assert_close(extractor(IMAGES), model(inputs), rtol=0, atol=1e-6)
        expected = torch.nn.functional.normalize(model.image_embedding(inputs), dim=1)
        words = model.text_encoder(model.text_encoder.tokenize(["a red shirt", "a green hat"]))
    by_text = FeatureExtractor("clip_tiny", "cpu", feature="embedding")
    torch.testing.assert_close(by_text(IMAGES), expected, rtol=0, atol=1e-6)
    words = torch.nn.functional.normalize(words, dim=1)
    torch.testing.assert_close(by_text.encode_text(["a red shirt", "a green hat"]), words, rtol=0, atol=1e-6)


def test_its_description(extractor: FeatureExtractor) -> None:
    described = extractor.description
    assert (described.height, described.width) == SIZE == SHIPPED["clip_tiny"]
    assert (described.norm_mean, described.norm_std, described.interpolation) == (MEAN, STD, "bicubic")
    assert (described.activation, described.licence) == ("quick_gelu", LICENCE)
    assert "rendered people" in described.trained_on and "No photograph, no real person" in described.trained_on
    assert extractor.digest == digest_of_file(PACKAGE_WEIGHTS / "clip_tiny.safetensors")
    assert set(SHIPPED) == {file.stem for file in PACKAGE_WEIGHTS.glob("*.safetensors")}


def test_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    open_extractor("clip_tiny", device="cpu")
    assert capsys.readouterr() == ("", "")


def test_what_a_name_means(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    own = PACKAGE_WEIGHTS / "clip_tiny.safetensors"
    assert file_of_weights("clip_tiny") == file_of_weights(own) == own
    assert is_shipped(own) and folder_beside("clip_tiny") == Path()
    with pytest.raises(
        CCAFLError, match=r"can't read 'clip_tyni': it does not exist\. Did you mean 'clip_tiny', which"
    ):
        FeatureExtractor("clip_tyni")
    with pytest.raises(CCAFLError, match="can't read 'osnet': it does not exist"):
        FeatureExtractor("osnet")
    with pytest.raises(
        CCAFLError, match=r"published weights.* first: tools/convert_weights\.py osnet_x0_25_msmt17 --out"
    ):
        open_extractor("osnet_x0_25_msmt17")
    copied = tmp_path / "clip_tiny.safetensors"
    shutil.copy(own, copied)  # CLIP's weights alone, which somebody took for more
    with pytest.raises(CCAFLError, match="does not describe its weights"):
        FeatureExtractor(copied)
    content = read_weights_file(own)
    other = dataclasses.replace(content.description, height=64)
    save(tmp_path / "clip_tiny" / FILE, other, content.state)  # a run's folder of that name comes first
    assert FeatureExtractor("clip_tiny", "cpu").description.height == 64
    assert folder_beside("clip_tiny") == Path("clip_tiny")


def test_it_becomes_a_file_that_describes_itself(tmp_path: Path, capsys, extractor: FeatureExtractor) -> None:
    out = tmp_path / "w.safetensors"
    assert convert_command.main(["clip_tiny", "--out", str(out)]) == 0
    assert "the package's own: " in capsys.readouterr().out
    converted = FeatureExtractor(out, "cpu")
    assert converted.description == extractor.description
    assert torch.equal(converted(IMAGES), extractor(IMAGES))
    assert converted.has_text_encoder
    assert convert_command.main(["--list"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("clip_tiny "))
    assert "MIT" in line and "rendered people" in line


def test_tensors_are_on_the_cpu_and_finite() -> None:
    content = read_weights_file(file_of_weights("clip_tiny"))
    tensors = [*content.state.values(), *content.text.values()]
    assert content.text and content.cameras is None
    assert all(tensor.device.type == "cpu" and tensor.double().isfinite().all() for tensor in tensors)
