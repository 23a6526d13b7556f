"""torchreid's ``FeatureExtractor``: the plugin's models, and files of weights that describe themselves."""

from __future__ import annotations

import functools
from typing import Any

from ccafl_plugin.integration.changes import Change, set_attribute
from ccafl_plugin.integration.images import bicubic
from ccafl_plugin.integration.torchreid_layout import attribute, require_parameters
from ccafl_plugin.models.weights_description import WeightsDescription, is_described, read_description
from ccafl_plugin.options import options
from ccafl_plugin.utils.errors import CCAFLError


def extractor_changes() -> list[Change]:
    """``FeatureExtractor`` builds models for its image size, resizes as in training, and follows a file's description.

    What the caller leaves at torchreid's default comes from the description; what he names must agree with it.
    """
    extractor = attribute("utils.feature_extractor", "FeatureExtractor", type)
    original = extractor.__init__
    signature = require_parameters(
        original, "model_name", "model_path", "image_size", "pixel_mean", "pixel_std", "pixel_norm"
    )

    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        given = signature.bind(self, *args, **kwargs)
        named = dict(given.arguments)
        given.apply_defaults()
        path = given.arguments["model_path"]
        described = read_description(path) if path and is_described(path) else None
        if described is not None:
            _check(described, path, named)
            given.arguments.update(
                model_name=described.model,
                image_size=(described.height, described.width),
                pixel_mean=list(described.norm_mean),
                pixel_std=list(described.norm_std),
            )
        activation = described.activation if described is not None else options.clip_activation
        with options.override(input_size=_size(given.arguments["image_size"]), clip_activation=activation):
            original(*given.args, **given.kwargs)  # torchreid skips positional embeddings of another size
        if described is not None:
            if described.interpolation == "bicubic":
                self.preprocess = bicubic(self.preprocess)
        elif getattr(self.model, "is_ccafl_backbone", False):
            self.preprocess = bicubic(self.preprocess)

    return [set_attribute(extractor, "__init__", __init__)]


def _size(size: Any) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else tuple(size)


def _check(described: WeightsDescription, path: str, named: dict[str, Any]) -> None:
    """Refuses arguments that contradict a file.

    Args:
        described: the file's description.
        path: the file.
        named: the arguments that the caller named.

    Raises:
        CCAFLError: one does, or the file holds CLIP's own weights, whose retrieval feature was never trained.
    """
    if described.feature != "retrieval":
        raise CCAFLError(
            f"FeatureExtractor: {path!r} holds {described.feature} features, which torchreid's extractor does not make;"
            " use ccafl_plugin.features.FeatureExtractor."
        )
    said: dict[str, Any] = {}
    if named.get("model_name"):
        said["model"] = named["model_name"]
    if "image_size" in named:
        said["height"], said["width"] = _size(named["image_size"])
    for argument, name in (("pixel_mean", "norm_mean"), ("pixel_std", "norm_std")):
        if argument in named:
            said[name] = named[argument]
    found = described.conflicts(**said)
    if not named.get("pixel_norm", True):
        found.append("pixel_norm False")
    if found:
        raise CCAFLError(
            f"FeatureExtractor: {path!r} was trained otherwise: {', '.join(found)}. Leave these arguments away."
        )
