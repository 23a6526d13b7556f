"""A contact sheet: how persons look in each camera."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from ccafl_plugin.synthetic.renderer.frame import IMAGE_HEIGHT, IMAGE_WIDTH, render
from ccafl_plugin.synthetic.renderer.picture_plan import TRAIN, Picture, Plan

_GAP = 2


def contact_sheet(plan: Plan, persons: int = 10, per_camera: int = 2, folder: str = TRAIN) -> Image.Image:
    """Draws persons in rows and cameras in columns; a field is blank if the camera has no picture of the person.

    Args:
        plan: the benchmark.
        persons: number of rows. Persons seen by the most cameras come first; on ties, the lower identity number.
        per_camera: number of pictures of a person per camera.
        folder: one of the plan's folders.
    """
    by_person: dict[int, dict[int, list[Picture]]] = {}
    for picture in plan.pictures:
        if picture.folder == folder:
            cameras = by_person.setdefault(int(picture.name[:4]), {})
            cameras.setdefault(picture.frame.camera, []).append(picture)
    rows = [by_person[pid] for pid in sorted(by_person, key=lambda pid: (-len(by_person[pid]), pid))][:persons]
    return Image.fromarray(np.concatenate([_row(seen, plan.cameras, per_camera) for seen in rows]))


def _row(seen: dict[int, list[Picture]], cameras: int, per_camera: int) -> np.ndarray:
    size = (IMAGE_HEIGHT + _GAP, (IMAGE_WIDTH + _GAP) * per_camera + _GAP, 3)
    fields = []
    for number in range(cameras):
        field = np.full(size, 255, dtype=np.uint8)
        for place, picture in enumerate(_spread(seen.get(number, ()), per_camera)):
            left = place * (IMAGE_WIDTH + _GAP)
            field[:IMAGE_HEIGHT, left : left + IMAGE_WIDTH] = render(picture.frame)
        fields.append(field)
    return np.concatenate(fields, axis=1)


def _spread(pictures: Sequence[Picture], count: int) -> list[Picture]:
    """``count`` pictures, evenly spread from first to last."""
    if len(pictures) <= count:
        return list(pictures)
    return [pictures[i * len(pictures) // count] for i in range(count)]
