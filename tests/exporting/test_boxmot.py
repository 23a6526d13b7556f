"""What BoxMOT's ONNX backend does with a file, done here with NumPy and OpenCV: the features are the extractor's."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from ccafl_plugin.exporting import boxmot
from ccafl_plugin.exporting.export_command import main
from ccafl_plugin.features import FeatureExtractor
from ccafl_plugin.models import build_clip
from ccafl_plugin.models.weights_description import save
from ccafl_plugin.options import options
from tests.features.conftest import TINY

onnxruntime = pytest.importorskip("onnxruntime", reason="exporting to ONNX needs the extra [export]")
pytest.importorskip("onnx", reason="exporting to ONNX needs the extra [export]")

OWN_MODELS = ("resnet50", "resnet101", "mlfn", "hacnn", "mobilenetv2_x1_0", "mobilenetv2_x1_4", "osnet_x1_0")
OWN_MODELS += ("osnet_x0_75", "osnet_x0_5", "osnet_x0_25", "osnet_ibn_x1_0", "osnet_ain_x1_0", "lmbn_n", "clip")
"""Names that releases before 23 look for in a file's name, in this order."""


class Tracker:
    """The place for re-identification of a tracker: boxes of a frame in, unit features out.

    Args:
        file: an .onnx file.
        release: of BoxMOT.
    """

    def __init__(self, file: Path, release: int) -> None:
        self.session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        graph_size = self.session.get_inputs()[0].shape[2:]
        self.mean, self.std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
        self.size = tuple(graph_size)
        if release < 23:
            name = next((each for each in OWN_MODELS if each in file.name), None)
            assert name is not None, "it would build a model that it does not know"
            self.size = (256, 256) if "veri" in file.name else {"hacnn": (160, 64)}.get(name, (256, 128))
            if name == "clip":
                self.mean = self.std = (0.5, 0.5, 0.5)

    def get_features(self, xyxys: np.ndarray, frame: np.ndarray) -> np.ndarray:
        """(n, 4) corners and an (H, W, 3) frame with blue first -> (n, D)."""
        height, width = frame.shape[:2]
        crops = np.empty((len(xyxys), 3, *self.size), np.float32)
        for row, box in enumerate(xyxys):
            left, top, right, bottom = box.round().astype(int)
            crop = frame[max(0, top) : min(height, bottom), max(0, left) : min(width, right)]
            resized = cv2.resize(crop, self.size[::-1], interpolation=cv2.INTER_LINEAR)
            crops[row] = cv2.cvtColor(resized, cv2.COLOR_BGR2RGB).transpose(2, 0, 1)
        crops = (crops / 255 - np.float32(self.mean).reshape(3, 1, 1)) / np.float32(self.std).reshape(3, 1, 1)
        given = {self.session.get_inputs()[0].name: crops}
        features = self.session.run([self.session.get_outputs()[0].name], given)[0]
        return features / np.linalg.norm(features, axis=-1, keepdims=True)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """clip_tiny for 256 x 128, the size that older releases take."""
    torch.manual_seed(3)
    with options.override(input_size=boxmot.SIZE):
        model = build_clip("clip_tiny", 4, "ccafl", pretrained=False).eval()
    file = tmp_path_factory.mktemp("boxmot") / "weights.safetensors"
    save(file, dataclasses.replace(TINY, height=256, width=128), model.state_dict())
    return file


def test_the_tracker_gets_the_extractors_features(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(weights), "--for", "boxmot"]) == 0
    printed = capsys.readouterr().out
    assert "note:" not in printed
    file = weights.with_name("osnet_x0_25_ccafl.onnx")
    assert printed.endswith(f"Written to {file.parent}: {file.name}\n")
    frame = np.random.default_rng(2).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    frame = cv2.GaussianBlur(frame, (0, 0), 3)
    boxes = np.array([[10.2, 20.4, 60.1, 150.8], [-5.0, 30.0, 40.0, 130.0], [250.0, 90.0, 320.0, 230.0]])
    crops = [frame[20:151, 10:60], frame[30:130, 0:40], frame[90:200, 250:300]]
    resized = [cv2.resize(crop, (128, 256), interpolation=cv2.INTER_LINEAR) for crop in crops]
    expected = FeatureExtractor(weights, "cpu")(resized, bgr=True).numpy()
    for release in (16, 22, 25):
        found = Tracker(file, release).get_features(boxes, frame)
        assert found.shape == (3, 512) and found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    for count in (1, 30):
        assert Tracker(file, 25).get_features(np.repeat(boxes[:1], count, axis=0), frame).shape == (count, 512)


@pytest.mark.parametrize(
    ("name", "size", "words"),
    [
        (boxmot.NAME, (256, 128), []),
        ("mine", (256, 128), ["name has to begin with osnet_x0_25"]),
        ("osnet_x0_25_clip", (256, 128), ["name has to begin with osnet_x0_25"]),
        ("osnet_x0_25_veri", (96, 48), ["name has to begin", "crops are 256 x 128, and this model takes 96 x 48"]),
    ],
)
def test_what_older_releases_stumble_over(name: str, size: tuple[int, int], words: list[str]) -> None:
    found = boxmot.doubts(name, *size)
    assert len(found) == len(words)
    assert all(word in doubt for word, doubt in zip(words, found, strict=True))
