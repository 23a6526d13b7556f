"""Features of images by an exported ONNX file, in onnxruntime."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ccafl_plugin.features.batch_extractor import BATCH_SIZE, BatchExtractor, input_transform
from ccafl_plugin.features.image_inputs import Images
from ccafl_plugin.features.onnx_file import OnnxDescription, open_session
from ccafl_plugin.features.reading_ahead import reading_threads
from ccafl_plugin.models.weights_description import WeightsDescription
from ccafl_plugin.utils.digests import digest_of_file
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.ranges import check_argument

KINDS = {"tensor(float)": torch.float32, "tensor(float16)": torch.float16}


class OnnxExtractor(BatchExtractor):
    """Features of images by an ONNX file that ``tools/export.py`` wrote, or by any other that is described.

    It has the interface of :class:`~ccafl_plugin.features.extractor.FeatureExtractor`, without texts and cameras. Rows
    have length 1.

    Args:
        weights: the file.
        device: such as ``cuda``, which needs onnxruntime-gpu; empty: the CPU.
        batch_size: images that the graph is given at a time.
        feature: empty, or the one that the file makes; another is refused.
        workers: threads that read and resize images; 0: one for each core, at most 8.
        description: of a file that does not describe itself: its first input takes images that are normalised with
            ``norm_mean`` and ``norm_std``, and its first output are the features.

    Attributes:
        description: of the weights.
        exported: what the file says of its input and precision.
        transform: from a PIL image to the graph's input.

    Raises:
        CCAFLError: the file can't be read, does not describe itself, takes or gives something else than it says, or
            onnxruntime is missing.
    """

    def __init__(
        self,
        weights: str | os.PathLike[str],
        device: str | torch.device = "",
        batch_size: int = BATCH_SIZE,
        feature: str = "",
        workers: int = 0,
        description: WeightsDescription | None = None,
    ) -> None:
        check_argument("batch_size", batch_size)
        check_argument("workers", workers)
        self.path = Path(weights).expanduser()
        self.device = torch.device(device or "cpu")
        self.session = open_session(self.path, self.device)
        if description is None:
            metadata = self.session.get_modelmeta().custom_metadata_map
            self.exported = OnnxDescription.from_metadata(metadata, self.path)
        else:
            self.exported = OnnxDescription(description, description.norm_mean, description.norm_std)
        self.description = self.exported.weights
        if feature and feature != self.description.feature:
            raise CCAFLError(f"feature: {self.path} makes the feature {self.description.feature!r}, not {feature!r}.")
        self.batch_size, self.workers = batch_size, reading_threads(workers)
        self._kind = self._checked_kind()
        self.transform = input_transform(self.description, self.exported.input_mean, self.exported.input_std)

    @cached_property
    def digest(self) -> str:
        """The sha256 by which features are known to be comparable, in hexadecimal digits.

        A float32 export makes the features of the weights that it was made of, to 1e-4, so it has their digest. Every
        other file has its own.
        """
        if self.exported.precision == "float32" and self.exported.source:
            return self.exported.source
        return digest_of_file(self.path)

    def __call__(self, images: Images, *, bgr: bool = False) -> Tensor:
        """Features of images, given in any way that ``FeatureExtractor`` takes.

        Args:
            images: paths, PIL images, (H, W, 3) uint8 arrays with red first, lists of these, or a folder.
            bgr: whether arrays have blue first, as OpenCV reads files.

        Returns:
            (n, D) float32 on the CPU, rows of length 1.

        Raises:
            CCAFLError: an image can't be read, or is none.
        """
        return self._of_all(images, bgr)

    def _features(self, inputs: Tensor) -> Tensor:
        given = {self.session.get_inputs()[0].name: inputs.to(self._kind).numpy()}
        try:
            found = self.session.run([self.session.get_outputs()[0].name], given)[0]
        except Exception as error:  # onnxruntime's own classes share no base but Exception
            reason = " ".join(str(error).split())[:160]
            raise CCAFLError(f"{self.path} can't be run on {len(inputs)} images: {reason}") from error
        features = torch.from_numpy(found).float()
        if features.shape != (len(inputs), self.feature_dim):
            raise CCAFLError(
                f"{self.path} gives {tuple(features.shape)} for {len(inputs)} images, but says {self.feature_dim} "
                "numbers each; describe it rightly."
            )
        return F.normalize(features, dim=1)

    def _checked_kind(self) -> torch.dtype:
        """The type of the graph's input, whose shape must be that of the description."""
        given: Any = self.session.get_inputs()
        shape, kind = list(given[0].shape), KINDS.get(given[0].type)
        wanted = [3, self.description.height, self.description.width]
        fits = len(shape) == 4 and all(not isinstance(n, int) or n == m for n, m in zip(shape[1:], wanted, strict=True))
        if len(given) != 1 or kind is None or not fits:
            raise CCAFLError(
                f"{self.path} takes {len(given)} inputs, the first {given[0].type} of shape {shape}; expected one of "
                f"(batch, {', '.join(map(str, wanted))}) in float32 or float16."
            )
        return kind
