"""Features of images in two files: what is saved is what is loaded, and what can't be right is refused."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ccafl_plugin.features.feature_set import FeatureSet, check_same_weights, joined
from ccafl_plugin.utils.errors import CCAFLError

DIGEST = "ab" * 32


def made(rows: int = 3, dim: int = 4, weights: str = DIGEST, **columns: list) -> FeatureSet:
    features = torch.randn(rows, dim, generator=torch.Generator().manual_seed(rows))
    return FeatureSet(features, {"path": [f"/pictures/{n}.jpg" for n in range(rows)], **columns}, weights, {"dim": dim})


def test_saved_and_loaded_are_equal(tmp_path: Path) -> None:
    full = made(
        camera=["Straße", "", "b"],
        id=["1", "a b", ""],
        track=["7", "8", ""],
        frame=[1, None, 2**40],
        time=[0.1, None, 3],
    )
    files = full.save(tmp_path / "deeper" / "mine.v2")
    assert [file.name for file in files] == ["mine.v2.safetensors", "mine.v2.index.json"]
    for name in (files[0], files[1], tmp_path / "deeper" / "mine.v2"):
        again = FeatureSet.load(name)
        assert torch.equal(again.features, full.features) and again.features.dtype == torch.float32
        assert (again.columns, again.weights, again.description) == (full.columns, DIGEST, {"dim": 4})
    assert sorted(path.name for path in files[0].parent.iterdir()) == ["mine.v2.index.json", "mine.v2.safetensors"]


@given(rows=st.integers(0, 5), dim=st.integers(1, 4), data=st.data())
def test_any_columns(tmp_path_factory, rows: int, dim: int, data) -> None:
    texts, numbers = st.text(st.characters(exclude_categories=["Cs"])), st.none() | st.integers(-(2**60), 2**60)
    columns = {
        "camera": data.draw(st.lists(texts, min_size=rows, max_size=rows)),
        "frame": data.draw(st.lists(numbers, min_size=rows, max_size=rows)),
    }
    one = made(rows, dim, **columns)
    again = FeatureSet.load(one.save(tmp_path_factory.mktemp("set") / "x")[0])
    assert again.columns == one.columns and torch.equal(again.features, one.features)


def test_parquet(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="a Parquet index needs pyarrow")
    full = made(camera=["Straße", "", "b"], frame=[1, None, 2], time=[0.5, None, 2.5])
    files = full.save(tmp_path / "x", index="parquet")
    assert files[1].name == "x.index.parquet"
    assert FeatureSet.load(tmp_path / "x").columns == full.columns


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(CCAFLError, match="needs pyarrow: pip install pyarrow, or write the index as JSON"):
        made().save(tmp_path / "x", index="parquet")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": torch.zeros(3)}, r"expected \(N, D\) float32, got \(3,\)"),
        ({"features": torch.zeros(3, 2, dtype=torch.float64)}, "float64"),
        ({"features": torch.tensor([[1.0], [math.nan], [2.0]])}, "row 1 holds numbers that are not finite"),
        ({"features": torch.tensor([[1.0, 2.0], [2.0, 2.0], [math.inf, -math.inf]])}, "row 2 holds"),
        ({"columns": {"camera": ["a"] * 3}}, "'path' is missing"),
        ({"columns": {"path": ["a"] * 2}}, "'path' has 2 entries for 3 features"),
        ({"columns": {"path": ["a"] * 3, "cam": ["a"] * 3}}, "'cam' is not available. Did you mean 'camera'"),
        ({"columns": {"path": ["a", 1, "b"]}}, "'path' of row 1 is 1, not a text"),
        ({"columns": {"path": ["a"] * 3, "frame": [1, 2.0, 3]}}, "'frame' of row 1 is 2.0, not a whole number"),
        ({"columns": {"path": ["a"] * 3, "time": [1, None, math.nan]}}, "'time' of row 2 is nan, not a finite number"),
    ],
)
def test_what_can_not_be_right(change: dict, message: str) -> None:
    given = {"features": torch.zeros(3, 2), "columns": {"path": ["a"] * 3}, "weights": DIGEST, **change}
    with pytest.raises(CCAFLError, match=message):
        FeatureSet(**given)


def test_files_that_are_not_right(tmp_path: Path) -> None:
    with pytest.raises(CCAFLError, match=r"none\.safetensors is missing"):
        FeatureSet.load(tmp_path / "none")
    file, table = made().save(tmp_path / "x")
    text = table.read_text()
    table.write_text(text.replace("/pictures/0", "/pictures/9"))
    with pytest.raises(CCAFLError, match=r"x\.index\.json is not the index of x\.safetensors"):
        FeatureSet.load(file)
    table.unlink()
    with pytest.raises(CCAFLError, match=r"x\.index\.json is missing"):
        FeatureSet.load(file)
    table.write_text(text)
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(CCAFLError, match=r"can't be read as safetensors"):
        FeatureSet.load(file)
    from safetensors.torch import save_file

    save_file({"features": torch.zeros(1, 1)}, file)
    with pytest.raises(CCAFLError, match="holds no features"):
        FeatureSet.load(file)
    save_file({"features": torch.zeros(1, 1)}, file, {"kind": "features", "format": "7"})
    with pytest.raises(CCAFLError, match="has the format 7, not 1"):
        FeatureSet.load(file)
    (tmp_path / "a file").write_text("")
    with pytest.raises(CCAFLError, match=r"can't be written: .* Name another one"):
        made().save(tmp_path / "a file" / "x")


def test_features_of_other_weights() -> None:
    check_same_weights(made(), made(2))
    with pytest.raises(CCAFLError, match=re.escape("of gallery are of other weights (abababababab) than those of q")):
        check_same_weights(made(), made(weights="cd" * 32), ("gallery", "q"))
    with pytest.raises(CCAFLError, match=r"of set 1 are of other weights .* than those of set 2"):
        joined([made(), made(weights="cd" * 32)])
    other = FeatureSet(torch.zeros(1, 4), {"path": ["a"]}, DIGEST, {"feature": "embedding"})
    with pytest.raises(CCAFLError, match=r"of another kind \(embedding\) than those of b \(\); .* the same --feature"):
        check_same_weights(other, made(), ("a", "b"))


def test_joined_and_selected() -> None:
    one, other = made(2, camera=["a", "b"], frame=[1, 2]), made(3, time=[0.5, 1.5, 2.5])
    both = joined([one, other])
    assert torch.equal(both.features, torch.cat([one.features, other.features]))
    assert both.columns["camera"] == ["a", "b", "", "", ""] and both.columns["frame"] == [1, 2, None, None, None]
    assert both.columns["time"] == [None, None, 0.5, 1.5, 2.5]
    some = both.select([4, 0])
    assert len(some) == 2 and some.columns["time"] == [2.5, None] and torch.equal(some.features, both.features[[4, 0]])
    assert json.dumps(some.description) == '{"dim": 4}'
