"""torchreid's tools for a finished model: its scripts are not installed, so their steps are taken here one by one."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F
import torchreid
from PIL import Image

from ccafl_plugin.options import options
from ccafl_plugin.runs.train_command import main
from tests.models.small_open_clip import CONFIGS, add_small_architectures
from tests.models.test_open_clip_models import LIGHT
from tests.runs.test_train_command import SMALL

SIZE = (64, 32)
PUBLISHED = [pytest.param(name, marks=pytest.mark.slow) for name in ("clip_rn50", "clip_vit_b16")]
"""Slow: 40 and 90 million numbers are drawn. clip_tiny and small-vit have the same towers."""


@pytest.fixture(scope="module", autouse=True)
def known(tmp_path_factory: pytest.TempPathFactory) -> None:
    add_small_architectures(tmp_path_factory.mktemp("configs"))


def make(name: str, size: tuple[int, int] = SIZE, loss: str = "softmax"):
    torch.manual_seed(0)
    full = f"open_clip/{name}" if name in CONFIGS else name
    with options.override(input_size=size):
        return torchreid.models.build_model(full, num_classes=3, loss=loss, pretrained=False, use_gpu=False).eval()


def images_of(size: tuple[int, int] = SIZE, count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", ["clip_tiny", *LIGHT, *PUBLISHED])
def test_activation_maps(name: str, pictures: Path, tmp_path: Path) -> None:
    """``visualize_actmap.py``: maps of the query images, squared, added up over the channels, scaled, drawn."""
    cv2 = pytest.importorskip("cv2")
    manager = torchreid.data.ImageDataManager(
        root=str(pictures), sources="market1501", height=SIZE[0], width=SIZE[1], batch_size_train=9,
        batch_size_test=9, transforms=None, train_sampler="SequentialSampler", workers=0, use_gpu=False,
    )  # fmt: skip
    model = make(name)
    drawn = 0
    with torch.no_grad():
        for data in manager.test_loader["market1501"]["query"]:
            maps = model(data["img"], return_featuremaps=True)
            assert maps.dim() == 4 and maps.dtype == torch.float32
            assert maps.shape[2:] == model.image_encoder.grid_of(*SIZE)
            strength = (maps**2).sum(1)
            flat = F.normalize(strength.view(len(strength), -1), p=2, dim=1)
            for row, path in zip(flat.view_as(strength).numpy(), data["impath"], strict=True):
                resized = cv2.resize(row, (SIZE[1], SIZE[0]))
                assert np.isfinite(resized).all() and (row.size == 1 or np.ptp(resized) > 0)
                grey = np.uint8(255 * (resized - resized.min()) / (np.ptp(resized) + 1e-12))
                file = tmp_path / f"{Path(path).stem}.jpg"
                assert cv2.imwrite(str(file), cv2.applyColorMap(grey, cv2.COLORMAP_JET))
                assert Image.open(file).size == (SIZE[1], SIZE[0])
                drawn += 1
    assert drawn == 18


@pytest.mark.parametrize("name", ["clip_tiny", "small-resnet", *PUBLISHED[:1]])
def test_maps_of_a_resnet_are_what_its_feature_is_pooled_from(name: str) -> None:
    model, images = make(name), images_of()
    with torch.no_grad():
        maps = model(images, return_featuremaps=True)
        torch.testing.assert_close(F.normalize(model.neck(model.image_encoder.gem(maps)), dim=1), model(images))


@pytest.mark.parametrize("size", [SIZE, (96, 48)])
@pytest.mark.parametrize("name", ["small-vit", "small-vit-avg", "small-siglip", *PUBLISHED[1:]])
def test_maps_of_a_transformer_are_the_last_blocks_patches(name: str, size: tuple[int, int]) -> None:
    """As open_clip and timm lay them out themselves, for the model's own size and, of open_clip, for others."""
    model = make(name, size)
    visual = model.image_encoder.visual
    of = getattr(visual, "trunk", visual)
    if not hasattr(of, "forward_intermediates"):
        pytest.skip(f"open_clip {open_clip.__version__} gives no tokens of single blocks")
    with torch.no_grad():
        maps = model(images_of(size), return_featuremaps=True)
        if of is visual:
            found = of.forward_intermediates(images_of(size), indices=1, intermediates_only=True)
            expected = found["image_intermediates"][-1]
        else:
            rows, columns = (side * of.patch_embed.patch_size[0] for side in model.image_encoder.grid)
            seen = images_of(size)[..., :rows, :columns]
            expected = of.forward_intermediates(seen, indices=1, intermediates_only=True)[-1]
        torch.testing.assert_close(maps, expected)
        if of is visual:
            other = (size[0] + 32, size[1])
            assert model(images_of(other), return_featuremaps=True).shape[2:] == model.image_encoder.grid_of(*other)


def test_maps_are_the_same_in_training_and_leave_nothing_behind() -> None:
    model, images = make("small-vit", loss="ccafl"), images_of()
    with torch.no_grad():
        maps = model(images, return_featuremaps=True)
        torch.testing.assert_close(model.train()(images, return_featuremaps=True), maps)
    assert not model.image_encoder.visual.transformer._forward_hooks
    assert isinstance(model(images), tuple)


def test_mean_and_deviation_of_a_dataset(pictures: Path) -> None:
    """``compute_mean_std.py``: per channel the mean over images of their means and of their deviations."""
    loader = torchreid.data.ImageDataManager(
        root=str(pictures), sources="market1501", targets=None, height=SIZE[0], width=SIZE[1], batch_size_train=20,
        transforms=None, norm_mean=[0.0, 0.0, 0.0], norm_std=[1.0, 1.0, 1.0], train_sampler="SequentialSampler",
        workers=0, use_gpu=False,
    ).train_loader  # fmt: skip
    sums, count = torch.zeros(2, 3), 0
    for data in loader:
        pixels = data["img"].flatten(2)
        sums += torch.stack([pixels.mean(2).sum(0), pixels.std(2).sum(0)])
        count += len(pixels)
    files = sorted((pictures / "market1501").rglob("bounding_box_train/*.jpg"))
    # SequentialSampler is followed by drop_last: 54 images in batches of 20 are 40.
    assert (count, len(files)) == (40, 54)
    seen = [np.asarray(Image.open(path), dtype=np.float64) / 255 for path, *_ in loader.dataset.train[:count]]
    expected = np.mean([[image.mean((0, 1)), image.std((0, 1), ddof=1)] for image in seen], axis=0)
    np.testing.assert_allclose(sums.numpy() / count, expected, atol=1e-5)


PARSED = {"mAP": r"mAP: ([\.\deE+-]+)%", "r1": r"Rank-1  : ([\.\deE+-]+)%", "r5": r"Rank-5  : ([\.\deE+-]+)%"}
"""The expressions with which ``parse_test_res.py`` reads a log, of each of which the last match counts."""


def test_scores_in_the_log_of_a_test(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``parse_test_res.py`` looks for ``test.log*`` in every folder of a folder."""
    folder = tmp_path / "eval" / "split_0"
    arguments = ["--root", str(pictures), *SMALL, "data.save_dir", str(folder), "test.evaluate", "True"]
    assert main(arguments) == 0
    (log,) = folder.glob("test.log*")
    lines = log.read_text().splitlines()
    scores = {}
    for name, expression in PARSED.items():
        for line in lines:
            if found := re.search(expression, line.strip()):
                scores[name] = float(found[1])
    printed = capsys.readouterr().out
    assert f"mAP: {scores['mAP']}%" in printed and f"Rank-1  : {scores['r1']}%" in printed
    assert scores.keys() == PARSED.keys() and all(0 < score <= 100 for score in scores.values())


@pytest.mark.parametrize("name", ["clip_tiny", *LIGHT, *PUBLISHED])
def test_complexity(name: str) -> None:
    """torchreid's counter runs; what it counts are convolutions and linear layers of the image encoder."""
    model = make(name)
    parameters, flops = torchreid.utils.compute_model_complexity(model, (1, 3, *SIZE), verbose=True)
    encoder = sum(parameter.numel() for parameter in model.image_encoder.parameters())
    assert 0 < parameters <= encoder + sum(parameter.numel() for parameter in model.neck.parameters()) and flops > 0
