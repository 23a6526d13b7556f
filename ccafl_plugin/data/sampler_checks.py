"""What torchreid's own samplers fail at, without a word or never ending, said before they are made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ccafl_plugin.utils.errors import WrongArgument

SAMPLER_ARGUMENTS = ("data_source", "train_sampler", "batch_size", "num_instances", "num_cams", "num_datasets")
"""Arguments of torchreid's ``build_train_sampler`` that are read here."""

_GROUPS = {
    "RandomDomainSampler": ("num_cams", 2, "cameras"),
    "RandomDatasetSampler": ("num_datasets", 3, "datasets"),
}
"""Sampler -> argument that counts the groups of a batch, place of the group in an image's entry, its name."""


def check_torchreids_sampler(
    data_source: Sequence[tuple[Any, ...]],
    train_sampler: str,
    batch_size: int | None = None,
    num_instances: int | None = None,
    num_cams: int | None = None,
    num_datasets: int | None = None,
) -> None:
    """Checks that a batch of one of torchreid's samplers can be filled.

    Args:
        data_source: (path, person, camera, dataset) of every training image.
        train_sampler: name of the sampler; other samplers pass.
        batch_size: images in a batch.
        num_instances: images of a person in a batch of ``RandomIdentitySampler``.
        num_cams: cameras in a batch of ``RandomDomainSampler``; 0 or None: all.
        num_datasets: datasets in a batch of ``RandomDatasetSampler``; 0 or None: all.

    Raises:
        CCAFLError: a batch needs more groups, or more images of one, than there are.
    """
    if not data_source or not batch_size:
        return
    if train_sampler in _GROUPS:
        argument, place, groups = _GROUPS[train_sampler]
        images = Counter(entry[place] for entry in data_source)
        wanted = (num_cams if argument == "num_cams" else num_datasets) or len(images)
        if wanted > len(images):
            raise WrongArgument(
                f"{{{argument}}}: {wanted} {groups} in a batch are more than the {len(images)} of the training set."
            )
        if batch_size % wanted:
            raise WrongArgument(f"{{batch_size}}: {batch_size} images can't be shared out to {wanted} {groups} evenly.")
        if batch_size // wanted > min(images.values()):
            raise WrongArgument(
                f"{{batch_size}}: {batch_size // wanted} images of each of {wanted} {groups} are more than one of them "
                f"has ({min(images.values())}); set a smaller batch."
            )
    elif train_sampler == "RandomIdentitySampler" and num_instances:
        people = len({entry[1] for entry in data_source})
        wanted = batch_size // num_instances
        if not 1 <= wanted <= people:
            raise WrongArgument(
                f"{{batch_size}}: a batch of {batch_size} images, {num_instances} of a person, holds {wanted} people; "
                f"the training set has {people}. Set batch_size and num_instances so that it holds 1 to {people}."
            )
