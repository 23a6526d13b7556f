"""The lists behind a data manager, looked at before a model is built: labels, batches, and what was left out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from ccafl_plugin.data.own_folder import ENDINGS
from ccafl_plugin.utils.errors import CCAFLError

Entries = Sequence[tuple[Any, ...]]
"""(path, person, camera, dataset) of each image."""


def check_labels(train: Entries, query: Entries, gallery: Entries, dataset: str) -> None:
    """Checks that no label is below 0; a gallery may have distractors of person -1.

    Raises:
        CCAFLError: one is; its file is named.
    """
    for part, entries, lowest in (("train", train, 0), ("query", query, 0), ("gallery", gallery, -1)):
        for path, person, camera, *_ in entries:
            if camera < 0 or person < lowest:
                what = f"camera {camera}" if camera < 0 else f"person {person}"
                raise CCAFLError(
                    f"{dataset}: the image {path} of its {part} list is of {what}; both are numbered from 0 there. "
                    "Rename or remove it."
                )


def check_batches(train: Entries, batches: int, batch_size: int) -> None:
    """Checks that an epoch has at least one batch; torchreid trains on none without a word.

    Args:
        train: the training list.
        batches: number of batches of an epoch.
        batch_size: images of a batch.

    Raises:
        CCAFLError: there is none.
    """
    if batches == 0:
        raise CCAFLError(
            f"train.batch_size: {batch_size} images of a batch are more than an epoch has ({len(train)} training "
            f"images). Set it to at most {len(train)}, or add images."
        )


def check_classes(train: Entries, classes: int, loss: str) -> None:
    """Checks that people are numbered without gaps, as torchreid's own losses take for granted.

    Args:
        train: the training list.
        classes: number of people in it.
        loss: name of the loss, for messages.

    Raises:
        CCAFLError: a number is beyond their number, or there is one person only.
    """
    beyond = [entry for entry in train if entry[1] >= classes]
    if beyond:
        path, person, *_ = beyond[0]
        raise CCAFLError(
            f"loss.name: {loss} needs people numbered 0 to {classes - 1} without gaps, but {path} is of person "
            f"{person}. Number them anew in the dataset, or train with loss.name ccafl, which does so itself."
        )
    if classes < 2:
        raise CCAFLError(f"loss.name: {loss} tells people apart, but the training set has {classes}. Add people.")


def left_out_lines(dataset: str, lists: Sequence[Entries]) -> Iterator[str]:
    """Lines about image files beside a dataset's images that no list names.

    Args:
        dataset: its name.
        lists: all of its lists.
    """
    listed = {os.fspath(entry[0]) for entries in lists for entry in entries}
    junk: list[str] = []
    others: list[str] = []
    for folder in sorted({os.path.dirname(path) for path in listed}):
        for name in sorted(_names(folder)):
            if name.lower().endswith(ENDINGS) and not name.startswith(".") and os.path.join(folder, name) not in listed:
                (junk if name.startswith("-1_") else others).append(os.path.join(folder, name))
    for files, why in ((junk, "junk (person -1)"), (others, "in none of its lists")):
        if files:
            yield f"{dataset}: {len(files)} images are left out, {why}, e.g. {files[0]}"


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:  # one that a list names wrongly
        return []
