"""The names that torchreid's builders take, the plugin's included once it is registered."""

from __future__ import annotations

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
