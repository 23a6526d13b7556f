"""Thresholds for "same person": exact, against a loop over all pairs, with the number of pairs behind each."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ccafl_plugin.features.feature_set import FeatureSet
from ccafl_plugin.features.thresholds import Thresholds, _as_float, _as_ordered, file_of, measure_thresholds
from ccafl_plugin.features.thresholds_command import lines_of
from ccafl_plugin.utils.errors import CCAFLError
from tests.children import in_child, memory_growth

DIGEST = "ab" * 32


def labelled(seed: int, rows: int, cameras: int, people: int, dim: int = 4, coarse: bool = False) -> FeatureSet:
    rng = torch.Generator().manual_seed(seed)
    features = torch.randn(rows, dim, generator=rng)
    if coarse:  # few directions, so that many similarities are equal
        features = torch.eye(dim)[torch.randint(dim, (rows,), generator=rng)]
        features *= torch.randint(0, 2, (rows, 1), generator=rng) * 2.0 - 1
    columns = {
        "path": [str(row) for row in range(rows)],
        "camera": [f"c{n}" if n else "" for n in torch.randint(cameras + 1, (rows,), generator=rng).tolist()],
        "id": [f"p{n}" if n else "" for n in torch.randint(people + 1, (rows,), generator=rng).tolist()],
    }
    return FeatureSet(features, columns, DIGEST, {"feature": "retrieval"})


def by_loops(given: FeatureSet) -> tuple[list[float], list[float]]:
    """Similarities of pairs of one person and of two people, by different cameras."""
    same, different = [], []
    cameras, ids = given.columns["camera"], given.columns["id"]
    for i in range(len(given)):
        for j in range(i):
            if cameras[i] and cameras[j] and ids[i] and ids[j] and cameras[i] != cameras[j]:
                one, other = given.features[i].double(), given.features[j].double()
                cosine = sum(a * b for a, b in zip(one.tolist(), other.tolist(), strict=True))
                cosine /= math.sqrt(sum(a * a for a in one.tolist()) * sum(b * b for b in other.tolist()))
                (same if ids[i] == ids[j] else different).append(cosine)
    return same, different


@given(
    seed=st.integers(0, 2**31),
    rows=st.integers(2, 24),
    cameras=st.integers(1, 4),
    people=st.integers(1, 6),
    coarse=st.booleans(),
    block=st.sampled_from([1, 7, 1 << 22]),
    rate=st.sampled_from([0.01, 0.1, 0.29, 0.5, 0.9]),
)
def test_equals_a_loop(seed: int, rows: int, cameras: int, people: int, coarse: bool, block: int, rate: float) -> None:
    given = labelled(seed, rows, cameras, people, coarse=coarse)
    same, different = by_loops(given)
    if not same or not different:
        with pytest.raises(CCAFLError, match="no pair of images that shows"):
            measure_thresholds(given, [rate], block=block)
        return
    found = measure_thresholds(given, [rate], block=block)
    (one,) = found.thresholds
    assert (found.same_pairs, found.different_pairs) == (len(same), len(different))
    allowed = int(rate * len(different) + 1e-9)
    if allowed == 0:
        assert one.threshold is None and not one.supported
        return
    limit = sorted(different, reverse=True)[allowed]
    assert one.threshold == pytest.approx(limit, abs=1e-6)
    assert one.false_accepts <= allowed
    if coarse:  # cosines are -1, 0 and 1 exactly
        assert one.threshold == limit
        assert one.false_accepts == sum(value > limit for value in different)
        assert one.true_accept_rate == sum(value > limit for value in same) / len(same)
    else:
        assert one.false_accepts == allowed


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1))
def test_numbers_keep_their_order(values: list[float]) -> None:
    given = torch.tensor(values, dtype=torch.float32)
    ordered = _as_ordered(given)
    assert torch.equal(_as_float(ordered), given + 0.0)
    assert torch.equal(ordered.argsort(stable=True), (given + 0.0).argsort(stable=True))
    assert int(ordered.min()) >= 0 and int(ordered.max()) < 1 << 32


def test_what_few_pairs_do_not_support_is_marked() -> None:
    found = measure_thresholds(labelled(1, 60, 2, 10), data="a test")
    assert 100 < found.different_pairs < 1000
    first, second, third = found.thresholds
    assert (first.rate, second.rate, third.rate) == (1e-2, 1e-3, 1e-4)
    assert first.threshold is not None and 0 < first.false_accepts < 10 and not first.supported
    assert second.threshold is None and third.threshold is None
    text = "\n".join(lines_of(found))
    assert f"{found.different_pairs} pairs of images of two people and {found.same_pairs} of one person" in text
    assert f"only {first.false_accepts} pairs are behind 0.01" in text
    assert "warning: 0.001 needs at least 1000 pairs of two people: no threshold" in text
    many = measure_thresholds(labelled(1, 200, 3, 10), rates=[1e-2])
    assert many.thresholds[0].supported and many.thresholds[0].false_accepts >= 10
    assert "warning" not in "\n".join(lines_of(many))


def test_saved_beside_the_weights(tmp_path: Path) -> None:
    found = measure_thresholds(labelled(1, 60, 2, 10), rates=[0.5, 0.1, 0.001])
    file = file_of(tmp_path / "weights.safetensors")
    assert file.name == "weights.thresholds.json" and file_of(tmp_path) == file
    found.save(file)
    again = Thresholds.load(file)
    assert again == found
    low, high = again.thresholds[0].threshold, again.thresholds[1].threshold
    assert low is not None and high is not None and low < high
    assert [again.passed(value) for value in (low, high, high + 1e-3)] == [None, 0.5, 0.1]
    again.check_weights(DIGEST, "retrieval", "x")
    with pytest.raises(CCAFLError, match=r"of the thresholds are of other weights \(abababababab\) than those of x"):
        again.check_weights("cd" * 32, "retrieval", "x")
    with pytest.raises(CCAFLError, match="another kind"):
        again.check_weights(DIGEST, "embedding", "x")
    file.write_text("[]")
    with pytest.raises(CCAFLError, match="holds no thresholds"):
        Thresholds.load(file)
    with pytest.raises(CCAFLError, match=r"none\.json can't be read"):
        Thresholds.load(tmp_path / "none.json")


def test_what_can_not_be_measured() -> None:
    whole = labelled(1, 20, 2, 5)
    for name in ("camera", "id"):
        columns = {key: value for key, value in whole.columns.items() if key != name}
        with pytest.raises(CCAFLError, match=f"does not say the {name} of its images"):
            measure_thresholds(FeatureSet(whole.features, columns, DIGEST))
    with pytest.raises(CCAFLError, match="--rates: 1 is no rate"):
        measure_thresholds(whole, [0.1, 1])
    with pytest.raises(CCAFLError, match="two people by two cameras"):
        measure_thresholds(labelled(1, 20, 1, 5))
    with pytest.raises(CCAFLError, match="one person by two cameras"):
        columns = {**whole.columns, "id": [str(row) for row in range(20)]}
        measure_thresholds(FeatureSet(whole.features, columns, DIGEST))


def test_memory_is_bounded() -> None:
    """21 million pairs are 85 MB of similarities; a block is half a MB."""

    def grow() -> None:
        given = labelled(3, 8000, 3, 50)
        measure_thresholds(labelled(1, 60, 2, 10), rates=[0.1])  # what torch keeps from its first calls
        assert memory_growth(lambda: measure_thresholds(given, rates=[1e-2], block=1 << 17)) < 42

    in_child(grow)
