"""The command that turns weights into described files."""

from __future__ import annotations

import re
from pathlib import Path

import gdown
import numpy as np
import open_clip
import pytest
import torch
import torchreid

from ccafl_plugin.features import FeatureExtractor
from ccafl_plugin.features.zoo import ZOO, zoo_file
from ccafl_plugin.metrics import CameraStatistics
from ccafl_plugin.models import build_clip
from ccafl_plugin.models.clip import clip_state_dict
from ccafl_plugin.models.trained_weights import fingerprint_of
from ccafl_plugin.models.weights_description import read, read_description
from ccafl_plugin.options import options
from ccafl_plugin.runs.convert_command import main
from ccafl_plugin.utils.downloads import fetch_from_drive
from ccafl_plugin.utils.errors import CCAFLError
from tests.models.foreign_layouts import authors_feature, authors_file

IMAGE = np.random.default_rng(0).integers(0, 256, (256, 128, 3), dtype=np.uint8)


def tensor_of(image: np.ndarray) -> torch.Tensor:
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    return ((torch.from_numpy(image).permute(2, 0, 1) / 255 - mean) / std)[None]


@pytest.fixture
def tiny():
    torch.manual_seed(1)
    with options.override(input_size=(64, 32)):
        return build_clip("clip_tiny", 3, pretrained=False).eval()


def test_the_authors_file_by_name(tmp_path: Path, monkeypatch, capsys) -> None:
    """As if it had been fetched by hand and saved where the message says."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    out = str(tmp_path / "w.safetensors")
    assert main(["ccafl_rn50_market1501", "--out", out]) == 1
    message = capsys.readouterr().err
    place = Path(re.search(r"save it as (\S+),", message)[1])
    assert "1-o7XVkheqhIUV_QUayqmp0goO87xSf4Y" in message
    assert "Licence: none stated; trained on data for research only" in message
    state, visual = authors_file()
    place.parent.mkdir(parents=True)
    torch.save(state, place)
    told = ["--model", "clip_tiny", "--report", str(tmp_path / "report.txt")]  # the real size would take its time
    assert main(["ccafl_rn50_market1501", "--out", out, *told]) == 0
    printed = capsys.readouterr().out
    assert "CCAFL of its authors:" in printed
    assert re.search(r"used: module\.image_encoder\.\* -> image_encoder\.visual\.\* \(\d+\)", printed)
    assert "used: module.gap.* -> image_encoder.gem.* (1)" in printed
    assert re.search(r"left over: prompt_learner\.\* \(3\): no feature of an image needs it; prompts", printed)
    assert printed.splitlines()[-1] == f"Written to {tmp_path}: w.safetensors, {tmp_path / 'report.txt'}"
    report = (tmp_path / "report.txt").read_text()
    assert all(f" {name}" in report for name in state)
    extractor = FeatureExtractor(out, "cpu")
    assert extractor.description.trained_on.startswith("Market-1501, intra-camera labels")
    torch.testing.assert_close(extractor(IMAGE), authors_feature(visual, state, tensor_of(IMAGE)), rtol=0, atol=1e-5)


def test_a_checkpoint_is_described_by_its_run(tmp_path: Path, tiny, capsys) -> None:
    run = tmp_path / "run"
    (run / "model").mkdir(parents=True)
    torch.save({"state_dict": tiny.state_dict(), "epoch": 1}, run / "model" / "model.pth.tar-1")
    (run / "config.yaml").write_text(
        "model: {name: clip_tiny}\n"
        "data: {height: 64, width: 32, norm_mean: [0.1, 0.2, 0.3], sources: [msmt17]}\nccafl: {licence: MIT}\n"
    )
    out = tmp_path / "w.safetensors"
    assert main([str(run / "model" / "model.pth.tar-1"), "--out", str(out)]) == 0
    described = read_description(out)
    assert (described.height, described.norm_mean, described.licence) == (64, (0.1, 0.2, 0.3), "MIT")
    assert (described.interpolation, described.trained_on) == ("bilinear", "msmt17")
    assert "left over: classifier.* (1)" in capsys.readouterr().out


def test_a_text_encoder_and_statistics_are_put_beside_weights(tmp_path: Path, tiny, capsys) -> None:
    file, clip, out, cameras = (tmp_path / name for name in ("m.pth", "clip.pth", "w.safetensors", "c.safetensors"))
    torch.save(tiny.state_dict(), file)
    torch.save(clip_state_dict(tiny), clip)
    statistics = CameraStatistics.of(torch.randn(9, 512), [1, 2, 3] * 3, fingerprint=fingerprint_of(tiny))
    statistics.save(cameras)
    assert main([str(file), "--out", str(out), "--text-encoder", str(clip), "--camera-statistics", str(cameras)]) == 0
    extractor = FeatureExtractor(out, "cpu")
    with torch.no_grad():
        expected = tiny.text_encoder(open_clip.tokenize(["a man"]))
    found = extractor.encode_text("a man")
    torch.testing.assert_close(found, torch.nn.functional.normalize(expected, dim=1), rtol=0, atol=1e-5)
    assert extractor.camera_statistics.cameras == (1, 2, 3)
    again = tmp_path / "again.safetensors"  # a described file can be described further
    assert main([str(out), "--out", str(again), "--licence", "CC0"]) == 0
    assert read_description(again).licence == "CC0"
    assert read(again).text.keys() == read(out).text.keys()
    CameraStatistics.of(torch.randn(9, 512), [1, 2, 3] * 3, fingerprint="another").save(cameras)
    assert main([str(file), "--out", str(out), "--camera-statistics", str(cameras)]) == 1
    assert "made with other weights" in capsys.readouterr().err


def test_torchreids_zoo_files_by_their_names(tmp_path: Path, capsys) -> None:
    model = torchreid.models.build_model("osnet_x0_25", 7, pretrained=False).eval()
    file = tmp_path / "osnet_x0_25_msmt17_combineall_256x128.pth"
    torch.save(model.state_dict(), file)
    assert main([str(file), "--out", str(tmp_path / "w.safetensors"), "--trained-on", "MSMT17"]) == 0
    assert "torchreid's:" in capsys.readouterr().out
    extractor = FeatureExtractor(tmp_path / "w.safetensors", "cpu")
    assert (extractor.description.model, extractor.description.trained_on) == ("osnet_x0_25", "MSMT17")
    with torch.no_grad():
        expected = torch.nn.functional.normalize(model(tensor_of(IMAGE)), dim=1)
    torch.testing.assert_close(extractor(IMAGE), expected, rtol=0, atol=1e-5)


def test_mistakes_are_one_line(tmp_path: Path, tiny, capsys) -> None:
    file, out = tmp_path / "m.pth", str(tmp_path / "w.safetensors")
    torch.save(tiny.state_dict(), file)
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    (tmp_path / "page.pth").write_text("<html>")
    for arguments, code, message in (
        ([], 2, "name the weights and --out"),
        ([str(file), "--out", str(tmp_path)], 2, "it is no file"),
        (["ccafl_rn50_market", "--out", out], 1, "Did you mean 'ccafl_rn50_market1501'"),
        ([str(tmp_path / "none.pth"), "--out", out], 1, "it does not exist"),
        ([str(tmp_path / "page.pth"), "--out", out], 1, "a web page"),
        ([str(tmp_path / "other.pth"), "--out", out], 1, "in no layout that is known"),
        ([str(tmp_path / "other.pth"), "--out", out, "--model", "osnet_x0_25"], 1, "not those of osnet_x0_25"),
        ([str(file), "--out", out, "--std", "0", "1", "1"], 1, "norm_std"),
        ([str(file), "--out", out, "--model", "clip_rn50"], 1, "not those of clip_rn50"),
    ):
        assert main(arguments) == code
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
        assert not Path(out).exists()


def test_the_list_names_licence_and_data_of_each(capsys) -> None:
    assert main(["--list"]) == 0
    printed = capsys.readouterr().out
    for name, entry in ZOO.items():
        line = next(line for line in printed.splitlines() if line.startswith(f"{name} "))
        assert entry.said.licence in line
        assert entry.said.trained_on in line
        assert entry.said.licence and entry.said.trained_on


def test_downloads_from_google_drive_are_checked(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    answers = {"id": "weights"}

    def download(id: str, output: str, quiet: bool) -> str:
        assert id == ZOO["osnet_x1_0_msmt17"].identity
        answers["asked"] = id
        if answers["id"] == "weights":
            torch.save({"a": torch.zeros(1)}, output)
        else:
            Path(output).write_text("<html>Quota exceeded</html>")
        return output

    monkeypatch.setattr(gdown, "download", download)
    answers["id"] = "page"
    with pytest.raises(CCAFLError, match=r"can't be downloaded \(what came is a web page"):
        zoo_file("osnet_x1_0_msmt17", download=True)
    assert not list((tmp_path / "hub" / "checkpoints").iterdir())
    answers["id"] = "weights"
    file = zoo_file("osnet_x1_0_msmt17", download=True)
    assert torch.load(file)["a"] == 0
    answers.pop("asked")
    assert zoo_file("osnet_x1_0_msmt17") == file
    assert "asked" not in answers
    monkeypatch.setattr(gdown, "download", lambda **_: None)
    with pytest.raises(CCAFLError, match="Google Drive gave no file"):
        fetch_from_drive("x", tmp_path / "x", "the weights", "do without")
