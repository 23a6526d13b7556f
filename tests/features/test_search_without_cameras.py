"""Indexes of features without what their cameras add, and searches in them."""

from __future__ import annotations

import importlib.util
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from ccafl_plugin.features import FeatureExtractor, search_command
from ccafl_plugin.features.feature_set import FeatureSet
from ccafl_plugin.features.search_targets import open_index
from ccafl_plugin.features.without_cameras import file_beside, name_of, without_cameras
from ccafl_plugin.metrics import CameraStatistics
from ccafl_plugin.utils.digests import digest_of_file
from ccafl_plugin.utils.errors import CCAFLError
from tests.metrics.tinted_features import draw

Run = Callable[..., tuple[int, str, str]]
NAMES = ("gate", "hall", "yard")
WEIGHTS = "5e" * 32
HAS_MILVUS = all(importlib.util.find_spec(name) for name in ("pymilvus", "milvus_lite"))
needs_faiss = pytest.mark.skipif(importlib.util.find_spec("faiss") is None, reason="needs ccafl_plugin[search]")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """``run("query", ...)``: (exit status, output, errors); an error is one line."""

    def call(*arguments: object) -> tuple[int, str, str]:
        code = search_command.main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        if code:
            assert re.fullmatch(r"error: [^\n]+\n", printed.err), printed.err
        return code, printed.out, printed.err

    return call


def make(count: int = 60, dim: int = 8, seed: int = 0, weights: str = WEIGHTS, **columns: list) -> FeatureSet:
    features, camera = draw(count, dim, len(NAMES), seed)
    named = {"path": [f"{n}.png" for n in range(count)], "camera": [NAMES[c] for c in camera.tolist()]}
    return FeatureSet(F.normalize(features.float(), dim=1), {**named, **columns}, weights, {"feature": "retrieval"})


def places(printed: str, queries: int) -> list[list[str]]:
    """Paths that were found for each query."""
    found = re.findall(r"^ *\d+ +-?\d\.\d{4} +(\S+)", printed, re.MULTILINE)
    each = len(found) // queries
    return [found[each * row : each * (row + 1)] for row in range(queries)]


@pytest.mark.parametrize("mode", ["mean", "mean_std", "erase"])
@pytest.mark.parametrize("name", ["exact.safetensors", pytest.param("folder", marks=needs_faiss)])
def test_what_is_found(mode: str, name: str, run: Run, tmp_path: Path) -> None:
    """Queries and gallery by hand, through the statistics of the gallery."""
    gallery, queries = make(), make(5, seed=1)
    gallery.save(tmp_path / "gallery")
    queries.save(tmp_path / "queries")
    index = tmp_path / name
    code, printed, err = run("build", index, tmp_path / "gallery", "--camera-normalization", mode)
    assert code == 0, err
    assert f"Without what 3 cameras add to their features ({mode})\n" in printed
    ends = {"exact.safetensors": "exact.safetensors, exact.cameras", "folder": "folder/, folder.cameras"}[name]
    assert printed.splitlines()[-1] == f"Written to {tmp_path}: {ends}.safetensors"
    code, printed, err = run("query", index, "--features", tmp_path / "queries", "--top", 60)
    assert code == 0, err
    statistics = CameraStatistics.of(gallery.features, gallery.columns["camera"], mode)
    clean = statistics.apply(gallery.features, gallery.columns["camera"])
    asked = statistics.apply(queries.features, queries.columns["camera"])
    expected = [[f"{place}.png" for place in row] for row in (asked @ clean.T).argsort(dim=1, descending=True).tolist()]
    assert places(printed, 5) == expected
    _, plain, _ = run("query", tmp_path / "gallery.safetensors", "--features", tmp_path / "queries", "--top", 60)
    assert places(plain, 5) != expected
    if name == "exact.safetensors":  # its own features are without their cameras already
        _, printed, _ = run("query", index, "--features", index, "--top", 1)
        assert places(printed, 60) == [[path] for path in gallery.columns["path"]]


def test_by_an_image_of_a_camera(run: Run, tiny_weights: Path, crops: Path, tmp_path: Path) -> None:
    weights = tmp_path / "weights.safetensors"
    shutil.copy(tiny_weights, weights)
    extractor, paths = FeatureExtractor(weights, "cpu"), sorted(map(str, crops.glob("*.png")))
    columns = {"path": paths, "camera": ["hall", "yard", "hall", "yard", "hall"]}
    raw = FeatureSet(extractor(paths), columns, digest_of_file(weights), {"feature": "retrieval"})
    raw.save(tmp_path / "raw")
    index = tmp_path / "people.safetensors"
    assert run("build", index, tmp_path / "raw", "--camera-normalization", "mean_std")[0] == 0
    query = ["query", index, "--weights", weights, "--top", 5, "--image", paths[1]]
    code, printed, err = run(*query, "--image-camera", "yard")
    assert code == 0, err
    assert re.search(rf"^ *1 +1\.0000 +{re.escape(paths[1])} ", printed, re.MULTILINE)
    assert "warning" not in printed
    code, printed, _ = run(*query, "--image-camera", "attic")
    assert (
        code == 0
        and "warning: camera normalisation: no statistics of camera 'attic', only of cameras 'hall', " in printed
    )
    code, _, err = run(*query)
    assert (
        code == 2 and "--image-camera: the index's features are without what their cameras add (mean_std); name" in err
    )
    code, _, err = run("query", index, "--weights", weights, "--text", "a man")
    assert code == 2 and "--text: a text has no camera; search an index that was built without" in err
    (tmp_path / "people.cameras.safetensors").rename(tmp_path / "moved.safetensors")
    code, _, err = run(*query, "--image-camera", "yard")
    assert code == 2 and "there is no file" in err and "with the statistics of the index's cameras; name it" in err
    more = ["--image-camera", "yard", "--camera-statistics", tmp_path / "moved.safetensors"]
    assert run(*query, *more)[0] == 0
    code, _, err = run("query", tmp_path / "raw.safetensors", *query[2:], "--image-camera", "yard")
    assert code == 2 and "--image-camera: it goes with --image, in an index that was built with --camera-norm" in err
    code, _, err = run("query", tmp_path / "raw.safetensors", *query[2:], *more[2:])
    assert code == 2 and "--camera-statistics: the index was built without --camera-normalization; leave it" in err
    assert run("build", index, tmp_path / "raw", "--camera-normalization", "erase")[0] == 0
    code, printed, err = run(*query)  # no camera is needed
    assert code == 0 and re.search(rf"^ *1 +1\.0000 +{re.escape(paths[1])} ", printed, re.MULTILINE), err


def test_features_that_cannot_be_compared(run: Run, tmp_path: Path) -> None:
    make().save(tmp_path / "raw")
    make(seed=4).save(tmp_path / "other")
    make(9, seed=1, weights="a" * 64).save(tmp_path / "foreign")
    make(9, dim=5, seed=1).save(tmp_path / "short")
    make(3, camera=["hall", "", "yard"]).save(tmp_path / "gaps")
    for name in ("raw", "other"):
        assert (
            run("build", tmp_path / f"{name}-clean.safetensors", tmp_path / name, "--camera-normalization", "mean")[0]
            == 0
        )
    index = tmp_path / "raw-clean.safetensors"
    for arguments, message in (
        (("query", index, "--features", tmp_path / "foreign"), r"of other weights \(5e5e.* than those of .*foreign"),
        (("query", index, "--features", tmp_path / "short"), "made of features of 8 numbers, these have 5"),
        (("query", index, "--features", tmp_path / "gaps"), "the camera of 1 of 3 images is not known; extract them"),
        (("query", index, "--features", tmp_path / "other-clean.safetensors"),
         r"another kind \(retrieval without cameras \(mean \w{12}\)\) than those of .*same --camera-normalization"),
        (("query", tmp_path / "raw.safetensors", "--features", index), "of another kind"),
        (("query", index, "--features", tmp_path / "raw", "--camera-statistics",
          tmp_path / "other-clean.cameras.safetensors"), r"other statistics \(mean \w{12}\) than those of the index"),
        (("build", tmp_path / "x.safetensors", tmp_path / "gaps", "--camera-normalization", "erase"),
         "--camera-norm.*: the camera of 1 of 3 images is not known"),
        (("build", tmp_path / "x.safetensors", index, "--camera-normalization", "mean"), "already; name raw ones"),
        (("build", tmp_path / "x.safetensors", index, tmp_path / "other-clean.safetensors"), "of another kind"),
    ):  # fmt: skip
        code, _, err = run(*arguments)
        assert code == 2 and re.search(message, err), err


def test_statistics_in_a_file_of_weights_have_another_name() -> None:
    """Every number of them counts."""
    clean, statistics = without_cameras(make(), "mean")
    assert clean.description["without_cameras"] == name_of(statistics) != name_of(without_cameras(make(), "erase")[1])
    assert name_of(statistics) != name_of(without_cameras(make(59), "mean")[1])
    assert clean.features.dtype == torch.float32 and clean.weights == WEIGHTS
    with pytest.raises(CCAFLError, match="the camera of 60 of 60 images is not known"):
        without_cameras(make(camera=[""] * 60), "mean")


def test_where_statistics_are_kept(tmp_path: Path) -> None:
    assert file_beside(str(tmp_path / "people"), "ccafl") == tmp_path / "people.cameras.safetensors"
    assert file_beside(str(tmp_path / "people.safetensors"), "ccafl") == tmp_path / "people.cameras.safetensors"
    assert file_beside(str(tmp_path / "people.db"), "ccafl") == tmp_path / "people-ccafl.cameras.safetensors"
    assert file_beside("http://host:19530", "ccafl") == Path("ccafl.cameras.safetensors")


@pytest.mark.skipif(not HAS_MILVUS, reason="needs ccafl_plugin[milvus] and milvus-lite")
def test_milvus_keeps_the_name_of_the_statistics(run: Run, tmp_path: Path) -> None:
    make().save(tmp_path / "raw")
    index = tmp_path / "people.db"
    code, printed, err = run("build", index, tmp_path / "raw", "--camera-normalization", "mean")
    assert code == 0, err
    assert re.search(r"people\.db/?, people-ccafl_features\.cameras\.safetensors$", printed.strip())
    found = open_index(str(index))
    assert found.feature == "retrieval" and found.kind.startswith("retrieval without cameras (mean ")
    assert run("query", index, "--features", tmp_path / "raw", "--top", 1)[0] == 0


def test_an_index_that_can_not_be_made_leaves_the_older_ones_statistics(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make().save(tmp_path / "gallery")
    make(seed=2).save(tmp_path / "others")
    index = tmp_path / "index.safetensors"
    assert run("build", index, tmp_path / "gallery", "--camera-normalization", "mean")[0] == 0
    before = (tmp_path / "index.cameras.safetensors").read_bytes()

    def refuse(*_: object) -> str:
        raise CCAFLError("the disk is full.")

    monkeypatch.setattr(search_command, "build_index", refuse)
    assert run("build", index, tmp_path / "others", "--camera-normalization", "mean")[0] != 0
    assert (tmp_path / "index.cameras.safetensors").read_bytes() == before
    assert run("query", index, "--features", tmp_path / "gallery", "--top", 3)[0] == 0
