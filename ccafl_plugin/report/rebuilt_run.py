"""A run's data and model once more, for what its folder does not hold: features, rankings, maps."""

from __future__ import annotations

import contextlib
import io
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import torchreid
from numpy.typing import NDArray
from torch import Tensor, nn
from yacs.config import CfgNode

from ccafl_plugin.config import arguments
from ccafl_plugin.data.crop_choice import spread
from ccafl_plugin.data.dataset_checks import check_sources
from ccafl_plugin.data.loaders import loader_of_images
from ccafl_plugin.engine import manifests
from ccafl_plugin.engine.extraction import extract
from ccafl_plugin.engine.state import MAIN
from ccafl_plugin.integration.torchreid_names import dataset_classes
from ccafl_plugin.models.trained_weights import load_weights
from ccafl_plugin.models.weights_description import FILE
from ccafl_plugin.options import options
from ccafl_plugin.report.recorded_run import RecordedRun
from ccafl_plugin.runs import building
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.progress import Progress


@dataclass(frozen=True, eq=False)
class TestImages:
    """The test images of a dataset, queries first.

    Attributes:
        dataset: its name.
        paths: (M,) of the images.
        persons: (M,) int64.
        cameras: (M,) int64, as torchreid numbers them.
        queries: Q, how many of them are queries.
    """

    dataset: str
    paths: tuple[str, ...]
    persons: NDArray[np.int64]
    cameras: NDArray[np.int64]
    queries: int


class RebuiltRun:
    """Data manager and model of a run, from its configuration; to be used inside :func:`rebuilt`.

    Args:
        run: the run.
        config: its configuration, with the data root that is to be used.

    Attributes:
        datamanager: torchreid's.
        model: with the weights from which the run began, until :meth:`load_trained`.
    """

    def __init__(self, run: RecordedRun, config: CfgNode) -> None:
        self.run, self.config = run, config
        self.datamanager: Any = building.build_data_manager(config)
        self.model: nn.Module = building.build_model(config, self.datamanager, to_train=False).eval()

    @property
    def device(self) -> torch.device:
        """Of the model."""
        return next(self.model.parameters()).device

    def trained_weights(self) -> Path:
        """The file of the trained weights: what the run wrote at its end, or its newest checkpoint.

        Raises:
            CCAFLError: there is none.
        """
        file = self.run.path / FILE
        if file.is_file():
            return file
        for manifest in manifests.manifests(self.run.path)[::-1]:
            name = manifests.files_of(manifest).get(MAIN, "")
            if name and (self.run.path / name).is_file():
                return self.run.path / name
        for part in sorted((self.run.path / MAIN).glob("model.pth.tar-*"), key=_number)[
            ::-1
        ]:  # torchreid's own engines
            return part
        raise CCAFLError(f"there are no weights in the folder ({FILE} or a checkpoint).")

    def checkpoints(self, most: int = 6) -> list[tuple[int, Path]]:
        """(epochs finished, file of the model's part) of the checkpoints that were kept; of many, a few."""
        found = []
        for manifest in manifests.manifests(self.run.path):
            name = manifests.files_of(manifest).get(MAIN, "")
            if name and (self.run.path / name).is_file() and manifests.epoch_of(manifest):
                found.append((manifests.epoch_of(manifest), self.run.path / name))
        return spread(found, most)

    def load_trained(self, file: Path | None = None) -> None:
        """Loads the trained weights, or those of another file."""
        load_weights(self.model, str(file or self.trained_weights()))
        self.model.eval()

    def test_images(self) -> TestImages | None:
        """Of the first target that has queries; None if none has."""
        for dataset, sets in self.datamanager.test_dataset.items():
            if sets["query"] and sets["gallery"]:
                return _images(dataset, sets["query"], sets["gallery"])
        return None

    def training_list(self) -> list[tuple[Any, ...]]:
        """(path, person, camera, dataset) of each training image."""
        found: list[tuple[Any, ...]] = self.datamanager.train_loader.dataset.train
        return found

    def camera_name(self, number: int) -> str:
        """Of a camera that torchreid numbers from 0."""
        own = getattr(self.datamanager.train_loader.dataset, "own_images", None)
        if own is not None and 0 <= number < len(own.images.cameras):
            return str(own.images.cameras[number])
        return str(number + 1)

    @torch.no_grad()
    def features(self, paths: Sequence[str], what: str = "images", unit: bool = True) -> Tensor:
        """Retrieval features with the test transform.

        Args:
            paths: of the images.
            what: name of the images in the progress.
            unit: whether rows are scaled to length 1; else they are what the model returns.

        Returns:
            (n, D) float32 on the CPU.
        """
        return (
            self.encode(paths, self.model.eval(), what)
            if not unit
            else F.normalize(self.encode(paths, self.model.eval(), what), dim=1)
        )

    @torch.no_grad()
    def encode(self, paths: Sequence[str], encode: Any, what: str = "images") -> Tensor:
        """What a function makes of the images: (B, 3, H, W) on the model's device -> (B, D)."""
        with Progress(len(paths), what) as progress:
            return extract(_counted(self.loader(paths), progress), encode, self.device).cpu()

    def loader(self, paths: Sequence[str]) -> Any:
        """Batches of the images, in their order, with the test transform."""
        return loader_of_images(self.datamanager, paths, self.config.test.batch_size)


@contextlib.contextmanager
def rebuilt(run: RecordedRun, root: str = "") -> Iterator[RebuiltRun]:
    """A run's data and model; what torchreid prints while they are built is not shown.

    Args:
        run: the run.
        root: the data root; empty: the one of the configuration.

    Raises:
        CCAFLError: data, weights or the configuration are not there or do not fit, in one line.
    """
    if run.config is None:
        raise CCAFLError("the run has no configuration that can be read.")
    config = run.config.clone()
    config.defrost()
    config.data.root = root or config.data.root
    config.ccafl.compile = False
    config.freeze()
    with options.override(), contextlib.redirect_stdout(io.StringIO()), _random_state_kept():
        options.update(**arguments.option_values(config))  # data of one's own are read with them
        check_data(config)
        torchreid.utils.set_random_seed(config.train.seed)  # random weights are those from which the training began
        yield RebuiltRun(run, config)


@contextlib.contextmanager
def _random_state_kept() -> Iterator[None]:
    """What is drawn inside changes nothing for the program around."""
    states = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


def check_data(config: CfgNode) -> None:
    """Checks that all datasets are there; nothing is downloaded or rendered for a report.

    Raises:
        CCAFLError: one is missing.
    """
    root = Path(config.data.root).expanduser()
    classes = dataset_classes()
    for name in dict.fromkeys([*config.data.sources, *config.data.targets]):
        folder = getattr(classes.get(name), "dataset_dir", "") or ""
        if not (root / folder).is_dir():
            raise CCAFLError(f"the data of {name} are not in {str(root / folder)!r}; name their root with --root.")
    check_sources(
        config.data.root, config.data.sources, config.data.targets, classes, config.market1501.use_500k_distractors
    )


def _images(dataset: str, query: Sequence[Any], gallery: Sequence[Any]) -> TestImages:
    entries = [*query, *gallery]
    return TestImages(
        dataset,
        tuple(str(entry[0]) for entry in entries),
        np.array([entry[1] for entry in entries], dtype=np.int64),
        np.array([entry[2] for entry in entries], dtype=np.int64),
        len(query),
    )


def _counted(loader: Any, progress: Progress) -> Iterator[Any]:
    for batch in loader:
        yield batch
        progress.add(len(batch["img"]))


def _number(path: Path) -> int:
    number = path.name.rpartition("-")[2]
    return int(number) if number.isdecimal() else -1
