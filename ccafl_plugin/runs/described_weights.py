"""The weights with their description at the end of a training, and what a configuration says against a description."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn
from yacs.config import CfgNode

from ccafl_plugin.metrics import CameraStatistics
from ccafl_plugin.models.described_model import activation_in, feature_dim_of
from ccafl_plugin.models.trained_weights import fingerprint_of
from ccafl_plugin.models.weights_description import (
    FILE,
    NOT_SAID,
    WeightsDescription,
    is_described,
    read_description,
    save,
)
from ccafl_plugin.utils.distributed import unwrap
from ccafl_plugin.utils.errors import CCAFLError


def write_weights(config: CfgNode, model: nn.Module, datamanager: Any) -> Path:
    """Writes ``weights.safetensors`` into a run's folder and prints a line that names it.

    Camera statistics that the run's tests made of these weights go in too, if they are of one dataset only.

    Args:
        config: of the run.
        model: the trained model.
        datamanager: of the run; its training list is counted.

    Returns:
        The file.
    """
    folder = Path(config.data.save_dir)
    target: Any = unwrap(model)
    text = target.text_encoder.state_dict() if config.ccafl.save_text_encoder else None
    statistics = _statistics(folder, list(config.data.targets), model)
    cameras = None if statistics is None else statistics.to_tensors()
    description = describe(config, model, trained_on(config, datamanager.train_loader.dataset.train))
    save(folder / FILE, description, target.state_dict(), text, cameras)
    print(f"Weights with their description, for ccafl_plugin.features.FeatureExtractor: {folder / FILE}")
    return folder / FILE


def describe(config: CfgNode, model: nn.Module, trained_on: str) -> WeightsDescription:
    """The description of a model that was trained with a configuration.

    Args:
        config: of the training.
        model: in any mode, on any device; it is run once.
        trained_on: the training data, in words.
    """
    data = config.data
    target: Any = unwrap(model)
    return WeightsDescription(
        model=config.model.name,
        height=data.height,
        width=data.width,
        feature_dim=feature_dim_of(target, data.height, data.width),
        norm_mean=tuple(data.norm_mean),
        norm_std=tuple(data.norm_std),
        interpolation=interpolation_of(config),
        activation=activation_in(target),
        embedding_dim=getattr(target, "embedding_dim", 0) if getattr(target, "is_ccafl_backbone", False) else 0,
        trained_on=trained_on,
        licence=config.ccafl.licence or NOT_SAID,
    )


def interpolation_of(config: CfgNode) -> str:
    """With which interpolation a configuration resizes images."""
    return "bicubic" if "bicubic_resize" in [name.lower() for name in config.data.transforms] else "bilinear"


def trained_on(config: CfgNode, train: list[tuple[Any, ...]]) -> str:
    """The training data in words: datasets, how many images, cameras and proxies, and which labels were used."""
    cameras = {(dsetid, camid) for _, _, camid, dsetid in train}
    proxies = {(dsetid, camid, pid) for _, pid, camid, dsetid in train}
    supervision = config.ccafl.supervision if config.loss.name == "ccafl" else "full"
    return (
        f"{' + '.join(config.data.sources)}: {len(train)} images, {len(cameras)} cameras, {len(proxies)} proxies; "
        f"{supervision} labels; epochs: {config.train.max_epoch}"
    )


def compare_with_description(config: CfgNode) -> None:
    """Compares the configuration with the description of the file in ``model.load_weights``, if it has one.

    In a training, what differs is printed in one line: the weights are a start, and the run may go elsewhere.

    Raises:
        CCAFLError: it names another model, or another feature than a test uses, or a test would not see images as the
            training did.
    """
    file = config.model.load_weights
    if not is_described(file):
        return
    description = read_description(file)
    if description.model != config.model.name:
        raise CCAFLError(
            f"model.load_weights: {file!r} holds weights of {description.model}, but model.name is "
            f"{config.model.name}; set it to {description.model}."
        )
    if config.test.evaluate and description.feature != "retrieval":
        raise CCAFLError(
            f"model.load_weights: {file!r} describes the feature {description.feature}, and a test uses the feature "
            "retrieval of its model. Make features by ccafl_plugin.features, or ccafl-extract."
        )
    data = config.data
    found = description.conflicts(
        height=data.height,
        width=data.width,
        norm_mean=data.norm_mean,
        norm_std=data.norm_std,
        interpolation=interpolation_of(config),
    )
    found = [f"data.{phrase}" if not phrase.startswith("interp") else phrase for phrase in found]
    asked = config.ccafl.clip_activation
    if asked and description.activation:
        found += [f"ccafl.clip_{phrase}" for phrase in description.conflicts(activation=asked)]
    if not found:
        return
    if config.test.evaluate:
        how = ", and add bicubic_resize to data.transforms or take it out" * any("interp" in phrase for phrase in found)
        raise CCAFLError(
            f"model.load_weights: the test differs from the training of {file!r}: {', '.join(found)}. Set the latter"
            f"{how}."
        )
    print(f"This run differs from the training of {file}: {', '.join(found)}")


def _statistics(folder: Path, targets: list[str], model: nn.Module) -> CameraStatistics | None:
    """The camera statistics that the tests of a run wrote, if they are of these weights and of one dataset."""
    files = [folder / f"camera_statistics-{name}.safetensors" for name in targets]
    found = [CameraStatistics.load(file) for file in files if file.is_file()]
    found = [each for each in found if each.fingerprint == fingerprint_of(model)] if found else []
    return found[0] if len(found) == 1 else None
