"""Settings that follow from the amount of data: the paper's for its datasets, sane ones for every other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccafl_plugin.config import load_config
from ccafl_plugin.config.fitted_settings import Counts, fitted_settings
from ccafl_plugin.utils.errors import CCAFLError


def test_market1501_gives_nearly_the_papers_values_and_early_ical() -> None:
    found = fitted_settings(Counts(12936, 6, 3262, 4.0), 128, 8, 50)
    assert found == {
        "train.batch_size": 128,
        "sampler.num_instances": 8,
        "train.stepsize": [40],
        "ccafl.iters_per_epoch": 202,  # 200
        "ccafl.warmup_epochs": 10,
        "ccafl.terms.inter.first_epoch": 5,
        "ccafl.terms.alignment.first_epoch": 10,
        "ccafl.terms.ical.first_epoch": 5,  # 40: ours begins with the association
    }


def test_a_small_set_begins_later_across_cameras() -> None:
    """As the rendered benchmark's configuration, which waits half of its epochs."""
    found = fitted_settings(Counts(697, 6, 122, 5.0), 64, 4, 20)
    assert (found["train.batch_size"], found["sampler.num_instances"]) == (64, 4)
    assert found["ccafl.iters_per_epoch"] == 22
    assert found["ccafl.terms.inter.first_epoch"] == 10
    assert found["ccafl.terms.ical.first_epoch"] == 10


def test_one_image_per_track_and_few_people() -> None:
    found = fitted_settings(Counts(10, 2, 10, 1.0), 128, 8, 50)
    assert (found["train.batch_size"], found["sampler.num_instances"]) == (20, 2)


@pytest.mark.parametrize(
    ("counts", "batch", "instances", "iterations", "first"),
    [
        (Counts(40, 2, 20, 2.0), 64, 4, 20, 10),  # ten people, two cameras, two images: half of 400 iterations
        (Counts(20, 2, 20, 1.0), 40, 2, 20, 10),  # one image per proxy, drawn twice
        (Counts(15, 5, 5, 3.0), 20, 4, 20, 10),  # one proxy per camera
        (Counts(8, 2, 4, 2.0), 16, 4, 20, 10),  # the fewest people
        (Counts(400_000, 50, 100_000, 4.0), 64, 4, 400, 2),  # an epoch draws a part of them
        (Counts(100_000, 50, 100_000, 1.0), 64, 2, 400, 2),
        (Counts(5_000_000, 9, 100_000, 50.0), 64, 4, 400, 2),
    ],
)
def test_smallest_and_largest_sets(counts: Counts, batch: int, instances: int, iterations: int, first: int) -> None:
    """Of configs/own/ccafl_margin_tiny.yaml: at most 64 images with 4 of a proxy, 20 epochs."""
    found = fitted_settings(counts, 64, 4, 20)
    assert (found["train.batch_size"], found["sampler.num_instances"]) == (batch, instances)
    assert found["ccafl.iters_per_epoch"] == iterations
    assert found["ccafl.terms.inter.first_epoch"] == found["ccafl.terms.ical.first_epoch"] == first
    assert found["ccafl.terms.alignment.first_epoch"] == first + 2


@given(
    images=st.integers(4, 10**6),
    cameras=st.integers(2, 60),
    proxies=st.integers(4, 10**5),
    median=st.integers(1, 50),
    most=st.integers(2, 512),
    instances=st.integers(1, 16),
    epochs=st.integers(1, 100),
)
def test_a_run_can_always_begin(
    images: int, cameras: int, proxies: int, median: int, most: int, instances: int, epochs: int
) -> None:
    found = fitted_settings(Counts(images, cameras, proxies, median), most, instances, epochs)
    batch, k = found["train.batch_size"], found["sampler.num_instances"]
    assert batch % k == 0 and 0 < batch <= most and k <= instances and batch // k <= proxies
    first = [found[f"ccafl.terms.{term}.first_epoch"] for term in ("inter", "alignment", "ical")]
    assert all(0 <= epoch < epochs for epoch in first)
    assert first[0] <= min(first[1:])
    assert 20 <= found["ccafl.iters_per_epoch"] <= 400
    pairs = [str(word) for pair in found.items() for word in pair]
    file = "configs/own/ccafl_margin.yaml"
    config = load_config(file, [*pairs, "train.max_epoch", str(epochs), "sampler.num_instances", str(k)])
    assert config.train.batch_size == batch


def test_what_cannot_be_trained() -> None:
    with pytest.raises(CCAFLError, match=r"all training images are of one camera.*add a second camera"):
        fitted_settings(Counts(100, 1, 10, 10.0), 128, 8, 50)
    with pytest.raises(CCAFLError, match=r"3 proxies are too few"):
        fitted_settings(Counts(100, 2, 3, 10.0), 128, 8, 50)


def test_counts() -> None:
    train = [("a", 0, 0, 0), ("b", 0, 0, 0), ("c", 0, 1, 0), ("d", 0, 0, 1)]
    assert Counts.of(train) == (4, 3, 3, 1.0)
    assert str(Counts.of(train)) == "4 images of 3 proxies in 3 cameras, 1 per proxy (median)"
