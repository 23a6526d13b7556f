"""Camera-wise normalisation: what a camera adds to all of its features is taken out again, without labels.

Song, Park and Lee, "Exploring the Camera Bias of Person Re-identification", ICLR 2025. A camera's light, colours and
background move and stretch its features, so that images of one camera look alike. Each camera's mean, or mean and
standard deviation, over a set of images are known without any identity.
"""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ccafl_plugin.metrics.features_with_cameras import (
    Cameras,
    camera_names,
    camera_of_each,
    check_features,
    listed,
    unit_rows,
)
from ccafl_plugin.utils.camera_moments import (
    FLOOR,
    TEST_MODES,
    Moments,
    check_mode,
    directions_between,
    moments,
    pulled,
    scaled_to_unit_length,
    united,
    without,
    without_directions,
)
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.files import write_whole

NAME = "camera_statistics"
"""Of the statistics among other tensors and in a file's metadata."""

ROWS_AT_ONCE = 8192
"""Rows that are held in float64 where cameras don't divide them."""


class UnknownCameraWarning(UserWarning):
    """Images of a camera without statistics were normalised by those of all cameras."""


@dataclasses.dataclass(frozen=True, eq=False)
class CameraStatistics:
    """Mean and variance of the features of each camera.

    A row is scaled to length 1, its camera's mean is subtracted, in mode ``mean_std`` it is divided by
    ``sqrt(variance + 1e-12)``, and it is scaled to length 1 again. Mean and variance are the camera's own pulled
    towards those of all images with the strength of two images
    (:func:`~ccafl_plugin.utils.camera_moments.pulled`), as the association ``margin`` has them. A dimension that is
    the same in all images of which the statistics are says nothing: in mode ``mean_std``, which would divide by nearly
    0, it becomes 0. All is computed in float64.

    In mode ``erase`` no image's own camera is needed: from every row the mean of the cameras' means is subtracted, and
    its part along the differences of these means is taken out, at most C - 1 of its D directions. Behind it the means
    of all cameras are equal, and nothing linear tells the cameras of the statistics' images by them.

    Statistics are made by :meth:`of` and read by :meth:`load`.

    Attributes:
        cameras: (C,) names of the cameras, whole numbers or words, ascending.
        counts: (C,) int64, images of each.
        mean: (C, D) float64, of each camera alone.
        variance: (C, D) float64, of each camera alone.
        mode: ``mean``, ``mean_std`` or ``erase``.
        fingerprint: names the weights that made the features; empty: not known.
        dataset: names the set that the cameras belong to, as camera 1 of another one is another camera; empty: not
            known.
    """

    cameras: tuple[int, ...] | tuple[str, ...]
    counts: Tensor
    mean: Tensor
    variance: Tensor
    mode: str = "mean_std"
    fingerprint: str = ""
    dataset: str = ""

    def __post_init__(self) -> None:
        check_mode("camera normalisation", self.mode, TEST_MODES)
        count = len(self.cameras)
        shapes = [tuple(x.shape) for x in (self.counts, self.mean, self.variance)]
        if count == 0 or self.mean.ndim != 2 or shapes != [(count,), (count, self.dim), (count, self.dim)]:
            raise CCAFLError(
                f"camera statistics: {count} cameras need counts (C,), mean (C, D) and variance (C, D), got "
                f"{', '.join(map(str, shapes))}."
            )
        finite = all(bool(torch.isfinite(x).all()) for x in (self.mean, self.variance))
        if not finite or int(self.counts.min()) < 1 or float(self.variance.min()) < 0:
            raise CCAFLError(
                "camera statistics: means and variances must be finite, variances not below 0, and every camera needs "
                "an image; make them anew."
            )

    @property
    def dim(self) -> int:
        """D, numbers of a feature."""
        return self.mean.shape[-1]

    @classmethod
    def of(
        cls,
        features: Tensor,
        cameras: Cameras | None,
        mode: str = "mean_std",
        fingerprint: str = "",
        dataset: str = "",
    ) -> CameraStatistics:
        """The statistics of a set of images.

        Args:
            features: (M, D) float, finite, of any length, on any device.
            cameras: (M,) the camera of each, whole numbers or words.
            mode: ``mean``, ``mean_std`` or ``erase``.
            fingerprint: names the weights that made the features.
            dataset: names the set that the cameras belong to.

        Raises:
            CCAFLError: no images, no cameras, shapes that don't fit, features that aren't finite, an unknown mode.
        """
        check_mode("camera normalisation", mode, TEST_MODES)
        names = camera_of_each(features, cameras)
        if not len(names):
            raise CCAFLError("camera normalisation: there are no images to take statistics of.")
        found, camera = np.unique(names, return_inverse=True)
        parts = [moments(unit_rows(features, camera == number)) for number in range(len(found))]
        return cls(
            cameras=tuple(found.tolist()),
            counts=torch.tensor([part.images for part in parts]),
            mean=torch.from_numpy(np.stack([part.mean for part in parts])),
            variance=torch.from_numpy(np.stack([part.variance for part in parts])),
            mode=mode,
            fingerprint=fingerprint,
            dataset=dataset,
        )

    def apply(self, features: Tensor, cameras: Cameras | None) -> Tensor:
        """Features without what their cameras add.

        Images of a camera without statistics get those of all images, with one warning that names the cameras.

        Args:
            features: (M, D) float, finite, of any length, on any device.
            cameras: (M,) the camera of each; in mode ``erase`` it is not read and may be None.

        Returns:
            (M, D) on the same device, float32 or wider, rows of length 1; a row without anything left is 0. The
            features themselves are left as they are.

        Raises:
            CCAFLError: no cameras, shapes that don't fit, features that aren't finite.
        """
        if self.mode == "erase":
            return self._erase(features)
        names = camera_of_each(features, cameras)
        self.check(features.shape[1])
        places = {name: place for place, name in enumerate(self.cameras)}
        own = self._moments()
        everything = united(own)
        varies = everything.variance > FLOOR
        result = torch.empty(features.shape, dtype=torch.promote_types(features.dtype, torch.float32))
        unknown = []
        for name in dict.fromkeys(names.tolist()):
            if name not in places:
                unknown.append(name)
            of = pulled(own[places[name]], everything) if name in places else everything
            members = names == name
            rows = unit_rows(features, members)
            rows = without(rows, of, self.mode)
            if self.mode == "mean_std":
                rows[:, ~varies] = 0
            result[torch.from_numpy(members)] = torch.from_numpy(scaled_to_unit_length(rows)).to(result.dtype)
        if unknown:
            warnings.warn(
                f"camera normalisation: no statistics of {listed(unknown)}, only of {listed(self.cameras)}; images "
                "of the former get the statistics of all cameras.",
                UnknownCameraWarning,
                stacklevel=2,
            )
        return result.to(features.device)

    def check(
        self,
        dim: int | None = None,
        cameras: Cameras | None = None,
        fingerprint: str = "",
        dataset: str = "",
        what: str = "camera statistics",
    ) -> None:
        """Whether these are statistics of such features. What isn't given, or isn't known of the statistics, fits.

        Args:
            dim: D of the features.
            cameras: of the images; one at least has to be known.
            fingerprint: of the weights that make the features.
            dataset: that the images belong to.
            what: the statistics' name in the error, a config key and a file for instance.

        Raises:
            CCAFLError: statistics of features of another size, of other weights or of other cameras.
        """
        if dim is not None and dim != self.dim:
            raise CCAFLError(f"{what}: made of features of {self.dim} numbers, these have {dim}; make them anew.")
        if fingerprint and self.fingerprint and fingerprint != self.fingerprint:
            raise CCAFLError(
                f"{what}: made with other weights ({self.fingerprint}) than the model's ({fingerprint}); make them "
                "anew with these."
            )
        if dataset and self.dataset and dataset != self.dataset:
            raise CCAFLError(f"{what}: of the cameras of {self.dataset}, but the images are of {dataset}.")
        if cameras is not None:
            given = np.unique(camera_names(cameras)).tolist()
            if given and not set(given) & set(self.cameras):
                raise CCAFLError(f"{what}: of {listed(self.cameras)}, but the images are of {listed(given)}.")

    def to_tensors(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """All that :meth:`from_tensors` needs, named so that it can stand among the tensors of a weights file.

        Returns:
            Tensors by name, and text for the file's metadata.
        """
        words = {name: getattr(self, name) for name in ("cameras", "mode", "fingerprint", "dataset")}
        tensors = {"counts": self.counts, "mean": self.mean, "variance": self.variance}
        return {f"{NAME}.{name}": tensor for name, tensor in tensors.items()}, {NAME: json.dumps(words)}

    @classmethod
    def from_tensors(
        cls, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None, what: str = "camera statistics"
    ) -> CameraStatistics:
        """The way back from :meth:`to_tensors`; other tensors and other metadata are ignored.

        Raises:
            CCAFLError: no statistics there, or broken ones.
        """
        try:
            words: dict[str, Any] = json.loads((metadata or {})[NAME])
            counts, mean, variance = (tensors[f"{NAME}.{name}"] for name in ("counts", "mean", "variance"))
            return cls(counts=counts, mean=mean, variance=variance, **{**words, "cameras": tuple(words["cameras"])})
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise CCAFLError(f"{what}: no camera statistics there, such as CameraStatistics.save writes.") from error

    def save(self, path: str | Path) -> None:
        """Writes a safetensors file; it is whole or not there.

        Raises:
            CCAFLError: it can't be written.
        """
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        tensors, metadata = self.to_tensors()
        try:
            write_whole(Path(path), lambda file: save_file(tensors, file, metadata))
        except (OSError, SafetensorError) as error:
            raise CCAFLError(f"camera statistics: {str(path)!r} can't be written: {error}.") from error

    @classmethod
    def load(cls, path: str | Path, what: str = "camera statistics") -> CameraStatistics:
        """Reads what :meth:`save` wrote, or the statistics in a safetensors file of weights.

        Args:
            path: the file.
            what: its name in errors, a config key for instance.

        Raises:
            CCAFLError: no such file, or no statistics in it.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(str(path), framework="pt") as file:
                names = [name for name in file.keys() if name.startswith(f"{NAME}.")]  # noqa: SIM118
                tensors, metadata = {name: file.get_tensor(name) for name in names}, file.metadata()
        except (OSError, SafetensorError) as error:
            raise CCAFLError(f"{what}: {str(path)!r} can't be read as a safetensors file ({error}).") from error
        return cls.from_tensors(tensors, metadata, f"{what}: {str(path)!r}")

    def _erase(self, features: Tensor) -> Tensor:
        check_features(features)
        self.check(features.shape[1])
        own = self._moments()
        everything = united(own)
        centre, basis = directions_between(np.stack([pulled(each, everything).mean for each in own]))
        result = torch.empty(features.shape, dtype=torch.promote_types(features.dtype, torch.float32))
        for first in range(0, len(features), ROWS_AT_ONCE):
            some = features[first : first + ROWS_AT_ONCE]
            rows = without_directions(unit_rows(some, np.ones(len(some), dtype=bool)), centre, basis)
            result[first : first + len(some)] = torch.from_numpy(scaled_to_unit_length(rows)).to(result.dtype)
        return result.to(features.device)

    def _moments(self) -> list[Moments]:
        rows = zip(self.counts.tolist(), self.mean.double().numpy(), self.variance.double().numpy(), strict=True)
        return [Moments(count, mean, variance) for count, mean, variance in rows]
