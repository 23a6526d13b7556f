"""What a test makes of its images' cameras, in all of torchreid's engines: normalisation and camera-aware re-ranking.

``Engine._evaluate`` itself stays torchreid's. Around it, the cameras of query and gallery are noted while their images
go by; when it asks for the first distances, both sets of features are normalised, and re-ranking is handed the cameras.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ccafl_plugin.data.proxies import ProxyLabels
from ccafl_plugin.integration.changes import Change, set_attribute
from ccafl_plugin.integration.torchreid_layout import attribute, require_attributes, require_parameters
from ccafl_plugin.integration.torchreid_names import source_with_cameras_of
from ccafl_plugin.metrics import CameraNeighbours, CameraStatistics
from ccafl_plugin.metrics.single_shot import reachable_ranks
from ccafl_plugin.models.trained_weights import fingerprint_of
from ccafl_plugin.options import options
from ccafl_plugin.utils.distributed import is_first_process
from ccafl_plugin.utils.errors import CCAFLError

KEY = "test.camera_statistics"
"""The setting, in errors."""


class CameraTest:
    """One test of an engine with the options ``camera_normalization``, ``camera_statistics`` and ``camera_rerank``.

    Args:
        engine: one of torchreid's.
        dataset: name of the target.
        save_dir: where the statistics are written; empty: nowhere.

    Raises:
        CCAFLError: statistics from a file that belong to other weights or another dataset.
    """

    def __init__(self, engine: Any, dataset: str, save_dir: str) -> None:
        self.engine, self.dataset, self.save_dir = engine, dataset, save_dir
        self.mode = options.camera_normalization
        self.cameras: list[int] = []  # of the images that went by: queries, then gallery
        self._normalized: list[tuple[Tensor, Tensor]] = []  # features as they came, and without their cameras
        self._from_file: CameraStatistics | None = None
        if self.mode != "none" and options.camera_statistics not in ("gallery", "training"):
            file = options.camera_statistics
            self._from_file = dataclasses.replace(CameraStatistics.load(file, KEY), mode=self.mode)
            self._from_file.check(fingerprint=fingerprint_of(engine.model), dataset=dataset, what=f"{KEY}: {file!r}")

    @contextmanager
    def noting_cameras(self) -> Iterator[None]:
        """Inside, the cameras of the images that the engine is handed are noted."""
        engine, own = self.engine, vars(self.engine).get("parse_data_for_eval")
        parse = engine.parse_data_for_eval

        def parse_data_for_eval(data: Any) -> Any:
            images, pids, camids = parse(data)
            if camids is None:
                raise CCAFLError(
                    "test.camera_normalization and test.camera_rerank need the camera of each image, and the engine's "
                    "parse_data_for_eval gives none; set them to none and False."
                )
            self.cameras.extend(np.asarray(camids).tolist())
            return images, pids, camids

        engine.parse_data_for_eval = parse_data_for_eval
        try:
            yield
        finally:
            del engine.parse_data_for_eval
            if own is not None:
                engine.parse_data_for_eval = own

    def normalized(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Two sets of features without what their cameras add.

        Args:
            first: (Q, D) the queries' at the first call; later either set, the very same tensors.
            second: (G, D) the gallery's at the first call; later either set.
        """
        if self.mode == "none":
            return first, second
        if not self._normalized:
            cameras = np.asarray(self.cameras)
            if len(cameras) != len(first) + len(second):
                raise CCAFLError(
                    f"test.camera_normalization: the engine handed on the cameras of {len(cameras)} images but "
                    f"features of {len(first)} queries and {len(second)} gallery images; set it to none."
                )
            new = self.without_cameras(first, second, *np.split(cameras, [len(first)]))
            self._normalized = [(first, new[0]), (second, new[1])]
        found = [new for given in (first, second) for old, new in self._normalized if old is given]
        return found[0], found[-1]

    def neighbours(self) -> CameraNeighbours:
        """For re-ranking by camera."""
        return CameraNeighbours(self.cameras)

    def without_cameras(
        self, query: Tensor, gallery: Tensor, of_query: np.ndarray, of_gallery: np.ndarray
    ) -> tuple[Tensor, Tensor]:
        """Features of queries, (Q, D), and gallery, (G, D), without what their cameras add.

        Args:
            query, gallery: as the model gives them.
            of_query, of_gallery: (Q,) and (G,) numbers of the cameras.
        """
        statistics = self._statistics(gallery, self._named(of_gallery))
        return statistics.apply(query, self._named(of_query)), statistics.apply(gallery, self._named(of_gallery))

    def _named(self, cameras: np.ndarray) -> np.ndarray:
        """Cameras of data of one's own by their names, as their numbers change when a camera is added; else numbers."""
        loaders = self.engine.datamanager.test_loader.get(self.dataset, {})
        own = getattr(getattr(loaders.get("gallery"), "dataset", None), "own_images", None)
        return cameras if own is None else np.array(own.images.cameras)[cameras]

    def _statistics(self, gallery: Tensor, cameras: np.ndarray) -> CameraStatistics:
        """From the file, or of the gallery's or the training set's features; these are written beside the weights."""
        source = options.camera_statistics
        if self._from_file is not None:
            print(f"Normalizing features by camera ({self.mode}, statistics of {source}) ...")
            self._from_file.check(gallery.shape[1], cameras, what=f"{KEY}: {source!r}")
            return self._from_file
        print(f"Normalizing features by camera ({self.mode}, statistics of the {source} images) ...")
        if source == "training":
            gallery, numbers = training_set(self.engine, self.dataset)
            cameras = self._named(numbers)
        made = CameraStatistics.of(gallery, cameras, self.mode, fingerprint_of(self.engine.model), self.dataset)
        if self.save_dir and is_first_process():
            made.save(Path(self.save_dir) / f"camera_statistics-{self.dataset}.safetensors")
        return made


def training_set(engine: Any, target: str) -> tuple[Tensor, np.ndarray]:
    """Features of the training images that a target's own cameras took, and their cameras as the target counts them.

    Raises:
        CCAFLError: no source is of the target's cameras.
    """
    # Not at the top: the engine subclasses torchreid's when it is imported.
    from ccafl_plugin.engine.extraction import training_features

    source = source_with_cameras_of(target, engine.datamanager.sources)
    if source is None:
        raise CCAFLError(f"{KEY}: training, but no source is of the cameras of {target}; set it to gallery.")
    train = engine.datamanager.train_loader.dataset.train
    labels = ProxyLabels.from_tuples(train)
    features, _ = training_features(engine.datamanager, engine.model, labels)
    camids, sources = (np.array([train[image][place] for image in labels.path_order.tolist()]) for place in (2, 3))
    own = sources == source
    before = len(np.unique(camids[sources < source]))  # torchreid counts a source's cameras on from those before it
    return features.cpu()[own], camids[own] - before


_running: list[CameraTest] = []


def running() -> CameraTest | None:
    """The test that is on now, if it has to do with cameras."""
    return _running[-1] if _running else None


def evaluate_changes() -> list[Change]:
    """``Engine._evaluate`` without ranks beyond the curve, inside a :class:`CameraTest` if the options ask for one."""
    engine = attribute("engine.engine", "Engine", type)
    require_attributes(engine, "_evaluate", "parse_data_for_eval")
    original = vars(engine)["_evaluate"]
    signature = require_parameters(original, "dataset_name", "save_dir", "gallery_loader", "ranks", "use_metric_cuhk03")

    @functools.wraps(original)
    def _evaluate(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs)
        given.apply_defaults()
        values = given.arguments
        gallery = getattr(getattr(values["gallery_loader"], "dataset", None), "data", None)
        if gallery is not None:
            values["ranks"] = reachable_ranks(values["ranks"], gallery, values["use_metric_cuhk03"])
        if options.camera_normalization == "none" and not options.camera_rerank:
            return original(*given.args, **given.kwargs)
        test = CameraTest(args[0], values["dataset_name"], values["save_dir"])
        _running.append(test)
        try:
            with test.noting_cameras():
                return original(*given.args, **given.kwargs)
        finally:
            _running.remove(test)

    return [set_attribute(engine, "_evaluate", _evaluate)]
