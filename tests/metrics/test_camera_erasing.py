"""Camera statistics in mode ``erase``, against Gram and Schmidt and by a linear probe."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from ccafl_plugin.metrics import camera_normalization
from ccafl_plugin.metrics.camera_normalization import CameraStatistics
from ccafl_plugin.metrics.camera_probe import camera_predictability
from ccafl_plugin.utils.camera_moments import directions_between, pulled, united, without_directions
from tests.metrics.tinted_features import draw, unit


def slow_erased(rows: list[list[float]], seen: list[list[float]], seen_by: list) -> list[list[float]]:
    """Rows without what the means of the cameras span, by Gram and Schmidt."""
    rows, seen = [unit(row) for row in rows], [unit(row) for row in seen]
    dim = len(seen[0])
    everything = [math.fsum(row[k] for row in seen) / len(seen) for k in range(dim)]
    means = []
    for camera in dict.fromkeys(seen_by):
        own = [row for row, name in zip(seen, seen_by, strict=True) if name == camera]
        sums = [math.fsum(row[k] for row in own) + 2 * everything[k] for k in range(dim)]
        means.append([x / (len(own) + 2) for x in sums])
    centre = [math.fsum(mean[k] for mean in means) / len(means) for k in range(dim)]
    basis: list[list[float]] = []
    for mean in means[:-1]:  # the last difference is minus the sum of the others
        left = [x - c for x, c in zip(mean, centre, strict=True)]
        for _ in range(2):  # once more for the rounding of the first time
            for direction in basis:
                part = math.fsum(x * y for x, y in zip(left, direction, strict=True))
                left = [x - part * y for x, y in zip(left, direction, strict=True)]
        if math.fsum(x * x for x in left) > 1e-18:
            basis.append(unit(left))
    result = []
    for row in rows:
        new = [x - c for x, c in zip(row, centre, strict=True)]
        for direction in basis:
            part = math.fsum(x * y for x, y in zip(new, direction, strict=True))
            new = [x - part * y for x, y in zip(new, direction, strict=True)]
        result.append(new)
    return result


@given(
    images=st.integers(1, 8),
    seen=st.integers(2, 12),
    dim=st.integers(1, 7),
    cameras=st.integers(1, 4),
    seed=st.integers(0, 2**31),
)
def test_erasing_equals_gram_and_schmidt(images: int, seen: int, dim: int, cameras: int, seed: int) -> None:
    everything, camera = draw(images + seen, dim, cameras, seed)
    features, gallery = everything[:images], everything[images:]
    before = everything.clone()
    found = CameraStatistics.of(gallery, camera[images:], "erase").apply(features, None)
    expected = slow_erased(features.tolist(), gallery.tolist(), camera[images:].tolist())
    for row, slowly in zip(found.tolist(), expected, strict=True):
        if math.fsum(x * x for x in slowly) > 1e-12:  # of a row of rounding errors the direction is arbitrary
            np.testing.assert_allclose(row, unit(slowly), atol=1e-6)
    assert found.dtype == torch.float64
    assert torch.equal(everything, before)


def test_erasing_makes_the_cameras_means_equal_and_reads_no_images_camera() -> None:
    features, camera = draw(300, 16, 5, 0)
    statistics = CameraStatistics.of(features, camera, "erase")
    everything = united(statistics._moments())
    means = np.stack([pulled(each, everything).mean for each in statistics._moments()])
    centre, basis = directions_between(means)
    assert basis.shape == (4, 16)
    np.testing.assert_allclose(basis @ basis.T, np.eye(4), atol=1e-12)
    rows = without_directions(F.normalize(features, dim=1).numpy().copy(), centre, basis)
    of_cameras = np.stack([rows[(camera == c).numpy()].mean(axis=0) for c in range(5)])
    np.testing.assert_allclose(of_cameras @ basis.T, 0, atol=1e-12)
    assert np.abs(of_cameras - of_cameras.mean(axis=0)).max() < 1e-12
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of cameras that it does not know, too
        assert torch.equal(statistics.apply(features, camera + 9), statistics.apply(features, None))


def test_erasing_in_pieces_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    features, camera = draw(50, 6, 3, 0)
    statistics = CameraStatistics.of(features, camera, "erase")
    whole = statistics.apply(features, None)
    monkeypatch.setattr(camera_normalization, "ROWS_AT_ONCE", 7)
    torch.testing.assert_close(statistics.apply(features, None), whole, atol=1e-12, rtol=0)


def test_erasing_the_only_camera_takes_out_its_mean_only() -> None:
    features, camera = draw(20, 4, 1, 0)
    found = CameraStatistics.of(features, camera, "erase").apply(features, None)
    torch.testing.assert_close(found, CameraStatistics.of(features, camera, "mean").apply(features, camera))


def test_a_linear_probe_behind_erasing() -> None:
    """Two hundred people before four cameras with a tint each."""
    rng = torch.Generator().manual_seed(0)
    people, tints = torch.randn(200, 32, generator=rng), torch.randn(4, 32, generator=rng)
    features = (people[:, None] + tints).reshape(-1, 32) + 0.3 * torch.randn(800, 32, generator=rng)
    person, camera = torch.arange(200).repeat_interleave(4), torch.arange(4).repeat(200)
    assert camera_predictability(features, camera, person).accuracy > 0.95
    clean = CameraStatistics.of(features, camera, "erase").apply(features, None)
    assert camera_predictability(clean, camera, person).accuracy < 0.4
