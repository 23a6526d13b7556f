"""An exported file gives the features of the weights that it was made of, by the same interface."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ccafl_plugin.exporting import export_model
from ccafl_plugin.exporting.onnx_graph import add_metadata
from ccafl_plugin.features import Extractor, FeatureExtractor, OnnxExtractor, extract_command, open_extractor
from ccafl_plugin.features.feature_set import FeatureSet, check_same_weights, joined
from ccafl_plugin.features.image_inputs import images_of
from ccafl_plugin.features.onnx_file import FORMAT_KEY, OnnxDescription
from ccafl_plugin.utils.digests import digest_of_file
from ccafl_plugin.utils.errors import CCAFLError
from tests.features.conftest import TINY

onnx = pytest.importorskip("onnx", reason="ONNX files need the extra [export]")
pytest.importorskip("onnxruntime", reason="ONNX files need the extra [export]")


@pytest.fixture(scope="module")
def file(tiny_model, tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("onnx") / "tiny"
    export_model(tiny_model, TINY, out, ["onnx", "int8"], source=digest_of_file(tiny_weights))
    return out.with_name("tiny.onnx")


@pytest.fixture(scope="module")
def extractor(file: Path) -> OnnxExtractor:
    return OnnxExtractor(file, batch_size=3, workers=2)


def test_it_equals_the_extractor_of_the_weights(extractor, tiny_weights, crops) -> None:
    expected = FeatureExtractor(tiny_weights, "cpu")(crops)
    paths = images_of(crops)
    pictures = [Image.open(path) for path in paths]
    bgr = [np.ascontiguousarray(np.asarray(picture)[:, :, ::-1]) for picture in pictures]
    for given, order in ((crops, False), (paths, False), (pictures, False), (bgr, True)):
        found = extractor(given, bgr=order)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    assert [len(batch) for batch in extractor.batches(paths)] == [3, 3, 1]
    assert extractor([]).shape == (0, 512)
    torch.testing.assert_close(extractor(paths[0]), expected[:1], rtol=0, atol=1e-4)


def test_its_facts(extractor, file, tiny_weights) -> None:
    assert isinstance(extractor, Extractor)
    assert extractor.description == TINY
    assert extractor.feature_dim == 512
    weights = FeatureExtractor(tiny_weights, "cpu")
    assert extractor.digest == weights.digest  # their features can be compared
    narrow = OnnxExtractor(file.with_name("tiny.int8.onnx"))
    assert narrow.digest == digest_of_file(narrow.path) != weights.digest
    assert isinstance(open_extractor(file, batch_size=2), OnnxExtractor)
    assert OnnxDescription.from_metadata(extractor.exported.to_metadata(), "x") == extractor.exported


def test_a_file_of_others_is_described_by_the_caller(tiny_model, tiny_weights, crops, tmp_path) -> None:
    export_model(tiny_model, TINY, tmp_path / "tiny", input_form="normalised")
    model = onnx.load(tmp_path / "tiny.onnx")
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "foreign.onnx")
    with pytest.raises(CCAFLError, match=r"foreign\.onnx does not say which input it takes\. Give its description"):
        OnnxExtractor(tmp_path / "foreign.onnx")
    foreign = OnnxExtractor(tmp_path / "foreign.onnx", description=TINY)
    torch.testing.assert_close(foreign(crops), FeatureExtractor(tiny_weights, "cpu")(crops), rtol=0, atol=1e-4)
    assert foreign.digest == digest_of_file(tmp_path / "foreign.onnx")


def test_the_command_of_features_takes_it(file, tiny_weights, crops, tmp_path) -> None:
    sets = []
    for number, weights in enumerate((file, tiny_weights)):
        out = tmp_path / f"{number}.safetensors"
        assert extract_command.main([str(crops), "--weights", str(weights), "--out", str(out), "--device", "cpu"]) == 0
        sets.append(FeatureSet.load(out))
    torch.testing.assert_close(sets[0].features, sets[1].features, rtol=0, atol=1e-4)
    assert sets[0].columns == sets[1].columns
    check_same_weights(*sets)
    joined(sets)


def test_what_is_wrong_is_one_line(file, tmp_path, monkeypatch) -> None:
    (tmp_path / "text.onnx").write_text("no graph")
    changes = {"size": {"height": "32"}, "length": {"feature_dim": "8"}, "old": {FORMAT_KEY: "0"}}
    changes |= {"precision": {"precision": "int4"}, "mean": {"input_mean": "[1, 2]"}}
    for name, entries in changes.items():
        onnx.save(onnx.load(file), tmp_path / f"{name}.onnx")
        add_metadata(tmp_path / f"{name}.onnx", entries)
    image = Image.new("RGB", (20, 40))
    for name, settings, message in (
        ("none.onnx", {}, "it does not exist"),
        ("text.onnx", {}, r"text\.onnx' can't be read as ONNX"),
        ("size.onnx", {}, r"takes 1 inputs.*64, 32\]; expected one of \(batch, 3, 32, 32\)"),
        ("length.onnx", {}, r"gives \(1, 512\) for 1 images, but says 8"),
        ("old.onnx", {}, "is of format 0, and this version reads 1. Update"),
        ("precision.onnx", {}, "precision: 'int4' is not available"),
        ("mean.onnx", {}, "input_mean or input_std is wrong"),
        ("tiny.onnx", {"feature": "embedding"}, "makes the feature 'retrieval', not 'embedding'"),
        ("tiny.onnx", {"batch_size": 0}, "batch_size: 0 is out of range"),
        ("tiny.onnx", {"device": "meta"}, "device: this onnxruntime can't use meta"),
    ):
        where = file.parent if name == "tiny.onnx" else tmp_path
        with pytest.raises(CCAFLError, match=message) as error:
            OnnxExtractor(where / name, **settings)(image)
        assert "\n" not in str(error.value)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(CCAFLError, match=r'^ONNX files need onnxruntime: pip install "ccafl_plugin\[export\]"\.$'):
        OnnxExtractor(file)
