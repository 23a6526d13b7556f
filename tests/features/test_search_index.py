"""Every kind of index finds what a loop over all features finds, with the same filters and the same errors."""

from __future__ import annotations

import importlib.util
import math
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ccafl_plugin.features import faiss_index, milvus_index
from ccafl_plugin.features.exact_index import ExactIndex
from ccafl_plugin.features.faiss_index import FaissIndex, build_faiss
from ccafl_plugin.features.feature_set import FeatureSet
from ccafl_plugin.features.search_index import Filter, SearchIndex
from ccafl_plugin.features.search_targets import build_index, kind_of_target, open_index
from ccafl_plugin.utils.errors import CCAFLError

DIGEST = "ab" * 32
needs_faiss = pytest.mark.skipif(importlib.util.find_spec("faiss") is None, reason="needs ccafl_plugin[search]")
HAS_MILVUS = all(importlib.util.find_spec(name) for name in ("pymilvus", "milvus_lite"))
needs_milvus = pytest.mark.skipif(not HAS_MILVUS, reason="needs ccafl_plugin[milvus] and milvus-lite")
KINDS = [
    pytest.param("features.safetensors", id="exact"),
    pytest.param("folder", id="faiss", marks=needs_faiss),
    pytest.param("file.db", id="milvus", marks=needs_milvus),
]
FILTERS = [
    Filter(),
    Filter(cameras=("c0", 'c"1')),
    Filter(without=("c0",)),
    Filter(since=10.0, until=40.0),
    Filter(until=25.5),
    Filter(cameras=("c2",), since=30.0),
    Filter(cameras=("c0",), without=("c0",)),
]


def features(rows: int = 60, dim: int = 6, seed: int = 0) -> FeatureSet:
    rng = torch.Generator().manual_seed(seed)
    values = torch.randn(rows, dim, generator=rng) * torch.rand(rows, 1, generator=rng)  # lengths do not count
    columns = {
        "path": [f"/p/{row}.jpg" for row in range(rows)],
        "camera": ["c0", 'c"1', "c2", ""] * (rows // 4) + ["c0"] * (rows % 4),
        "id": [f"Zoë {row % 7}" for row in range(rows)],
        "frame": [row if row % 5 else None for row in range(rows)],
        "time": [row / 1 if row % 5 else None for row in range(rows)],
    }
    return FeatureSet(values, columns, DIGEST, {"feature": "retrieval"})


def by_loops(given: FeatureSet, query: list[float], top: int, only: Filter) -> list[tuple[float, int]]:
    found = []
    for row, values in enumerate(given.features.double().tolist()):
        camera, time = given.columns["camera"][row], given.columns["time"][row]
        if (only.cameras and camera not in only.cameras) or camera in only.without:
            continue
        if (only.since is not None or only.until is not None) and time is None:
            continue
        if (only.since is not None and time < only.since) or (only.until is not None and time >= only.until):
            continue
        lengths = math.sqrt(sum(a * a for a in values) * sum(b * b for b in query))
        found.append((sum(a * b for a, b in zip(values, query, strict=True)) / lengths, row))
    return sorted(found, key=lambda each: (-each[0], each[1]))[:top]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], SearchIndex]:
    """``opened(name)``: the index of :func:`features`, built once."""
    place, made = tmp_path_factory.mktemp("indices"), {}

    def get(name: str) -> SearchIndex:
        if name not in made:
            build_index(features(), str(place / name))
            made[name] = open_index(str(place / name))
        return made[name]

    return get


@pytest.mark.parametrize("only", FILTERS, ids=str)
@pytest.mark.parametrize("name", KINDS)
def test_finds_what_a_loop_finds(name: str, only: Filter, opened: Callable[[str], SearchIndex]) -> None:
    index, whole = opened(name), features()
    queries = torch.randn(3, 6, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    assert len(index) == 60 and (index.weights, index.kind, index.dim) == (DIGEST, "retrieval", 6)
    for query, hits in zip(queries.tolist(), index.search(queries, 7, only), strict=True):
        wanted = by_loops(whole, query, 7, only)
        assert [hit.row for hit in hits] == [row for _, row in wanted]
        assert [hit.similarity for hit in hits] == pytest.approx([value for value, _ in wanted], abs=1e-5)
        for hit in hits:
            facts = {name: values[hit.row] for name, values in whole.columns.items()}
            assert hit.facts == {name: value for name, value in facts.items() if value not in ("", None)}


@pytest.mark.parametrize("name", KINDS)
def test_what_an_index_refuses(name: str, opened: Callable[[str], SearchIndex]) -> None:
    index, query = opened(name), torch.ones(1, 6)
    for arguments, message in (
        ({"queries": torch.ones(1, 5)}, r"holds features of 6 numbers, got \(1, 5\)"),
        ({"queries": query, "top": 0}, "--top: 0 images can't be found"),
        ({"queries": query, "only": Filter(cameras=("c3",))}, "--camera: 'c3' is not available. Did you mean 'c"),
    ):
        with pytest.raises(CCAFLError, match=message):
            index.search(**arguments)
    index.check_query(DIGEST, "retrieval", "q")
    with pytest.raises(CCAFLError, match=r"of the index are of other weights \(abababababab\) than those of q"):
        index.check_query("cd" * 32, "retrieval", "q")
    with pytest.raises(CCAFLError, match="of the index are of another kind"):
        index.check_query(DIGEST, "embedding", "q")


@pytest.mark.parametrize("name", KINDS)
def test_an_index_that_knows_paths_only_is_built_over_another(name: str, tmp_path: Path) -> None:
    target = str(tmp_path / name)
    build_index(features(8), target)
    bare = FeatureSet(features(3).features, {"path": ["a", "b", "c"]}, DIGEST, {})
    build_index(bare, target)
    index = open_index(target)
    assert len(index) == 3
    assert index.search(bare.features[1:2], 9)[0][0].facts == {"path": "b"}
    assert len(index.search(bare.features[1:2], 9)[0]) == 3
    with pytest.raises(CCAFLError, match="--camera: the index does not know the cameras"):
        index.search(bare.features, only=Filter(cameras=("a",)))
    with pytest.raises(CCAFLError, match="--since, --until: the index knows no times"):
        index.search(bare.features, only=Filter(until=3.0))


@settings(max_examples=15)
@given(
    rows=st.integers(1, 40), queries=st.integers(1, 5), top=st.integers(1, 12), block=st.sampled_from([1, 50, 1 << 24])
)
def test_exact_search_in_blocks(rows: int, queries: int, top: int, block: int) -> None:
    whole = features(rows, 3)
    asked = torch.randn(queries, 3, generator=torch.Generator().manual_seed(rows), dtype=torch.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ccafl_plugin.features.exact_index.BLOCK", block)
        found = ExactIndex(whole).search(asked, top)
    for query, hits in zip(asked.tolist(), found, strict=True):
        wanted = by_loops(whole, query, top, Filter())
        assert [hit.similarity for hit in hits] == pytest.approx([value for value, _ in wanted], abs=1e-6)


def test_equal_similarities_come_in_the_order_of_rows() -> None:
    same = FeatureSet(torch.ones(50, 2), {"path": [str(row) for row in range(50)]}, DIGEST, {})
    assert [hit.row for hit in ExactIndex(same).search(torch.ones(1, 2), 20)[0]] == list(range(20))


@needs_faiss
def test_cells_reach_the_recall_that_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faiss_index, "FLAT_BELOW", 100)
    monkeypatch.setattr(faiss_index, "BLOCK", 300)
    whole = features(2000, 16)
    built = build_faiss(whole, tmp_path / "index", recall=0.9)
    assert built["cells"] == 89 and 1 < built["cells_searched"] < 89 and 0.9 <= built["recall"] <= 1
    few = build_faiss(whole, tmp_path / "few", recall=0.2)
    assert few["cells_searched"] < built["cells_searched"] and few["recall"] < built["recall"]
    index, exact = FaissIndex(tmp_path / "index"), ExactIndex(whole)
    queries = torch.randn(50, 16, generator=torch.Generator().manual_seed(1))
    for only in (Filter(), Filter(cameras=("c2",), since=1200.0, until=1400.0)):
        pairs = list(zip(index.search(queries, 10, only), exact.search(queries, 10, only), strict=True))
        common = [len({hit.row for hit in got} & {hit.row for hit in wanted}) for got, wanted in pairs]
        assert sum(common) / 500 > 0.75
        closest = [(got[0], wanted[0]) for got, wanted in pairs if got[0].row == wanted[0].row]
        assert len(closest) > 40 and all(a.similarity == pytest.approx(b.similarity, abs=1e-3) for a, b in closest)
    again = build_faiss(whole, tmp_path / "again", recall=0.9)
    assert again == built
    rows = [hit.row for hit in index.search(queries[:1], 10)[0]]
    assert rows == [hit.row for hit in FaissIndex(tmp_path / "again").search(queries[:1], 10)[0]]


@needs_faiss
def test_the_sample_s_true_best_equal_a_sort() -> None:
    values = torch.randn(90, 4, generator=torch.Generator().manual_seed(2))
    own = np.array([3, 77])
    unit = torch.nn.functional.normalize(values, dim=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faiss_index, "BLOCK", 32)
        found = faiss_index._true_best(values, unit[torch.from_numpy(own)], own, 5)
    for place, row in enumerate(own.tolist()):
        order = (unit @ unit[row]).argsort(descending=True).tolist()
        assert found[place] == set([other for other in order if other != row][:5])


@needs_faiss
def test_folders_that_are_no_index(tmp_path: Path) -> None:
    with pytest.raises(CCAFLError, match=r"none holds no index of features; build one with tools/search\.py build"):
        open_index(str(tmp_path / "none"))
    build_index(features(5), str(tmp_path / "index"))
    (tmp_path / "index" / "columns.json").write_text('{"path": []}')
    with pytest.raises(CCAFLError, match="is a damaged index"):
        open_index(str(tmp_path / "index"))
    (tmp_path / "index" / "vectors.faiss").write_bytes(b"nothing of the kind")
    with pytest.raises(CCAFLError, match="is a damaged index"):
        open_index(str(tmp_path / "index"))
    (tmp_path / "index" / "search.json").write_text('{"format": "9"}')
    with pytest.raises(CCAFLError, match="of the format 9, not 1"):
        open_index(str(tmp_path / "index"))
    (tmp_path / "file").write_text("")
    with pytest.raises(CCAFLError, match="is a file; name a folder for faiss"):
        build_index(features(5), str(tmp_path / "file"))
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_text("")
    with pytest.raises(CCAFLError, match=r"pictures holds other files, such as a\.png; name a new folder"):
        build_index(features(5), str(tmp_path / "pictures"))
    assert [file.name for file in (tmp_path / "pictures").iterdir()] == ["a.png"]
    empty = FeatureSet(torch.empty(0, 3), {"path": []}, DIGEST, {})
    with pytest.raises(CCAFLError, match="There are no features"):
        build_index(empty, str(tmp_path / "empty"))


def test_without_the_extras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("faiss", "pymilvus"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(CCAFLError, match=r"pip install 'ccafl_plugin\[search\]', or search the file of features"):
        build_index(features(5), str(tmp_path / "index"))
    for target in ("http://127.0.0.1:1", str(tmp_path / "x.db")):
        with pytest.raises(CCAFLError, match=r"needs pymilvus: pip install 'ccafl_plugin\[milvus\]'"):
            build_index(features(5), target)
    build_index(features(5), str(tmp_path / "x.safetensors"))  # the exact one needs nothing
    assert len(open_index(str(tmp_path / "x.safetensors"))) == 5


def test_what_an_address_means() -> None:
    kinds = {
        "http://h:19530": "milvus",
        "tcp://h": "milvus",
        "a/b.db": "milvus",
        "x.safetensors": "exact",
        "x": "faiss",
    }
    assert {address: kind_of_target(address) for address in kinds} == kinds


@needs_milvus
def test_a_server_by_its_address(opened: Callable[[str], SearchIndex], tmp_path: Path) -> None:
    """milvus-lite as the server; another program would reach it in the same way."""
    from milvus_lite.server_manager import server_manager_instance

    build_index(features(), str(tmp_path / "x.db"))
    address = server_manager_instance.start_and_get_uri(str(tmp_path / "x.db"))
    assert address.startswith("http://127.0.0.1:")
    queries, only = features().features[:3], Filter(cameras=("c0", "c2"), since=3.0)
    found = open_index(address).search(queries, 5, only)
    wanted = opened("features.safetensors").search(queries, 5, only)
    assert [[hit.row for hit in hits] for hits in found] == [[hit.row for hit in hits] for hits in wanted]


@needs_milvus
def test_a_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(milvus_index, "ANSWER_SECONDS", 1.0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(CCAFLError, match=rf"Milvus at http://127.0.0.1:{port} does not answer, or refuses") as caught:
        open_index(f"http://127.0.0.1:{port}")
    assert "\n" not in str(caught.value)


@needs_milvus
def test_collections_that_are_not_there_or_not_ours(tmp_path: Path) -> None:
    target = str(tmp_path / "x.db")
    build_index(features(5), target, "mine")
    with pytest.raises(CCAFLError, match="has no collection 'other'; build it with"):
        open_index(target, "other")
    client = milvus_index.connect(target)
    client.create_collection("theirs", dimension=4)
    with pytest.raises(CCAFLError, match="the collection 'theirs' is not of"):
        build_index(features(5), target, "theirs")
    assert client.has_collection("theirs")  # it was not dropped
    assert len(open_index(target, "mine")) == 5
