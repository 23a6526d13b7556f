"""The names that torchreid's builders accept, including the plugin's names once it is registered."""

from __future__ import annotations

from collections.abc import Sequence

from ccafl_plugin.integration.images import TRANSFORMS
from ccafl_plugin.integration.torchreid_layout import attribute


def model_names() -> list[str]:
    """Names for ``torchreid.models.build_model``."""
    return list(attribute("models", "__model_factory", dict))


def sampler_names() -> list[str]:
    """Names for ``train_sampler`` of torchreid's data managers."""
    return list(attribute("data.sampler", "AVAI_SAMPLERS", list))


def transform_names() -> list[str]:
    """Names for ``transforms`` of torchreid's data managers."""
    return list(TRANSFORMS)


def optimizer_names() -> list[str]:
    """Names for ``torchreid.optim.build_optimizer``."""
    return list(attribute("optim.optimizer", "AVAI_OPTIMS", list))


def scheduler_names() -> list[str]:
    """Names for ``torchreid.optim.build_lr_scheduler``."""
    return list(attribute("optim.lr_scheduler", "AVAI_SCH", list))


def dataset_classes() -> dict[str, type]:
    """torchreid's image datasets by name."""
    return dict(attribute("data.datasets", "__image_datasets", dict))


def source_with_cameras_of(target: str, sources: Sequence[str]) -> int | None:
    """Which of the training sets was taken by a test set's own cameras.

    Args:
        target: name of the test set.
        sources: names of the training sets.

    Returns:
        Its place among the sources: the target itself, else one that torchreid reads from the same folder
        (``msmt17_trainval`` for ``msmt17``); None if there is none.
    """
    classes = dataset_classes()

    def folder(name: str) -> str:
        return getattr(classes.get(name), "dataset_dir", None) or name

    for same in (lambda source: source == target, lambda source: folder(source) == folder(target)):
        for place, source in enumerate(sources):
            if same(source):
                return place
    return None
