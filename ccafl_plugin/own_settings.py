"""What the datasets ``folder`` and ``tracks`` are told beyond a data root: plain numbers and words, no config."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from ccafl_plugin.utils.errors import CCAFLError, unknown_name
from ccafl_plugin.utils.ranges import check_arguments

ID_SCOPES = ("per_camera", "across_cameras")
PRODUCTS = "ccafl-files"
"""Folder below the data root for what is made of the data: crops and splits. Reading a folder leaves it out."""


@dataclass(frozen=True)
class CropRules:
    """Which boxes become images, and how they are cut. The defaults are ours, not measured on any benchmark.

    Attributes:
        padding: added on each side, as a share of the box's width and height; 0 for none.
        least_height: lower boxes, in pixels, are left out; what lies outside the picture does not count.
        least_width: narrower boxes, in pixels, are left out.
        most: at most so many images of a track, spread over it; 0 for all.
        overlap: a box is left out if another box of its frame covers more than this share of it; 1 for none.
        blur: an image is left out if its sharpness (variance of the Laplacian of the picture in grey, brought to
            128 x 64) is below this share of its track's median; 0 for none.
        confidence: boxes that the detector was less sure of are left out; -1 in a file means that it says nothing.

    Raises:
        CCAFLError: a number out of its range.
    """

    padding: float = 0.0
    least_height: int = 32
    least_width: int = 16
    most: int = 20
    overlap: float = 0.5
    blur: float = 0.3
    confidence: float = 0.0

    def __post_init__(self) -> None:
        check_arguments(**dataclasses.asdict(self))


@dataclass(frozen=True)
class OwnData:
    """How data of one's own are named and labelled.

    Attributes:
        ids: ``across_cameras`` if an id is one person in all cameras, ``per_camera`` if each camera counts anew.
        pattern: names of the image files below the root, e.g. ``{camera}/{id}_*.jpg``; empty: a folder per camera,
            in it a folder per id.
        table: CSV file with one row per image; wins over the pattern.
        queries: CSV file with a few images whose ids hold across cameras, to evaluate on.
        pairs: CSV file with pairs of images and whether both show one person, to evaluate on at the end.
        test_share: of the people, to be held out of training and tested on; 0: none. For ids across cameras only.
        seed: of that draw.
        needs_cameras: refuse data that do not say which camera took an image.
        crops: how boxes become images.

    Raises:
        CCAFLError: an unknown word, a share out of its range, or held-out people without labels across cameras.
    """

    ids: str = "across_cameras"
    pattern: str = ""
    table: str = ""
    queries: str = ""
    pairs: str = ""
    test_share: float = 0.0
    seed: int = 1
    needs_cameras: bool = False
    crops: CropRules = field(default_factory=CropRules)

    def __post_init__(self) -> None:
        if self.ids not in ID_SCOPES:
            raise unknown_name("ccafl.data.ids", self.ids, ID_SCOPES)
        check_arguments(test_share=self.test_share)
        if self.test_share and self.ids == "per_camera":
            raise CCAFLError(
                "ccafl.data.test_share: held-out people can be scored only where ids hold across cameras; set it to 0, "
                "or name a few labelled images in ccafl.data.queries."
            )

    @property
    def ids_hold_across(self) -> bool:
        """True if an id is one person in all cameras."""
        return self.ids == "across_cameras"


DEFAULTS = OwnData()
