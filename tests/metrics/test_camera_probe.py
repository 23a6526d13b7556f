"""The camera probe on features that hold the camera, that don't, and in between."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from ccafl_plugin.metrics import camera_probe
from ccafl_plugin.metrics.camera_probe import WEIGHT_DECAY, camera_predictability, logistic_regression
from ccafl_plugin.utils.errors import CCAFLError


def problem(count: int, dim: int, cameras: int, strength: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    seen_by = torch.arange(count) % cameras
    features = torch.randn(count, dim, generator=rng)
    return features + strength * torch.randn(cameras, dim, generator=rng)[seen_by], seen_by


def test_cameras_that_are_told_apart_with_ease() -> None:
    accuracy, chance = camera_predictability(*problem(600, 32, 6, 3.0))
    assert accuracy > 0.99
    assert chance == 1 / 6


@pytest.mark.parametrize("dim", [4, 64, 1000])
def test_features_without_cameras_give_chance(dim: int) -> None:
    accuracy, chance = camera_predictability(*problem(2000, dim, 5, 0.0))
    assert chance == 0.2
    assert accuracy == pytest.approx(chance, abs=0.035)


def test_accuracy_rises_with_what_the_features_hold() -> None:
    found = [camera_predictability(*problem(1200, 16, 4, s)).accuracy for s in (0.0, 0.2, 0.5, 1.0)]
    assert found == sorted(found)
    assert found[1] < 0.6 < found[2]


def test_it_is_near_the_best_possible_accuracy() -> None:
    """Two cameras at distance 2 in one dimension: the best rule is right with probability Phi(1) = 0.841."""
    features, cameras = problem(4000, 8, 2, 0.0)
    features[:, 3] += 2 * cameras
    assert camera_predictability(features, cameras).accuracy == pytest.approx(0.841, abs=0.02)


def test_a_camera_between_two_others_is_seen() -> None:
    features, cameras = problem(900, 1, 3, 0.0)
    assert camera_predictability(features + 10 * cameras[:, None], cameras).accuracy > 0.98


def test_cameras_count_equally() -> None:
    """Nine of ten images are camera 0's; always guessing it would be right for nine of ten images."""
    features, cameras = problem(2000, 8, 10, 0.0)
    cameras = (cameras == 3).long()
    accuracy, chance = camera_predictability(features, cameras)
    assert chance == 0.5
    assert accuracy == pytest.approx(0.5, abs=0.06)
    features[cameras == 1] += 3
    assert camera_predictability(features, cameras).accuracy > 0.99


def test_a_person_is_never_in_both_halves() -> None:
    """Each person has a look of their own and is seen by one camera: by image this tells the camera, by person not."""
    rng = torch.Generator().manual_seed(0)
    persons = torch.arange(60).repeat_interleave(10)
    features = torch.randn(60, 64, generator=rng)[persons] + 0.1 * torch.randn(600, 64, generator=rng)
    cameras = torch.randint(4, (60,), generator=rng)[persons]
    assert camera_predictability(features, cameras).accuracy > 0.9
    assert camera_predictability(features, cameras, persons).accuracy < 0.45


def test_only_seed_and_images_decide() -> None:
    features, cameras = problem(500, 8, 4, 0.3)
    persons = torch.arange(500) // 4
    for known in (None, persons):
        first = camera_predictability(features, cameras, known, seed=3)
        torch.manual_seed(5)
        with torch.no_grad():
            assert camera_predictability(features, cameras, known, seed=3) == first
        assert camera_predictability(features, cameras, known, seed=4) != first
        assert camera_predictability(features, 7 * cameras - 9, known, seed=3) == first
        assert camera_predictability(1000 * features + 50, cameras, known, seed=3).accuracy == pytest.approx(
            first.accuracy, abs=0.01
        )


def test_inputs_stay_as_they_were() -> None:
    features, cameras = problem(60, 4, 3, 0.3)
    before = features.clone(), cameras.clone()
    features.requires_grad_()
    camera_predictability(features, cameras)
    assert features.grad is None
    assert torch.equal(features.detach(), before[0])
    assert torch.equal(cameras, before[1])


def test_cameras_that_one_half_does_not_have_are_left_out() -> None:
    features, cameras = problem(400, 8, 2, 3.0)
    cameras[7] = 5  # an only image
    accuracy, chance = camera_predictability(features, cameras)
    assert chance == 0.5
    assert accuracy > 0.99
    persons = torch.where(cameras == 5, 999, torch.arange(400))
    assert camera_predictability(features, cameras, persons).chance == 0.5


@pytest.mark.parametrize("count", [0, 1, 10])
def test_one_camera_can_not_be_judged(count: int) -> None:
    accuracy, chance = camera_predictability(torch.randn(count, 3), torch.zeros(count, dtype=torch.int64))
    assert math.isnan(accuracy)
    assert math.isnan(chance)


def test_dimensions_without_variance_and_half_precision() -> None:
    features, cameras = problem(300, 8, 3, 3.0)
    features[:, 2] = 0.5
    assert camera_predictability(features.half(), cameras).accuracy > 0.95


def test_rounding_in_numbers_that_never_vary_is_not_read() -> None:
    """A channel that never fires, less the mean of its camera, is a rounding error that differs between cameras."""
    rng = torch.Generator().manual_seed(0)
    cameras = torch.arange(3).repeat(200)
    features = torch.randn(600, 6, generator=rng)
    rounding = torch.tensor([1e-9, -2e-9, 3e-10])[cameras]
    accuracy = camera_predictability(torch.cat([features, rounding[:, None]], dim=1), cameras).accuracy
    assert accuracy == camera_predictability(features, cameras).accuracy
    assert camera_predictability(torch.cat([features, 1e9 * rounding[:, None]], dim=1), cameras).accuracy > 0.8


def newton(features: Tensor, labels: Tensor) -> Tensor:
    """What ``logistic_regression`` returns, by Newton's method with the whole matrix of second derivatives."""
    count, dim = features.shape
    classes = int(labels.max()) + 1
    shares = [1 / classes / int((labels == label).sum()) for label in labels.tolist()]

    def loss(flat: Tensor) -> Tensor:
        weight, bias = flat.view(classes, dim + 1)[:, :dim], flat.view(classes, dim + 1)[:, dim]
        total = WEIGHT_DECAY / 2 * (weight**2).sum()
        for row in range(count):
            log_odds = weight @ features[row] + bias
            total = total - shares[row] * (log_odds[labels[row]] - log_odds.logsumexp(0))
        return total

    flat = torch.zeros(classes * (dim + 1), dtype=torch.float64)
    for _ in range(50):
        slope = torch.autograd.functional.jacobian(loss, flat)
        if slope.abs().max() < 1e-9:
            break
        curvature = torch.autograd.functional.hessian(loss, flat)
        step = torch.linalg.pinv(curvature, hermitian=True, rtol=1e-9) @ slope  # all biases may rise together
        size = 1.0
        while loss(flat - size * step) > loss(flat) + 1e-12:
            size /= 2
        flat = flat - size * step
    assert slope.abs().max() < 1e-9
    return flat.view(classes, dim + 1)


@settings(max_examples=6, deadline=None)
@given(st.integers(2, 3), st.integers(1, 5), st.integers(0, 8), st.sampled_from([0.1, 1.0, 30.0]), st.integers(0, 99))
@example(classes=2, dim=7, more=1, scale=1.0, seed=0)  # more dimensions than images
def test_the_optimum_is_that_of_newtons_method(classes: int, dim: int, more: int, scale: float, seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    labels = torch.cat([torch.arange(classes), torch.randint(classes, (more,), generator=rng)])
    features = scale * torch.randn(len(labels), dim, generator=rng, dtype=torch.float64)
    assert torch.allclose(logistic_regression(features, labels), newton(features, labels), atol=2e-4)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("row", [0, 1])
def test_features_that_are_not_finite_give_nan(bad: float, row: int) -> None:
    features, cameras = problem(60, 4, 3, 3.0)
    features[row, 2] = bad
    accuracy, chance = camera_predictability(features, cameras)
    assert math.isnan(accuracy)
    assert chance == 1 / 3


@pytest.mark.parametrize("scale", [1e20, 3e37, 1e-20])
def test_scale_does_not_matter(scale: float, recwarn: pytest.WarningsRecorder) -> None:
    features, cameras = problem(300, 8, 3, 1.0)
    expected = camera_predictability(features, cameras).accuracy
    assert 0.6 < expected < 1
    assert camera_predictability(scale * features, cameras).accuracy == pytest.approx(expected, abs=1 / 300)
    assert not recwarn.list


def test_one_dimension_that_is_far_larger(recwarn: pytest.WarningsRecorder) -> None:
    """Beside it nothing else is read, see ``SMALLEST_DEVIATION``; its own sign tells two of the cameras."""
    features, cameras = problem(400, 8, 4, 3.0)
    features[:, 5] = 1e20 * (cameras - 1.5 + 0.1 * features[:, 5].sign())
    assert camera_predictability(features, cameras).accuracy > 0.9
    assert not recwarn.list


def test_constant_features_give_chance(recwarn: pytest.WarningsRecorder) -> None:
    _, cameras = problem(90, 1, 3, 0.0)
    assert camera_predictability(torch.full((90, 5), 0.3), cameras) == pytest.approx((1 / 3, 1 / 3))
    assert not recwarn.list


def test_more_dimensions_than_images(recwarn: pytest.WarningsRecorder) -> None:
    assert camera_predictability(*problem(24, 500, 3, 3.0)).accuracy > 0.95
    assert not recwarn.list


@pytest.mark.parametrize("count", [40, 600])
def test_numbers_that_all_say_the_same(count: int, recwarn: pytest.WarningsRecorder) -> None:
    """The loss is thousands of times steeper along their sum than in all other directions."""
    features, cameras = problem(count, 1, 6, 3.0)
    many = features * torch.randn(1, 1024, generator=torch.Generator().manual_seed(1))
    assert camera_predictability(many, cameras).accuracy > 0.5
    assert not recwarn.list


def test_what_did_not_converge_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_probe, "MAX_STEPS", 1)
    with pytest.warns(UserWarning, match=r"camera probe did not converge: after 1 steps the largest derivative is \d"):
        assert camera_predictability(*problem(600, 32, 6, 3.0)).accuracy > 0.5


def test_errors() -> None:
    features, cameras = problem(6, 2, 2, 0.0)
    with pytest.raises(CCAFLError, match=r"got \(6, 2\), \(5,\)\."):
        camera_predictability(features, cameras[:5])
    with pytest.raises(CCAFLError, match=r"got \(6, 2\), \(6,\), \(3,\)\."):
        camera_predictability(features, cameras, cameras[:3])
