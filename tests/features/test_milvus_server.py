"""A real Milvus server, by its address: the same results as exact search, and one line where it stops in the midst."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import torch

from benchmarks import search_server
from benchmarks.search import Problem, recall, searched
from ccafl_plugin.features import extract_command, milvus_index, search_command
from ccafl_plugin.features.exact_index import ExactIndex
from ccafl_plugin.features.search_index import Filter
from ccafl_plugin.features.search_targets import build_index, open_index
from ccafl_plugin.utils.errors import CCAFLError
from tests.data.own_pictures import write
from tests.features.milvus_server import ADDRESS, BINARY, Way, started
from tests.features.test_search_index import DIGEST, FILTERS, features

pytestmark = [
    pytest.mark.slow,  # a server takes its time to start and to build a graph
    pytest.mark.skipif(importlib.util.find_spec("pymilvus") is None, reason="needs ccafl_plugin[milvus]"),
    pytest.mark.skipif(
        not os.environ.get(ADDRESS) and shutil.which(BINARY) is None,
        reason=f"needs a Milvus server: its address in {ADDRESS}, or {BINARY} (pip install milvus)",
    ),
]
NAME = "ccafl_tests"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a server that is there, or of one that is started."""
    if given := os.environ.get(ADDRESS):
        yield given
        return
    with started(tmp_path_factory.mktemp("milvus")) as own:
        yield own


@pytest.fixture
def way(address: str) -> Iterator[Way]:
    made = Way(urlsplit(address).port or 19530)
    yield made
    made.close()


def test_finds_what_exact_search_finds(address: str) -> None:
    whole = features()
    build_index(whole, address, NAME)
    index, exact = open_index(address, NAME), ExactIndex(whole)
    assert (len(index), index.weights, index.kind, index.dim) == (60, DIGEST, "retrieval", 6)
    queries = torch.randn(3, 6, generator=torch.Generator().manual_seed(5))
    for only in FILTERS:
        for found, wanted in zip(index.search(queries, 7, only), exact.search(queries, 7, only), strict=True):
            assert [hit.row for hit in found] == [hit.row for hit in wanted]
            assert [hit.similarity for hit in found] == pytest.approx([hit.similarity for hit in wanted], abs=1e-5)
            assert [hit.facts for hit in found] == [hit.facts for hit in wanted]
    with pytest.raises(CCAFLError, match="--camera: 'c3' is not available"):
        index.search(queries, only=Filter(cameras=("c3",)))


def test_a_graph_finds_nearly_all(address: str) -> None:
    """Enough features that the server makes a graph of them; before, it compares all."""
    problem = Problem(5000, 64)
    whole, queries = problem.features(5000), problem.queries(30)
    build_index(whole, address, NAME)
    index, exact = open_index(address, NAME), ExactIndex(whole)
    for only in (Filter(), Filter(cameras=("c1", "c2"), until=2500.0)):
        true, found = searched(exact, queries, only)[0], searched(index, queries, only)[0]
        assert all(len(rows) == 10 for rows in found)
        assert recall(found, true) >= 0.9


def test_its_commands(address: str, tmp_path: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"{camera}/{person}/{n}.png" for camera in ("hall", "yard") for person in "abc" for n in range(2)]
    write(tmp_path / "own", *names)
    rows = [f"own/{name},{name[5]},{name[:4]},{row}" for row, name in enumerate(names)]
    (tmp_path / "own.csv").write_text("\n".join(["path,id,camera,time", *rows]) + "\n")
    out, weights = str(tmp_path / "f.safetensors"), ["--weights", str(tiny_weights), "--device", "cpu"]
    made = ["--table", str(tmp_path / "own.csv"), "--feature", "embedding", "--out", out]
    assert extract_command.main([str(tmp_path), *weights, *made]) == 0
    collection = ["--collection", NAME]
    assert search_command.main(["build", address, out, *collection]) == 0
    assert f"12 features in the collection '{NAME}' of Milvus" in capsys.readouterr().out
    query = ["query", address, *weights, *collection]
    image = ["--image", str(tmp_path / "own" / names[3])]
    page = tmp_path / "page.html"
    assert search_command.main([*query, *image, "--top", "3", "--page", str(page)]) == 0
    printed = capsys.readouterr().out
    assert re.search(rf"^ *1 +1\.0000 .*{names[3]} +hall +b +3\.0$", printed, re.MULTILINE)
    assert "1 query among 12 images (milvus)" in printed and page.read_text().count("data:image/jpeg") == 4
    assert search_command.main([*query, *image, "--camera", "yard", "--since", "8", "--until", "10"]) == 0
    found = re.findall(r"^ *\d+ +-?\d\.\d{4} .*$", capsys.readouterr().out, re.MULTILINE)
    assert len(found) == 2 and all(" yard " in line and line.endswith(("8.0", "9.0")) for line in found)
    assert search_command.main([*query, "--text", "a man in a red coat", "--top", "2"]) == 0
    assert "a man in a red coat" in capsys.readouterr().out
    for words, message in (
        ([*query, *image, "--camera", "yart"], "Did you mean 'yard'"),
        ([*query[:-1], "no_such", *image], "has no collection 'no_such'; build it with"),
    ):
        assert search_command.main(words) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1


def test_what_is_not_ours_stays(address: str) -> None:
    client = milvus_index.connect(address)
    client.drop_collection("ccafl_theirs")
    client.create_collection("ccafl_theirs", dimension=4)
    for act in (lambda: build_index(features(5), address, "ccafl_theirs"), lambda: open_index(address, "ccafl_theirs")):
        with pytest.raises(CCAFLError, match=r"the collection 'ccafl_theirs' is not of tools/search\.py; name another"):
            act()
    assert client.has_collection("ccafl_theirs")
    client.drop_collection("ccafl_theirs")


STEPS = ("insert", "flush", "create_index", "describe_index", "load_collection")


@pytest.mark.parametrize("step", STEPS)
def test_it_stops_while_an_index_is_built(
    step: str, address: str, way: Way, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One line, not for ever; what is left over is not searched as if it were whole, and is built again."""
    monkeypatch.setattr(milvus_index, "REQUEST_SECONDS", 4.0)
    monkeypatch.setattr(milvus_index, "BATCH", 20)
    connect = milvus_index.connect

    class Client:
        def __init__(self, client: object) -> None:
            self.client, self.calls = client, 0

        def __getattr__(self, name: str) -> object:
            self.calls += name == step
            if self.calls == (2 if step == "insert" else 1):
                way.passes.clear()
            return getattr(self.client, name)

    monkeypatch.setattr(milvus_index, "connect", lambda given: Client(connect(given)))
    with pytest.raises(CCAFLError, match=f"Milvus at {way.address} does not answer, or refuses: ") as caught:
        build_index(features(), way.address, NAME)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300
    monkeypatch.setattr(milvus_index, "connect", connect)
    monkeypatch.setattr(milvus_index, "REQUEST_SECONDS", 60.0)
    if step in ("insert", "flush"):  # rows are counted when they are written out
        with pytest.raises(CCAFLError, match=r"of 60 images, as after a build that was stopped; build it again\."):
            open_index(address, NAME)
    build_index(features(), address, NAME)
    assert len(open_index(address, NAME)) == 60


def test_it_stops_while_it_is_searched(address: str, way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    build_index(features(), address, NAME)
    index = open_index(way.address, NAME)
    query = features().features[:1]
    assert index.search(query, 1)[0][0].row == 0
    monkeypatch.setattr(milvus_index, "REQUEST_SECONDS", 4.0)
    way.passes.clear()
    with pytest.raises(CCAFLError, match=f"Milvus at {way.address} does not answer, or refuses: ") as caught:
        index.search(query)
    assert "\n" not in str(caught.value)
    way.passes.set()
    monkeypatch.setattr(milvus_index, "REQUEST_SECONDS", 60.0)
    assert index.search(query, 1)[0][0].row == 0  # it goes on when the server does


@pytest.mark.parametrize("given", ["htp://127.0.0.1:1", "http://127.0.0.1:99999", "http://127.0.0.1:1"])
def test_addresses_that_are_none(given: str) -> None:
    with pytest.raises(CCAFLError, match=re.escape(given)) as caught:
        open_index(given)
    assert "\n" not in str(caught.value)


def test_its_benchmark(address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["--images", "200", "300", "--dim", "8", "--queries", "3", "--save", str(tmp_path / "found.json")]
    assert search_server.main(["--address", address, *sizes]) == 0
    printed = capsys.readouterr().out
    assert search_server.main(["--show", str(tmp_path / "found.json")]) == 0
    assert capsys.readouterr().out == printed and printed.count(" 100.0% ") == 2  # so few are all compared


def test_it_takes_connections_and_says_nothing(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(milvus_index, "ANSWER_SECONDS", 2.0)
    way.passes.clear()
    with pytest.raises(CCAFLError, match="does not answer, or refuses: ") as caught:
        open_index(way.address)
    assert "\n" not in str(caught.value)
