"""``folder`` and ``tracks``: data of one's own as datasets of the torchreid that is installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from ccafl_plugin.data.own_images import OwnImages, read_own_folder, read_own_tracks
from ccafl_plugin.options import options
from ccafl_plugin.own_settings import OwnData
from ccafl_plugin.utils.errors import CCAFLError

READERS: dict[str, Callable[[Path, OwnData], OwnImages]] = {"folder": read_own_folder, "tracks": read_own_tracks}
"""What reads each dataset, by its name."""


def build_folder(torchreid: ModuleType) -> type:
    """The dataset class ``folder``; ``torchreid`` is the package below which torchreid's ``data`` lies."""

    base: Any = _own_dataset(torchreid, "folder")

    class Folder(base):
        """Images of one's own by the names of their files, by a folder per camera and id, or by a table."""

    return Folder


def build_tracks(torchreid: ModuleType) -> type:
    """The dataset class ``tracks``; ``torchreid`` is the package below which torchreid's ``data`` lies."""

    base: Any = _own_dataset(torchreid, "tracks")

    class Tracks(base):
        """Images cut out of videos of one's own where a tracker found somebody."""

    return Tracks


def _own_dataset(torchreid: Any, name: str) -> Any:
    class OwnDataset(torchreid.data.ImageDataset):
        """What the two share.

        Args:
            root: the data root.
            own: how the data are named and labelled; by default the option ``own_data``.

        Attributes:
            own_images: what was read, with the names behind the numbers.
        """

        is_own = True

        def __init__(self, root: str = "", own: OwnData | None = None, **kwargs: Any) -> None:
            if kwargs.get("combineall"):
                raise CCAFLError(
                    f"data.combineall: {name} trains on what its data say; set it to False and change their split."
                )
            found = READERS[name](Path(root).expanduser().absolute(), options.own_data if own is None else own)
            self.own_images = found
            images = found.images
            super().__init__(images.train, images.query, images.gallery, **kwargs)

        def show_summary(self) -> None:
            """torchreid's table with the number of what the ids are, and what should be said about the data."""
            if self.mode != "train" and not self.own_images.images.query:
                return  # said already
            for line in summary_lines(name, self.own_images, notes=self.mode == "train"):
                print(line)

    return OwnDataset


def summary_lines(name: str, own: OwnImages, notes: bool = True) -> list[str]:
    """torchreid's table of a dataset. Where ids hold inside a camera only, proxies are counted, not people.

    Args:
        name: of the dataset.
        own: what was read.
        notes: whether to add what was left out and what looks wrong.
    """
    what = "# ids" if own.ids_hold_across else "# proxies"
    rule = "  " + "-" * (36 + len(what))
    lines = [f"=> Loaded {name}: {own.source}", rule, f"  subset   | {what} | # images | # cameras", rule]
    images = own.images
    for split, entries in (("train", images.train), ("query", images.query), ("gallery", images.gallery)):
        if entries:
            ids, cameras = ({entry[place] for entry in entries} for place in (1, 2))
            lines.append(f"  {split:8s} | {len(ids):{len(what)}d} | {len(entries):8d} | {len(cameras):9d}")
    lines.append(rule)
    if not own.ids_hold_across and images.query:
        lines.append("  query and gallery: people, whose ids hold across cameras")
    return lines + ([f"  {note}" for note in own.notes] if notes else [])
