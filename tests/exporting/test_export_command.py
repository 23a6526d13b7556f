"""``ccafl-export``: files, lines and mistakes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from ccafl_plugin.exporting.agreement import Closeness
from ccafl_plugin.exporting.export import Written
from ccafl_plugin.exporting.export_command import main, report
from ccafl_plugin.features import FeatureExtractor, open_extractor

pytest.importorskip("onnx", reason="exporting to ONNX needs the extra [export]")
pytest.importorskip("onnxruntime", reason="exporting to ONNX needs the extra [export]")


def test_from_a_runs_folder(tiny_weights: Path, crops: Path, tmp_path: Path, capsys) -> None:
    run = tmp_path / "log"
    run.mkdir()
    (run / "weights.safetensors").write_bytes(tiny_weights.read_bytes())
    assert main([str(run), "--fp16", "--images", str(crops), "--input", "normalised"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("weights.onnx: ") and "at batches of 1, 2, 7, 30" in lines[0]
    assert lines[1].startswith("weights.fp16.onnx: ") and lines[1].endswith("(30 images)")
    assert lines[2] == f"Written to {run}: weights.onnx, weights.fp16.onnx"
    exported = open_extractor(run / "weights.onnx")
    torch.testing.assert_close(exported(crops), FeatureExtractor(run, "cpu")(crops), rtol=0, atol=1e-4)
    assert exported.exported.input_std == exported.description.norm_std  # --input normalised


def test_a_narrow_type_that_costs_something_is_said(tmp_path: Path) -> None:
    (tmp_path / "w.int8.onnx").touch()
    lines = report([Written(tmp_path / "w.int8.onnx", 0.1, Closeness(0.995, 0.9, 0.1, 30))])
    assert lines[0] == (
        "w.int8.onnx: 0.0 MB, cosine to float32 0.99500 on average, 0.90000 at worst; similarities of two images "
        "change by 0.1 at most (30 images)"
    )
    assert lines[1].startswith("warning: w.int8.onnx: some features change much")


def test_mistakes_are_one_line(tiny_weights: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    (tmp_path / "file").touch()
    for arguments, code, message in (
        (["none.safetensors"], 2, "it does not exist"),
        ([str(tmp_path)], 2, "weights.safetensors': it does not exist"),
        ([str(tiny_weights), "--images", str(tmp_path / "no")], 1, "is no folder"),
        ([str(tiny_weights), "--out", str(tmp_path / "file")], 1, "file can't be written"),
    ):
        assert main(arguments) == code
        said = capsys.readouterr().err
        assert said.startswith("error: ") and message in said and said.count("\n") == 1
    for wrong in (["--fp17"], ["--input", "bgr"], ["--input", "imagenet", "--for", "boxmot"]):
        with pytest.raises(SystemExit):
            main([str(tiny_weights), *wrong])
    monkeypatch.setitem(sys.modules, "onnx", None)
    capsys.readouterr()
    assert main([str(tiny_weights), "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err == 'error: ONNX files need onnx: pip install "ccafl_plugin[export]".\n'
