"""Runs of a few iterations on a few small pictures, for tests of the engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchreid
from PIL import Image

from ccafl_plugin.engine import ImageCCAFLEngine, PromptStage
from ccafl_plugin.options import options
from ccafl_plugin.terms import PAPER_TERMS, TERMS, Term

HEIGHT, WIDTH = 64, 32
IDENTITIES, CAMERAS, IMAGES = 6, 3, 3


def write_pictures(root: Path, identities: int = IDENTITIES, cameras: int = CAMERAS) -> Path:
    """Market-1501's layout and file names; each identity has colours of its own, each camera a brightness."""
    for folder, first, images in (
        ("bounding_box_train", 1, IMAGES),
        ("query", 501, 1),
        ("bounding_box_test", 501, 2),
    ):
        place = root / "market1501" / "Market-1501-v15.09.15" / folder
        place.mkdir(parents=True)
        for identity in range(first, first + identities):
            colours = np.random.default_rng(identity).integers(0, 200, (4, 2, 3))
            for camera in range(1, cameras + 1):
                for image in range(images):
                    noise = np.random.default_rng([identity, camera, image]).integers(0, 40, (4, 2, 3))
                    picture = Image.fromarray((colours + noise + 5 * camera).astype(np.uint8))
                    name = f"{identity:04d}_c{camera}s1_{image:06d}_{int(folder != 'query'):02d}.jpg"
                    picture.resize((WIDTH, HEIGHT)).save(place / name)
    return root


def make_manager(root: Path, **settings: Any) -> Any:
    """torchreid's data manager over :func:`write_pictures`."""
    arguments = {
        "root": str(root),
        "sources": "market1501",
        "height": HEIGHT,
        "width": WIDTH,
        "batch_size_train": 8,
        "batch_size_test": 16,
        "num_instances": 2,
        "workers": 0,
        "train_sampler": "ProxySampler",
        "transforms": ["random_flip", "random_erase"],
        **settings,
    }
    with options.override(iters_per_epoch=2):
        return torchreid.data.ImageDataManager(**arguments)


def make_terms(windows: dict[str, tuple[int, int]], **arguments: dict[str, Any]) -> list[Term]:
    """Terms by name with (first epoch, last epoch) and further arguments."""
    return [
        TERMS[name](first_epoch=first, last_epoch=last, **arguments.get(name, {}))
        for name, (first, last) in windows.items()
    ]


EVERY_TERM = {"proxy_classifier": (0, -1), "icdl": (0, 1), "inter": (1, -1), "alignment": (1, -1), "ical": (2, -1)}
assert set(EVERY_TERM) == set(PAPER_TERMS)


def make_engine(
    root: Path, manager: Any = None, wrap: Callable[[Any], Any] | None = None, **settings: Any
) -> ImageCCAFLEngine:
    """An engine with clip_tiny from seed 0; every term is active within three epochs."""
    manager = make_manager(root) if manager is None else manager
    torch.manual_seed(0)
    with options.override(input_size=(HEIGHT, WIDTH)):
        model = torchreid.models.build_model("clip_tiny", num_classes=1, loss="ccafl", pretrained=False)
    model = model if wrap is None else wrap(model)
    optimizer = torchreid.optim.build_optimizer(model, lr=1e-3)
    scheduler = torchreid.optim.build_lr_scheduler(optimizer, lr_scheduler="multi_step", stepsize=[2])
    arguments = {"terms": make_terms(EVERY_TERM), "stage1": PromptStage(epochs=1, batch_size=16), "seed": 1, **settings}
    return ImageCCAFLEngine(manager, model, optimizer, scheduler=scheduler, **arguments)


class Recorder:
    """Keeps what every iteration of an engine reported."""

    def __init__(self, engine: ImageCCAFLEngine) -> None:
        self.reports: list[dict[str, float]] = []
        original = engine.forward_backward

        def forward_backward(data: dict[str, Any]) -> dict[str, float]:
            report = original(data)
            self.reports.append(report)
            return report

        engine.forward_backward = forward_backward


def weights(engine: ImageCCAFLEngine) -> dict[str, torch.Tensor]:
    """A copy of everything that is saved."""
    return {
        f"{part}.{name}": tensor.clone()
        for part in engine.get_model_names()
        for name, tensor in engine._models[part].state_dict().items()
    }


def assert_equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    """Bit for bit."""
    assert first.keys() == second.keys()
    different = [name for name in first if not torch.equal(first[name], second[name])]
    assert not different
