"""The sample, its projection and its distances, against slow versions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ccafl_plugin.report import sampled_people
from ccafl_plugin.report.feature_space import BINS, histograms, principal_components, thresholds_of
from ccafl_plugin.report.rebuilt_run import TestImages as Images
from ccafl_plugin.report.recorded_run import RecordedRun
from ccafl_plugin.report.sampled_people import Sample, sample_of


def sample(count: int, seed: int, people: int = 4, cameras: int = 3, hold: bool = True) -> Sample:
    rng = np.random.default_rng(seed)
    persons, seen_by = rng.integers(0, people, count), rng.integers(0, cameras, count)
    return Sample(tuple(map(str, range(count))), persons, seen_by, hold, "images")


def features(count: int, dim: int, seed: int) -> torch.Tensor:
    rows = torch.randn(count, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(rows, dim=1)


@given(st.integers(1, 12), st.integers(1, 6), st.integers(0, 2**31))
def test_components_are_the_eigenvectors_of_the_covariance(count: int, dim: int, seed: int) -> None:
    rows = features(count, dim, seed)
    points, shares = principal_components(rows)
    assert points.shape == (count, 2)
    centred = (rows - rows.mean(dim=0)).numpy()
    values, vectors = np.linalg.eigh(centred.T @ centred)
    total = max(values.sum(), 1e-300)
    for place in range(2):
        if place >= dim or values[-1 - place] < 1e-9:
            assert points[:, place].abs().max() < 1e-4
            continue
        assert shares[place] == pytest.approx(values[-1 - place] / total, abs=1e-9)
        gap = min(abs(np.delete(values, dim - 1 - place) - values[-1 - place]), default=1)
        if gap > 1e-3:
            expected = centred @ vectors[:, -1 - place]
            own = points[:, place].numpy()
            assert min(abs(own - expected).max(), abs(own + expected).max()) < 1e-6
        assert points[points[:, place].abs().argmax(), place] > 0


@given(st.integers(2, 14), st.integers(0, 2**31))
def test_histograms_equal_loops(count: int, seed: int) -> None:
    some, rows = sample(count, seed), features(count, 3, seed)
    edges = np.linspace(-1, 1, BINS + 1)
    expected = {True: [], False: []}
    for i in range(count):
        for j in range(i):
            if some.cameras[i] != some.cameras[j]:
                cosine = sum(a * b for a, b in zip(rows[i].tolist(), rows[j].tolist(), strict=True))
                expected[bool(some.persons[i] == some.persons[j])].append(min(max(cosine, -1), 1))
    same, different = histograms(some, rows, edges)
    assert same.tolist() == np.histogram(expected[True], edges)[0].tolist()
    assert different.tolist() == np.histogram(expected[False], edges)[0].tolist()


def test_whole_people_and_the_same_at_any_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Distractors, whom no query shows, are left out: their label is not a person's."""
    monkeypatch.setattr(sampled_people, "MOST", 60)
    rng = np.random.default_rng(0)
    persons, cameras = rng.integers(0, 20, 400), rng.integers(0, 4, 400)
    persons[:40] = np.arange(40) % 19 + 1
    images = Images("x", tuple(map(str, range(400))), persons, cameras, 40)
    chosen, again = (sample_of(None, images) for _ in range(2))
    assert chosen.paths == again.paths and len(chosen.paths) <= 60
    assert 0 not in chosen.persons
    for person in np.unique(chosen.persons):
        assert (chosen.persons == person).sum() == (persons == person).sum()
    few = chosen.few()
    assert few.tolist() == again.few().tolist() and len(set(few.tolist())) == len(few)
    for person in np.unique(chosen.persons[few]):
        for camera in np.unique(chosen.cameras[few]):
            places = few[(chosen.persons[few] == person) & (chosen.cameras[few] == camera)]
            assert len(places) <= sampled_people.PER_CAMERA


def test_without_ids_across_cameras_every_camera_is_shown() -> None:
    some = sample(200, 1, people=1, cameras=4, hold=False)
    some = Sample(some.paths, some.cameras * 100 + np.arange(200) % 9, some.cameras, False, "images")
    assert set(some.cameras[some.few()].tolist()) == {0, 1, 2, 3}


def test_thresholds_are_of_the_sample(tmp_path) -> None:
    some, rows = sample(80, 3), features(80, 8, 3).float()
    found, said = thresholds_of(RecordedRun(tmp_path, "run"), some, rows)
    across = [(i, j) for i in range(80) for j in range(i) if some.cameras[i] != some.cameras[j]]
    different = [float(rows[i] @ rows[j]) for i, j in across if some.persons[i] != some.persons[j]]
    different.sort(reverse=True)
    first = found.thresholds[0]
    assert first.rate == 0.01 and found.different_pairs == len(different)
    assert first.threshold == pytest.approx(different[int(0.01 * len(different))], abs=1e-6)
    assert f"{len(different):,} of two people" in said.text
