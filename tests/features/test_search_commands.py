"""``extract.py``, ``thresholds.py``, ``search.py``: from a folder of pictures to results; every fault is one line."""

from __future__ import annotations

import importlib.util
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

import ccafl_train
from ccafl_plugin.features import FeatureExtractor, extract_command, search_command, thresholds_command
from ccafl_plugin.features.feature_set import FeatureSet
from ccafl_plugin.features.thresholds import Thresholds, file_of
from tests.data.own_pictures import write

NAMES = [f"{camera}/{person}/{n}.png" for camera in ("hall", "yard") for person in "abc" for n in range(2)]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """``run("extract", ...)``: (exit status, output, errors); an error is one line."""
    commands = {"extract": extract_command, "thresholds": thresholds_command, "search": search_command}

    def call(name: str, *arguments: object) -> tuple[int, str, str]:
        code = commands[name].main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        if code:
            assert re.fullmatch(r"error: [^\n]+\n", printed.err), printed.err
        return code, printed.out, printed.err

    return call


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, tiny_weights: Path) -> Path:
    """A folder with pictures, weights, and the features of both kinds."""
    folder = tmp_path_factory.mktemp("search")
    write(folder / "own", *NAMES)
    shutil.copy(tiny_weights, folder / "weights.safetensors")
    for kind in ("retrieval", "embedding"):
        settings = ["--weights", str(folder / "weights.safetensors"), "--feature", kind, "--pattern", "tree"]
        out = str(folder / f"{kind}.safetensors")
        assert extract_command.main([str(folder / "own"), *settings, "--out", out, "--batch-size", "5"]) == 0
    return folder


def test_features_of_a_folder(run: Run, place: Path, tmp_path: Path) -> None:
    root = write(tmp_path / "own", *NAMES)
    (root / "hall" / "a" / "broken.png").write_bytes(b"no picture")
    weights = place / "weights.safetensors"
    out = tmp_path / "deep" / "mine"
    code, printed, err = run("extract", root, "--weights", weights, "--out", out, "--pattern", "tree", "--part", 4)
    assert code == 0
    assert re.search(r"left out: [^\n]*broken\.png can't be read as an image", printed)
    assert "12 features of 512 numbers; 1 images could not be read; known of each: camera, id" in printed
    last = f"Written to {tmp_path / 'deep'}: mine.safetensors, mine.index.json"
    assert printed.splitlines()[-1] == last
    assert re.fullmatch(r"(\d+ of 13 images[^\n]*\n)*", err)  # progress lines, none if it takes a few seconds only
    made, extractor = FeatureSet.load(out), FeatureExtractor(weights, "cpu")
    assert made.columns["path"] == [str(root / name) for name in sorted(NAMES)]
    assert made.columns["camera"] == ["hall"] * 6 + ["yard"] * 6
    assert torch.allclose(made.features, extractor(made.columns["path"]), atol=1e-5)
    assert made.weights == extractor.digest and made.description["model"] == "clip_tiny"
    assert sorted(file.name for file in out.parent.iterdir()) == ["mine.index.json", "mine.safetensors"]


def test_what_extract_refuses(run: Run, place: Path, tmp_path: Path) -> None:
    weights = place / "weights.safetensors"
    for arguments, message in (
        ((tmp_path / "none", "--weights", weights), "is no folder; name the one with the images"),
        ((place / "own", "--weights", tmp_path / "none"), "can't read"),
        ((place / "own", "--weights", weights, "--part", 0), "--part: 0 images"),
        ((place / "own", "--weights", weights, "--pattern", "{id}"), "--pattern: '{id}' fits none of 12 images"),
        ((place / "own", "--weights", weights, "--feature", "best"), "feature: 'best' is not available"),
    ):
        code, _, err = run("extract", *arguments, "--out", tmp_path / "out")
        assert code == 2 and message in err


def test_a_stopped_extraction_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, place: Path, tmp_path: Path) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(extract_command, "extract_images", stop)
    settings = ["--weights", str(place / "weights.safetensors"), "--out", str(tmp_path / "out")]
    assert extract_command.main([str(place / "own"), *settings]) == 130


def test_thresholds_are_kept_beside_the_weights(run: Run, place: Path, tmp_path: Path) -> None:
    weights = tmp_path / "weights.safetensors"
    shutil.copy(place / "weights.safetensors", weights)
    code, printed, _ = run("thresholds", place / "retrieval.safetensors", "--weights", weights, "--rates", 0.5, 0.001)
    assert code == 0
    assert "24 pairs of images of two people and 12 of one person, by different cameras (12 images, 3 people" in printed
    assert "warning: 0.001 needs at least 1000 pairs of two people: no threshold" in printed
    assert printed.splitlines()[-1] == f"Written to {tmp_path}: weights.thresholds.json"
    kept = Thresholds.load(file_of(weights))
    assert kept.data == "retrieval.safetensors" and kept.thresholds[0].false_accepts <= 12
    code, _, err = run("thresholds", place / "retrieval.safetensors", "--weights", tmp_path / "none")
    assert code == 2 and "there is no file" in err
    weights.write_bytes(weights.read_bytes() + b" ")
    code, _, err = run("thresholds", place / "retrieval.safetensors", "--weights", weights)
    assert code == 2 and "of other weights" in err


needs_faiss = pytest.mark.skipif(importlib.util.find_spec("faiss") is None, reason="needs ccafl_plugin[search]")


@pytest.mark.parametrize("name", ["exact.safetensors", pytest.param("folder", marks=needs_faiss)])
def test_search_by_image(name: str, run: Run, place: Path, tmp_path: Path) -> None:
    index = tmp_path / name
    code, printed, _ = run("search", "build", index, place / "retrieval.safetensors")
    assert code == 0 and "12 features in " in printed
    assert printed.splitlines()[-1].startswith(f"Written to {tmp_path}: {name}")
    weights, image = place / "weights.safetensors", place / "own" / NAMES[3]
    query = [
        "search",
        "query",
        index,
        "--image",
        image,
        "--weights",
        weights,
        "--top",
        3,
        "--page",
        tmp_path / "page.html",
    ]
    code, printed, err = run(*query)
    assert code == 0, err
    lines = [line for line in printed.splitlines() if re.match(r" *\d +\d\.\d{4} ", line)]
    assert len(lines) == 3 and re.match(rf" *1 +1\.0000 +{re.escape(str(image))} +hall +b$", lines[0])
    assert "1 query among 12 images" in printed
    assert printed.splitlines()[-1] == f"Written to {tmp_path}: page.html"
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg") == 4 and "id b" in page
    _, printed, _ = run(*query[:-2], "--camera", "yard")
    assert "yard" in printed and not re.search(r"^ *\d .* hall", printed, re.MULTILINE)
    for more, message in (
        (["--camera", "yart"], "--camera: 'yart' is not available. Did you mean 'yard'"),
        (["--since", 3], "--since, --until: the index knows no times; extract with a column 'time'"),
        (["--since", "noon"], "--since: 'noon' is no time; write seconds, or 2026-11-26T10:30:05"),
        (["--top", 0], "--top: 0 images"),
        (["--text", "a man"], "--text: search by images or by texts"),
        (["--page", "page.bmp"], "--page: 'page.bmp' must end in .html or .jpg"),
    ):
        code, _, err = run(*query[:-4], *more)
        assert code == 2 and message in err


def test_search_by_a_folder_and_by_features_with_thresholds(
    run: Run, place: Path, osnet_weights: Path, tmp_path: Path
) -> None:
    weights = tmp_path / "weights.safetensors"
    shutil.copy(place / "weights.safetensors", weights)
    run("thresholds", place / "retrieval.safetensors", "--weights", weights, "--rates", 0.5, 0.1)
    kept = Thresholds.load(file_of(weights))
    features = place / "retrieval.safetensors"
    sheet = tmp_path / "sheet.jpg"
    query = ["search", "query", features, "--weights", weights, "--top", 4]
    code, printed, err = run(*query, "--image", place / "own" / "hall" / "a", "--page", sheet)
    assert code == 0, err
    assert "2 queries among 12 images" in printed and "same person at" in printed
    shown = re.findall(r"^ *\d +(-?\d\.\d{4}) +(0\.\d|)", printed, re.MULTILINE)
    assert len(shown) == 8 and shown[0] == ("1.0000", "0.1")  # its own image
    for similarity, mark in shown:
        rates = {kept.passed(float(similarity) + rounding) for rounding in (-1e-4, 1e-4)}
        assert mark in {"" if rate is None else f"{rate:g}" for rate in rates}
    with Image.open(sheet) as picture:
        assert picture.format == "JPEG" and picture.width > 5 * 64 and picture.height > 2 * 128
    _, by_features, _ = run("search", "query", features, "--features", features, "--top", 4)
    assert "12 queries among 12 images" in by_features
    other = ["search", "query", features, "--weights", osnet_weights, "--image", place / "own" / NAMES[0]]
    code, _, err = run(*other)
    assert code == 2 and re.search(r"of the index are of other weights \(\w{12}\) than those of .*osnet", err)


def test_search_by_text(run: Run, place: Path) -> None:
    weights = place / "weights.safetensors"
    query = ["--weights", weights, "--text", "a man in a red coat", "--top", 2]
    code, printed, err = run("search", "query", place / "embedding.safetensors", *query)
    assert code == 0, err
    assert "a man in a red coat" in printed and "1 query among 12 images" in printed
    code, _, err = run("search", "query", place / "retrieval.safetensors", *query)
    assert code == 2 and "no text can be compared with; extract them with --feature embedding" in err


def test_features_of_two_weights_or_kinds_are_not_mixed(run: Run, place: Path, tmp_path: Path) -> None:
    retrieval, embedding = place / "retrieval.safetensors", place / "embedding.safetensors"
    code, _, err = run("search", "build", tmp_path / "x.safetensors", retrieval, embedding)
    assert code == 2 and "are of another kind (retrieval) than those of" in err
    code, _, err = run("search", "query", retrieval, "--features", embedding)
    assert code == 2 and "of the index are of another kind" in err


def test_nothing_to_search_by(run: Run, place: Path) -> None:
    for arguments, message in (
        ([], "Nothing to search by: name --image, --text or --features"),
        (["--image", "x.png"], "--weights: images and texts need the file of weights"),
        (["--image", "x.png", "--features", place / "retrieval.safetensors", "--weights", "w"], "not by both"),
    ):
        code, _, err = run("search", "query", place / "retrieval.safetensors", *arguments)
        assert code == 2 and message in err


@pytest.mark.parametrize("name", ["extract", "thresholds", "search"])
def test_console_scripts(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", [f"ccafl-{name}", "--help"])
    with pytest.raises(SystemExit, match="0"):
        getattr(ccafl_train, name)()
    assert capsys.readouterr().out.startswith(f"usage: ccafl-{name} ")
