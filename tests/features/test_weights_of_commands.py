"""What the commands take as weights beside a described file: an exported ONNX file, and the package's by name."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ccafl_plugin.features import associate_command, extract_command, search_command, thresholds_command
from ccafl_plugin.features.feature_set import FeatureSet
from ccafl_plugin.features.thresholds import Thresholds
from ccafl_plugin.models.named_weights import file_of_weights
from ccafl_plugin.utils.digests import digest_of_file
from tests.data.own_pictures import write

COMMANDS = {
    "associate": associate_command,
    "extract": extract_command,
    "search": search_command,
    "thresholds": thresholds_command,
}
NAMES = [f"{camera}/{person}/{n}.png" for camera in ("hall", "yard") for person in "abc" for n in range(2)]
Run = Callable[..., str]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """``run(code, "extract", ...)``: what was printed; of an error, one line."""

    def call(code: int, name: str, *words: object) -> str:
        assert COMMANDS[name].main([str(word) for word in words]) == code
        printed = capsys.readouterr()
        assert not code or re.fullmatch(r"error: [^\n]+\n", printed.err), printed.err
        return printed.err if code else printed.out

    return call


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with pictures of two cameras in ``own``."""
    write(tmp_path / "own", *NAMES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_packages_weights_by_name(run: Run, place: Path) -> None:
    before = sorted(file_of_weights("clip_tiny").parent.iterdir())
    tree = ("--pattern", "tree", "--device", "cpu")
    run(0, "extract", "own", "--weights", "clip_tiny", *tree, "--out", "f")
    run(0, "extract", "own", "--weights", "clip_tiny", *tree, "--out", "e", "--feature", "embedding")
    assert FeatureSet.load("f").weights == digest_of_file(file_of_weights("clip_tiny"))
    said = run(0, "thresholds", "f.safetensors", "--weights", "clip_tiny", "--rates", 0.5)
    assert said.endswith("Written to .: clip_tiny.thresholds.json\n")
    said = run(
        0, "search", "query", "f.safetensors", "--weights", "clip_tiny", "--image", f"own/{NAMES[3]}", "--top", 3
    )
    assert "same person at" in said and re.search(r"^ *1 +1\.0000 .*hall +b$", said, re.MULTILINE)
    said = run(0, "search", "query", "e.safetensors", "--weights", "clip_tiny", "--text", "red trousers", "--top", 1)
    assert "1 query among 12 images" in said
    said = run(0, "associate", "own", "--weights", "clip_tiny", *tree, "--truth", "id", "--no-page")
    assert "6 tracks of 2 cameras, 12 images" in said
    error = run(2, "extract", "own", "--weights", "clip_tinny", "--out", "f")
    assert "can't read 'clip_tinny': it does not exist. Did you mean 'clip_tiny'" in error
    assert sorted(file_of_weights("clip_tiny").parent.iterdir()) == before  # nothing was written there


def test_an_exported_file(run: Run, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each command takes it; in full precision it counts as the weights that it was made of, in int8 as others."""
    pytest.importorskip("onnx", reason="ONNX files need the extra [export]")
    pytest.importorskip("onnxruntime", reason="ONNX files need the extra [export]")
    from ccafl_plugin.exporting import export_command

    assert export_command.main(["clip_tiny", "--int8"]) == 0
    assert capsys.readouterr().out.endswith("Written to .: clip_tiny.onnx, clip_tiny.int8.onnx\n")
    tree = ("--pattern", "tree", "--device", "cpu")
    for weights, out in (("clip_tiny", "f"), ("clip_tiny.onnx", "x"), ("clip_tiny.int8.onnx", "i")):
        run(0, "extract", "own", "--weights", weights, *tree, "--out", out)
    own, exported, narrow = (FeatureSet.load(name) for name in "fxi")
    torch.testing.assert_close(exported.features, own.features, rtol=0, atol=1e-4)
    assert exported.columns == own.columns and exported.weights == own.weights != narrow.weights

    said = run(0, "thresholds", "x.safetensors", "--weights", "clip_tiny.onnx", "--rates", 0.5)
    assert said.endswith("Written to .: clip_tiny.thresholds.json\n")
    found = Thresholds.load(Path("clip_tiny.thresholds.json"))
    run(0, "thresholds", "f.safetensors", "--weights", "clip_tiny", "--rates", 0.5)
    same = Thresholds.load(Path("clip_tiny.thresholds.json"))
    assert found.weights == same.weights
    assert found.thresholds[0].threshold == pytest.approx(same.thresholds[0].threshold, abs=1e-4)
    error = run(2, "thresholds", "x.safetensors", "--weights", "clip_tiny.int8.onnx", "--rates", 0.5)
    assert "of other weights" in error

    image = ("--image", f"own/{NAMES[3]}", "--top", 3)
    for index, weights in (("x", "clip_tiny.onnx"), ("x", "clip_tiny"), ("f", "clip_tiny.onnx")):
        said = run(0, "search", "query", f"{index}.safetensors", "--weights", weights, *image, "--page", "page.html")
        assert "same person at" in said and re.search(r"^ *1 +1\.0000 .*hall +b$", said, re.MULTILINE)
    error = run(2, "search", "query", "i.safetensors", "--weights", "clip_tiny.onnx", *image)
    assert "of the index are of other weights" in error
    run(0, "extract", "own", "--weights", "clip_tiny", "--out", "e", "--feature", "embedding")
    error = run(2, "search", "query", "e.safetensors", "--weights", "clip_tiny.onnx", "--text", "a hat")
    assert "clip_tiny.onnx makes the feature 'retrieval', not 'embedding'" in error
    error = run(2, "extract", "own", "--weights", "clip_tiny.onnx", "--out", "z", "--feature", "embedding")
    assert "clip_tiny.onnx makes the feature 'retrieval', not 'embedding'" in error

    groups = []
    for number, weights in enumerate(("clip_tiny", "clip_tiny.onnx")):
        run(0, "associate", "own", "--weights", weights, *tree, "--out", number)
        with open(f"{number}/identities.csv", encoding="utf-8", newline="") as file:
            groups.append([(row["camera"], row["track"], row["identity"]) for row in csv.DictReader(file)])
    assert groups[0] == groups[1]
    Path("broken.onnx").write_bytes(Path("clip_tiny.onnx").read_bytes()[:5000])
    for command in (
        ("extract", "own", "--weights", "broken.onnx", "--out", "z"),
        ("associate", "own", "--weights", "broken.onnx", *tree),
        ("thresholds", "f.safetensors", "--weights", "broken.onnx"),
        ("search", "query", "f.safetensors", "--weights", "broken.onnx", *image),
    ):
        assert "'broken.onnx' can't be read as ONNX" in run(2, *command)
