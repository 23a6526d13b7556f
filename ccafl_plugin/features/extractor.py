"""Features of images, and of texts, by weights that describe themselves."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor

from ccafl_plugin.features.batch_extractor import BATCH_SIZE, BatchExtractor, input_transform
from ccafl_plugin.features.image_inputs import Images, OneImage
from ccafl_plugin.features.onnx_extractor import OnnxExtractor
from ccafl_plugin.features.reading_ahead import reading_threads
from ccafl_plugin.features.zoo import ZOO
from ccafl_plugin.metrics import CameraStatistics
from ccafl_plugin.metrics.features_with_cameras import Cameras
from ccafl_plugin.models.described_model import FeatureModel, build_described, feature_dims
from ccafl_plugin.models.named_weights import file_of_weights, read_weights_file
from ccafl_plugin.models.weights_description import FEATURES, WeightsDescription
from ccafl_plugin.utils.digests import digest_of_file
from ccafl_plugin.utils.dtypes import convolutions_like_products
from ccafl_plugin.utils.errors import CCAFLError, unknown_name
from ccafl_plugin.utils.ranges import check_argument

HOW_TO_KEEP_TEXT = (
    "Train with ccafl.save_text_encoder True, or add it with ccafl-convert-weights --text-encoder CLIP_FILE"
)


@runtime_checkable
class Extractor(Protocol):
    """What makes features of images, whatever format its weights have."""

    @property
    def description(self) -> WeightsDescription:
        """Of the weights."""

    @property
    def feature_dim(self) -> int:
        """D."""

    @property
    def digest(self) -> str:
        """The sha256 of the weights file in hexadecimal digits; features of other weights can't be compared."""

    def __call__(self, images: Images, *, bgr: bool = False) -> Tensor:
        """(n, D) float32 on the CPU, rows of length 1."""

    def batches(self, images: Sequence[OneImage], *, bgr: bool = False) -> Iterator[Tensor]:
        """The same, a batch at a time."""


class FeatureExtractor(BatchExtractor):
    """Features of images by a file of weights that describes itself.

    An image gives the same feature whichever way it comes and whatever else is in its batch, but for rounding (1e-6).
    Rows have length 1, so their product is the cosine.

    Args:
        weights: the file, or a run's folder, whose ``weights.safetensors`` is taken, or ``clip_tiny``, which comes with
            the package (:mod:`ccafl_plugin.models.named_weights`).
        device: such as ``cuda``; empty: the GPU if there is one.
        batch_size: images that the model is given at a time.
        feature: ``retrieval`` or ``embedding`` (CLIP's own, to be compared with :meth:`encode_text`); empty: the one
            that the weights describe.
        workers: threads that read and resize images; 0: one for each core, at most 8.

    Attributes:
        description: of the weights, with the feature that was asked for and its length.
        model: the model, in eval mode.
        encoder: the part of it that makes the features: (B, 3, height, width) float -> (B, D) with rows of length 1.
        transform: from a PIL image to the model's input.
        camera_statistics: :class:`~ccafl_plugin.metrics.CameraStatistics` in the file; None: there are none.

    Raises:
        CCAFLError: the file can't be read or does not describe itself, its model is not known, or has no such feature.

    Example::

        extractor = FeatureExtractor("log/weights.safetensors")
        query, gallery = extractor("query.jpg"), extractor("gallery/")
        similarity = query @ gallery.T
    """

    def __init__(
        self,
        weights: str | os.PathLike[str],
        device: str | torch.device = "",
        batch_size: int = BATCH_SIZE,
        feature: str = "",
        workers: int = 0,
    ) -> None:
        check_argument("batch_size", batch_size)
        check_argument("workers", workers)
        self.path = file_of_weights(weights)
        content = read_weights_file(self.path)
        described = content.description
        model: Any = build_described(content, self.path)
        if (feature or described.feature) not in FEATURES:
            raise unknown_name("feature", feature, FEATURES)
        if feature and feature != described.feature:
            described = _with_feature(described, feature, model, self.path)
        self.description = described
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.batch_size = batch_size
        self.workers = reading_threads(workers)
        self.model = model.to(self.device)
        self.encoder = FeatureModel(model, described.feature)
        self.has_text_encoder = bool(content.text)
        if self.has_text_encoder:
            model.text_encoder.to(self.device)
        self.transform = input_transform(described, described.norm_mean, described.norm_std)
        self.camera_statistics = None
        if content.cameras is not None:
            self.camera_statistics = CameraStatistics.from_tensors(*content.cameras, what=str(self.path))

    @cached_property
    def digest(self) -> str:
        """The sha256 of the weights file in hexadecimal digits; it is computed once."""
        return digest_of_file(self.path)

    def __call__(self, images: Images, *, bgr: bool = False, cameras: Cameras | None = None) -> Tensor:
        """Features of images.

        Args:
            images: a path, a PIL image, an (H, W, 3) uint8 array with red first, a list of these, (n, H, W, 3) uint8,
                or a folder, whose images come sorted by path
                (:func:`~ccafl_plugin.features.image_inputs.images_of`).
            bgr: whether arrays have blue first, as OpenCV reads files.
            cameras: (n,) the camera of each; given, what a camera adds to its features is taken out by the statistics
                in the file.

        Returns:
            (n, D) float32 on the CPU, rows of length 1.

        Raises:
            CCAFLError: an image can't be read, or is none; cameras, but no statistics in the file.
        """
        if cameras is not None and self.camera_statistics is None:
            raise CCAFLError(f"cameras: {self.path} holds no camera statistics. Leave the cameras away, or add them.")
        features = self._of_all(images, bgr)
        if cameras is None or self.camera_statistics is None:
            return features
        return self.camera_statistics.apply(features, cameras)

    @torch.no_grad()
    def encode_text(self, texts: str | Sequence[str]) -> Tensor:
        """Features of texts, to be compared with features of images of the kind ``embedding``.

        Args:
            texts: one or more; a text that is longer than the context of the model is cut.

        Returns:
            (n, E) float32 on the CPU, rows of length 1.

        Raises:
            CCAFLError: the file holds no text encoder.
        """
        if not self.has_text_encoder:
            raise CCAFLError(f"text: {self.path} holds no text encoder. {HOW_TO_KEEP_TEXT}.")
        given = [texts] if isinstance(texts, str) else list(texts)
        encoder = self.model.text_encoder
        parts = [given[first : first + self.batch_size] for first in range(0, len(given), self.batch_size)]
        tokens = [encoder.tokenize(part).to(self.device) for part in parts]
        rows = [F.normalize(encoder(part).float(), dim=1).cpu() for part in tokens]
        return torch.cat(rows) if rows else torch.empty(0, encoder.embed_dim)

    @torch.no_grad()
    @convolutions_like_products()
    def _features(self, inputs: Tensor) -> Tensor:
        made: Tensor = self.encoder(inputs.to(self.device)).cpu()
        return made


def open_extractor(weights: str | os.PathLike[str], **settings: Any) -> Extractor:
    """The extractor for a file of weights, by the file's kind.

    Args:
        weights: a file that describes itself, an exported ONNX file, a run's folder, or ``clip_tiny``, which comes with
            the package.
        **settings: of the extractor, such as ``device`` and ``batch_size``.

    Raises:
        CCAFLError: the file can't be read, or is of a kind that has no extractor.
    """
    name = os.fspath(weights)
    if name in ZOO and not Path(name).exists():
        raise CCAFLError(
            f"weights: {name!r} names published weights, of which a file has to be made first: "
            f"tools/convert_weights.py {name} --out {name}.safetensors"
        )
    if Path(weights).suffix.lower() == ".onnx":
        return OnnxExtractor(weights, **settings)
    return FeatureExtractor(weights, **settings)


def _with_feature(described: WeightsDescription, feature: str, model: Any, path: Path) -> WeightsDescription:
    """The description of another feature of the same weights.

    Raises:
        CCAFLError: the model has none.
    """
    if not described.embedding_dim:
        raise CCAFLError(f"feature: {described.model} in {path} has no {feature}; use the feature retrieval.")
    if described.feature == "embedding":
        raise CCAFLError(
            f"feature: {path} holds CLIP's own weights, whose retrieval feature was never trained; use embedding."
        )
    return dataclasses.replace(described, feature=feature, feature_dim=feature_dims(model)[feature])
