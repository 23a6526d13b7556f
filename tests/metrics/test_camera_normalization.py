"""Camera-wise normalisation, against a loop over images and dimensions."""

from __future__ import annotations

import dataclasses
import math
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from ccafl_plugin.metrics import evaluate_features
from ccafl_plugin.metrics.camera_normalization import CameraStatistics, UnknownCameraWarning
from ccafl_plugin.utils.camera_moments import without_cameras
from ccafl_plugin.utils.errors import CCAFLError
from tests.metrics.tinted_features import draw, unit


def mean_and_variance(values: list[float]) -> tuple[float, float]:
    mean = math.fsum(values) / len(values)
    return mean, math.fsum((x - mean) ** 2 for x in values) / len(values)


def slow(rows: list[list[float]], cameras: list, seen: list[list[float]], seen_by: list, mode: str) -> list:
    """Rows normalised by the statistics of the images seen, number by number."""
    rows, seen = [unit(row) for row in rows], [unit(row) for row in seen]
    result = []
    for row, camera in zip(rows, cameras, strict=True):
        new = []
        for k, x in enumerate(row):
            mu, s2 = mean_and_variance([other[k] for other in seen])
            own = [other[k] for other, name in zip(seen, seen_by, strict=True) if name == camera]
            mu_c, s2_c = mu, s2
            if own:
                n = len(own)
                mu_own, s2_own = mean_and_variance(own)
                mu_c, s2_c = (n * mu_own + 2 * mu) / (n + 2), (n * s2_own + 2 * s2) / (n + 2)
            scale = 1.0 if mode == "mean" else 1 / math.sqrt(s2_c + 1e-12)
            new.append(0.0 if mode == "mean_std" and s2 <= 1e-12 else scale * (x - mu_c))
        result.append(unit(new))
    return result


@given(
    images=st.integers(3, 12),
    seen=st.integers(2, 12),
    dim=st.integers(2, 5),
    cameras=st.integers(2, 5),
    mode=st.sampled_from(["mean", "mean_std"]),
    words=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_equals_loops(images: int, seen: int, dim: int, cameras: int, mode: str, words: bool, seed: int) -> None:
    """Of cameras with one image and of cameras that the statistics lack, too."""
    everything, camera = draw(images + seen, dim, cameras, seed)
    everything[:, 0] = everything[:, 0].round()
    features, gallery = everything[:images], everything[images:]
    names = [f"gate {number}" if words else 7 * number - 3 for number in camera.tolist()]
    before = everything.clone()
    statistics = CameraStatistics.of(gallery, names[images:], mode)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = statistics.apply(features, names[:images])
    missing = set(names[:images]) - set(names[images:])
    assert len(caught) == bool(missing)
    assert all(str(name) in str(caught[0].message) for name in missing)
    expected = slow(features.tolist(), names[:images], gallery.tolist(), names[images:], mode)
    assert found.dtype == torch.float64
    # Where nothing but rounding is left of a row, its direction is arbitrary: the length it had is what is compared.
    clear = [row for row in range(images) if abs(math.fsum(x * x for x in expected[row]) - 1) < 1e-6]
    np.testing.assert_allclose(found[clear], torch.tensor(expected)[clear].reshape(-1, dim), atol=1e-6)
    assert torch.equal(everything, before)


@pytest.mark.parametrize("mode", ["mean", "mean_std"])
@given(images=st.integers(1, 40), dim=st.integers(1, 6), cameras=st.integers(1, 5), seed=st.integers(0, 2**31))
def test_a_set_by_itself_is_as_associations_have_it(mode: str, images: int, dim: int, cameras: int, seed: int) -> None:
    features, camera = draw(images, dim, cameras, seed)
    features = F.normalize(features, dim=1)
    found = CameraStatistics.of(features, camera, mode).apply(features, camera)
    expected = without_cameras(features.numpy(), camera.numpy(), mode)
    clear = torch.nonzero((features - features.mean(0)).square().sum(1) > 1e-3).flatten().numpy()
    np.testing.assert_allclose(found.numpy()[clear], expected[clear], atol=1e-6)


@pytest.mark.parametrize("mode", ["mean", "mean_std", "erase"])
def test_cameras_biases_do_not_matter_any_more(mode: str) -> None:
    """Two hundred people before three cameras, each with a tint and a contrast that outweigh the people."""
    rng = torch.Generator().manual_seed(0)
    people = torch.randn(200, 32, generator=rng)
    seen = [1 + 4 * torch.randn(32, generator=rng) + scale * people for scale in (1, 1.5, 0.7)]
    features, camera, person = torch.cat(seen), torch.arange(3).repeat_interleave(200), torch.arange(200).repeat(3)
    assert evaluate_features(features, features, person, person, camera, camera, "cosine")[1] < 0.3
    clean = CameraStatistics.of(features, camera, mode).apply(features, camera)
    assert evaluate_features(clean, clean, person, person, camera, camera)[1] > 0.95


def test_a_camera_with_one_image() -> None:
    """Two thirds of its mean are that of all, so its only image isn't wiped out."""
    features, camera = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]]).double(), torch.tensor([0, 0, 1])
    statistics = CameraStatistics.of(features, camera, "mean")
    assert statistics.counts.tolist() == [2, 1]
    row = statistics.apply(features, camera)[2]
    everything = features.mean(0)
    torch.testing.assert_close(row, F.normalize(features[2] - (features[2] + 2 * everything) / 3, dim=0))


def test_a_camera_without_statistics_gets_those_of_all_and_one_warning_names_it() -> None:
    features, camera = draw(30, 4, 3, 0)
    statistics = CameraStatistics.of(features, camera)
    with pytest.warns(UnknownCameraWarning) as caught:
        found = statistics.apply(features[:4], [8, 9, 8, 0])
    assert [str(warning.message) for warning in caught] == [
        "camera normalisation: no statistics of cameras 8, 9, only of cameras 0, 1, 2; images of the former get the "
        "statistics of all cameras."
    ]
    rows = F.normalize(features, dim=1)
    expected = F.normalize((rows[:3] - rows.mean(0)) / rows.var(0, correction=0).sqrt(), dim=1)
    torch.testing.assert_close(found[:3], expected, atol=1e-9, rtol=0)
    with pytest.warns(UnknownCameraWarning, match="no statistics of camera '0', only of cameras 0, 1, 2;"):
        statistics.apply(features[:1], ["0"])  # a word, as a table of text has it, is no number
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        torch.testing.assert_close(found[3:], statistics.apply(features[3:4], [0]))


@pytest.mark.parametrize("mode", ["mean", "mean_std", "erase"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_a_dimension_that_never_varies(mode: str, dtype: torch.dtype) -> None:
    """Divided by nothing it would drown all others in an image that differs there."""
    rng = torch.Generator().manual_seed(0)
    features, camera = torch.randn(300, 6, generator=rng), torch.randint(3, (300,), generator=rng)
    features[:, 2] = 0
    other = torch.randn(5, 6, generator=rng)
    statistics = CameraStatistics.of(features.to(dtype), camera, mode)
    found = statistics.apply(other.to(dtype), camera[:5])
    assert found.dtype == torch.float32
    assert bool(torch.isfinite(found).all())
    torch.testing.assert_close(found.norm(dim=1), torch.ones(5))
    assert bool((found[:, 2] == 0).all()) == (mode == "mean_std")


@pytest.mark.parametrize("mode", ["mean", "mean_std", "erase"])
def test_features_that_are_all_equal_or_zero(mode: str) -> None:
    for features in (torch.full((5, 3), 0.1), torch.zeros(5, 3)):
        found = CameraStatistics.of(features, [0, 0, 1, 1, 2], mode).apply(features, [0, 0, 1, 1, 2])
        assert bool(torch.isfinite(found).all())


def test_saved_and_loaded(tmp_path: Path) -> None:
    features, camera = draw(20, 4, 3, 1)
    for names in (camera, [f"gate {number}" for number in camera.tolist()]):
        statistics = CameraStatistics.of(features, names, "mean", fingerprint="c0ffee", dataset="market1501")
        statistics.save(tmp_path / "cameras.safetensors")
        loaded = CameraStatistics.load(tmp_path / "cameras.safetensors")
        for field in dataclasses.fields(CameraStatistics):
            before, after = getattr(statistics, field.name), getattr(loaded, field.name)
            assert torch.equal(before, after) if isinstance(before, Tensor) else before == after
        assert torch.equal(loaded.apply(features, names), statistics.apply(features, names))
    assert [file.name for file in tmp_path.iterdir()] == ["cameras.safetensors"]


def test_kept_among_the_tensors_of_a_weights_file(tmp_path: Path) -> None:
    features, camera = draw(20, 4, 3, 1)
    statistics = CameraStatistics.of(features, camera)
    tensors, metadata = statistics.to_tensors()
    file = tmp_path / "weights.safetensors"
    save_file({"conv.weight": torch.zeros(2), **tensors}, file, {"format": "pt", **metadata})
    assert torch.equal(CameraStatistics.load(file).apply(features, camera), statistics.apply(features, camera))


def test_files_without_statistics(tmp_path: Path) -> None:
    with pytest.raises(CCAFLError, match=r"test.camera_statistics: '.*none' can't be read") as caught:
        CameraStatistics.load(tmp_path / "none", "test.camera_statistics")
    assert "\n" not in str(caught.value)
    text = tmp_path / "text"
    text.write_text("no tensors")
    with pytest.raises(CCAFLError, match="can't be read as a safetensors file"):
        CameraStatistics.load(text)
    weights = tmp_path / "weights.safetensors"
    for metadata in ({}, {"camera_statistics": "{"}, {"camera_statistics": "[]"}, {"camera_statistics": "{}"}):
        save_file({"conv.weight": torch.zeros(2)}, weights, metadata)
        with pytest.raises(CCAFLError, match="no camera statistics there"):
            CameraStatistics.load(weights)
    with pytest.raises(CCAFLError, match="can't be written"):
        CameraStatistics.of(torch.eye(2), [0, 1]).save(text / "file")


def test_statistics_of_something_else() -> None:
    statistics = CameraStatistics.of(torch.eye(3), [1, 2, 2], fingerprint="aa", dataset="here")
    statistics.check(3, [2, 5], "aa", "here")
    statistics.check(cameras=torch.tensor([1]))
    dataclasses.replace(statistics, fingerprint="", dataset="").check(3, fingerprint="bb", dataset="there")
    with pytest.raises(CCAFLError, match=r"^x: made of features of 3 numbers, these have 2; make them anew\.$"):
        statistics.check(2, what="x")
    with pytest.raises(CCAFLError, match=r"^x: of the cameras of here, but the images are of there\.$"):
        statistics.check(dataset="there", what="x")
    with pytest.raises(CCAFLError, match=r"^x: made with other weights \(aa\) than the model's \(bb\); make"):
        statistics.check(3, fingerprint="bb", what="x")
    with pytest.raises(CCAFLError, match=r"^x: of cameras 1, 2, but the images are of camera 3\.$"):
        statistics.check(3, [3, 3], what="x")
    with pytest.raises(CCAFLError, match="of 3 numbers, these have 2"):
        statistics.apply(torch.eye(2), [1, 2])


def test_what_does_not_fit() -> None:
    statistics = CameraStatistics.of(torch.eye(2), [0, 1])
    for function in (CameraStatistics.of, statistics.apply):
        with pytest.raises(CCAFLError, match="needs to know the camera of each image"):
            function(torch.eye(2), None)
        with pytest.raises(CCAFLError, match=r"got \(2, 2\) and \(3,\)"):
            function(torch.eye(2), [0, 1, 2])
        with pytest.raises(CCAFLError, match="not finite"):
            function(torch.full((2, 2), float("nan")), [0, 1])
    erasing = CameraStatistics.of(torch.eye(2), [0, 1], "erase")
    with pytest.raises(CCAFLError, match=r"needs features \(M, D\), got \(2,\)"):
        erasing.apply(torch.ones(2), None)
    with pytest.raises(CCAFLError, match="not finite"):
        erasing.apply(torch.full((2, 2), float("nan")), None)
    with pytest.raises(CCAFLError, match="no images to take statistics of"):
        CameraStatistics.of(torch.zeros(0, 2), [])
    with pytest.raises(CCAFLError, match=r"'std' is not available\..* Choose one of: erase, mean, mean_std"):
        CameraStatistics.of(torch.eye(2), [0, 1], "std")
    with pytest.raises(CCAFLError, match=r"2 cameras need counts \(C,\).* got \(1,\), \(2, 2\), \(2, 2\)"):
        dataclasses.replace(statistics, counts=torch.ones(1))
    nan = torch.full((2, 2), float("nan"))
    for broken in ({"counts": torch.tensor([1, 0])}, {"mean": nan}, {"variance": nan}, {"variance": -torch.ones(2, 2)}):
        with pytest.raises(CCAFLError, match=r"must be finite, variances not below 0, and every camera needs an image"):
            dataclasses.replace(statistics, **broken)
    assert statistics.apply(torch.zeros(0, 2), []).shape == (0, 2)
