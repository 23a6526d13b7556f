"""The training lists of a configuration's sources, counted before anything is built."""

from __future__ import annotations

from typing import Any

import torchreid
from yacs.config import CfgNode

from ccafl_plugin.config.fitted_settings import Counts, fitted_settings
from ccafl_plugin.runs.dataset_door import named_datasets


def fit_to_data(config: CfgNode) -> tuple[Counts, dict[str, Any]]:
    """Counts the training images and gives the settings that follow.

    Args:
        config: a checked configuration, in whose root the sources lie.

    Raises:
        CCAFLError: data that are wrong or too few.
    """
    train = []
    for number, name in enumerate(config.data.sources):
        with named_datasets():
            dataset = torchreid.data.datasets.init_image_dataset(
                name,
                root=config.data.root,
                mode="train",
                combineall=config.data.combineall,
                split_id=config.data.split_id,
                verbose=False,
            )
        train += [(path, pid, camid, number) for path, pid, camid, *_ in dataset.train]
    counts = Counts.of(train)
    return counts, fitted_settings(
        counts, config.train.batch_size, config.sampler.num_instances, max(config.train.max_epoch, 1)
    )
