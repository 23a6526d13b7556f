"""One image, one feature, whichever way it comes."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from ccafl_plugin.features import Extractor, FeatureExtractor, open_extractor
from ccafl_plugin.features.image_inputs import images_of
from ccafl_plugin.metrics import CameraStatistics
from ccafl_plugin.models import ClipReID
from ccafl_plugin.models.weights_description import read, save
from ccafl_plugin.options import options
from ccafl_plugin.utils.digests import digest_of_file
from ccafl_plugin.utils.errors import CCAFLError
from tests.features.conftest import SIZE, TINY


@pytest.fixture(scope="module")
def extractor(tiny_weights: Path) -> FeatureExtractor:
    return FeatureExtractor(tiny_weights, "cpu", batch_size=3, workers=2)


def by_hand(model: ClipReID, path: Path, embedding: bool = False) -> torch.Tensor:
    """(D,) the feature of one file, without this package's transforms."""
    picture = Image.open(path).convert("RGB").resize(SIZE[::-1], Image.Resampling.BICUBIC)
    pixels = torch.from_numpy(np.asarray(picture).copy()).float() / 255
    pixels = (pixels - torch.tensor(TINY.norm_mean)) / torch.tensor(TINY.norm_std)
    with torch.no_grad():
        images = pixels.permute(2, 0, 1)[None]
        return F.normalize(model.image_embedding(images) if embedding else model(images), dim=1)[0]


def test_one_image_has_one_feature_whichever_way_it_comes(extractor, tiny_model, crops) -> None:
    paths = images_of(crops)
    expected = torch.stack([by_hand(tiny_model, path) for path in paths])
    pictures = [Image.open(path) for path in paths]
    arrays = [np.asarray(picture) for picture in pictures]
    bgr = [np.ascontiguousarray(array[:, :, ::-1]) for array in arrays]
    whole = extractor(crops)
    assert whole.shape == (7, 512)
    assert whole.dtype == torch.float32
    for features in (
        whole,
        extractor(str(crops)),
        extractor(paths),
        extractor([str(path) for path in paths]),
        extractor(pictures),
        extractor(arrays),
        extractor(bgr, bgr=True),
        extractor([paths[0], pictures[1], arrays[2], *paths[3:]]),
        torch.cat([extractor(path) for path in paths]),
        torch.cat([extractor(picture) for picture in pictures]),
        torch.cat([extractor(array) for array in arrays]),
        torch.cat(list(extractor.batches(paths))),
    ):
        torch.testing.assert_close(features, expected, rtol=0, atol=1e-5)
    assert (extractor(arrays, bgr=True) - expected).abs().max() > 1e-3  # the order of colours matters


def test_arrays_in_one_and_other_modes_of_pictures(extractor) -> None:
    stack = np.random.default_rng(0).integers(0, 256, (3, 50, 20, 3), dtype=np.uint8)
    expected = extractor(list(stack))
    torch.testing.assert_close(extractor(stack), expected)
    grey = Image.fromarray(stack[0]).convert("L")
    torch.testing.assert_close(extractor(grey), extractor(grey.convert("RGB")))
    flipped = stack[0][:, ::-1]  # not contiguous
    torch.testing.assert_close(extractor(flipped), extractor(flipped.copy()))


def test_a_folder_comes_sorted_by_path(crops) -> None:
    names = [path.relative_to(crops).as_posix() for path in images_of(crops)]
    assert names == ["0.png", "1.png", "2.png", "3.png", "4.png", "below/5.png", "below/6.png"]


def test_batches_read_ahead_and_keep_the_order(extractor, crops) -> None:
    paths = images_of(crops)
    assert [len(part) for part in extractor.batches(paths)] == [3, 3, 1]
    assert list(extractor.batches([])) == []
    assert extractor([]).shape == (0, 512)
    generator = extractor.batches(paths)
    next(generator)
    generator.close()  # a caller may stop early


def test_what_is_no_image_is_one_line(extractor, tmp_path) -> None:
    (tmp_path / "a.jpg").write_text("text")
    (tmp_path / "empty").mkdir()
    for given, message in (
        (tmp_path / "none.jpg", "none.jpg can't be read as an image: it does not exist"),
        (tmp_path / "a.jpg", "a.jpg can't be read as an image"),
        (tmp_path / "empty", "empty' holds no image"),
        (np.zeros((5, 5), np.uint8), r"an array of uint8 and shape \(5, 5\) is no image"),
        (np.zeros((5, 5, 3), np.float32), "an array of float32"),
        (np.zeros((0, 5, 3), np.uint8), "is no image"),
        (torch.zeros(3, 5, 5), "a Tensor is no image"),
        ([np.zeros((5, 5, 3), np.uint8), 3], "a int is no image"),
    ):
        with pytest.raises(CCAFLError, match=message) as error:
            extractor(given)
        assert "\n" not in str(error.value)


def test_facts(extractor, tiny_weights) -> None:
    assert isinstance(extractor, Extractor)
    assert extractor.description == TINY
    assert extractor.feature_dim == 512
    assert extractor.digest == digest_of_file(tiny_weights)
    assert extractor.camera_statistics is None
    assert isinstance(open_extractor(tiny_weights, device="cpu"), FeatureExtractor)


def test_texts_and_embeddings(tiny_weights, tiny_model, crops) -> None:
    extractor = FeatureExtractor(tiny_weights, "cpu", batch_size=2, feature="embedding")
    assert extractor.feature_dim == 128
    assert extractor.description.feature == "embedding"
    path = images_of(crops)[0]
    torch.testing.assert_close(extractor(path)[0], by_hand(tiny_model, path, embedding=True), rtol=0, atol=1e-5)
    texts = ["a man in a red coat", "a woman", "a person with a very long description " * 30]
    with torch.no_grad():
        expected = F.normalize(tiny_model.text_encoder(open_clip.tokenize(texts)), dim=1)
    torch.testing.assert_close(extractor.encode_text(texts), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(extractor.encode_text(texts[1]), expected[1:2], rtol=0, atol=1e-5)
    assert extractor.encode_text([]).shape == (0, 128)


def test_without_a_text_encoder_there_is_none(tiny_weights, tmp_path) -> None:
    save(tmp_path / "weights.safetensors", TINY, read(tiny_weights).state)
    extractor = FeatureExtractor(tmp_path, "cpu")  # a run's folder
    assert not extractor.has_text_encoder
    assert not hasattr(extractor.model, "text_encoder")  # a random one would answer too
    with pytest.raises(CCAFLError, match=r"holds no text encoder\. Train with ccafl\.save_text_encoder True"):
        extractor.encode_text("a man")


def test_camera_statistics_in_the_file(tiny_weights, crops, tmp_path) -> None:
    plain = FeatureExtractor(tiny_weights, "cpu")
    features = plain(crops)
    cameras = ["a", "b", "a", "b", "a", "b", "a"]
    statistics = CameraStatistics.of(features, cameras, "mean")
    save(tmp_path / "w.safetensors", TINY, read(tiny_weights).state, cameras=statistics.to_tensors())
    extractor = FeatureExtractor(tmp_path / "w.safetensors", "cpu")
    torch.testing.assert_close(extractor(crops), features)
    torch.testing.assert_close(extractor(crops, cameras=cameras), statistics.apply(features, cameras))
    with pytest.raises(CCAFLError, match="holds no camera statistics"):
        plain(crops, cameras=cameras)


def test_torchreids_models(osnet_weights, crops) -> None:
    extractor = FeatureExtractor(osnet_weights, "cpu")
    path = images_of(crops)[0]
    picture = Image.open(path).convert("RGB").resize((64, 128), Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.asarray(picture).copy()).float() / 255
    described = extractor.description
    pixels = (pixels - torch.tensor(described.norm_mean)) / torch.tensor(described.norm_std)
    with torch.no_grad():
        expected = F.normalize(extractor.model(pixels.permute(2, 0, 1)[None]), dim=1)
    torch.testing.assert_close(extractor(path), expected, rtol=0, atol=1e-5)
    with pytest.raises(CCAFLError, match=r"osnet_x0_25 in .* has no embedding"):
        FeatureExtractor(osnet_weights, "cpu", feature="embedding")


def test_wrong_weights_and_settings_are_one_line(tiny_weights, osnet_weights, tmp_path) -> None:
    broken = read(tiny_weights).state
    broken.pop("neck.weight")
    save(tmp_path / "part.safetensors", TINY, broken)
    save(tmp_path / "other.safetensors", dataclasses.replace(TINY, model="osnet_x0_25"), read(tiny_weights).state)
    save(tmp_path / "unknown.safetensors", dataclasses.replace(TINY, model="nothing"), broken)
    shutil.copy(osnet_weights, tmp_path / "w.onnx")
    for name, settings, message in (
        ("part.safetensors", {}, r"are not those of clip_tiny: 1 of the model's tensors are missing \(neck.weight\)"),
        ("other.safetensors", {}, "are not those of osnet_x0_25"),
        ("unknown.safetensors", {}, "its model 'nothing' is none that torchreid or ccafl_plugin knows"),
        ("none.safetensors", {}, "it does not exist"),
        (tiny_weights, {"batch_size": 0}, "batch_size: 0 is out of range"),
        (tiny_weights, {"feature": "embeding"}, "feature: 'embeding' is not available. Did you mean 'embedding'"),
    ):
        with pytest.raises(CCAFLError, match=message) as error:
            FeatureExtractor(tmp_path / name, device="cpu", **settings)
        assert "\n" not in str(error.value)
    with pytest.raises(CCAFLError, match=r"w\.onnx.*can.t be read as ONNX|need onnxruntime"):
        open_extractor(tmp_path / "w.onnx")


def test_the_surroundings_stay_as_they_are(tiny_weights) -> None:
    before, size = torch.random.get_rng_state(), options.input_size
    FeatureExtractor(tiny_weights, "cpu")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert options.input_size == size
