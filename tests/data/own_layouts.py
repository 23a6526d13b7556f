"""The rendered people of ``synthetic_persons`` under foreign names: what a person with cameras of one's own has.

Identities are named anew in every camera. Names are chosen so that sorting them gives the order of Market-1501's file
names in each camera, on which numbering and random draws depend.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ccafl_plugin.data.datasets import read_market_folder
from ccafl_plugin.synthetic import renderer

CAMERAS = ("back door", "entrance", "hall 2", "hall 10", "Straße", "yard")
WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "haven", "iris", "jade")


def benchmark(rendered: Path) -> Path:
    """The folder of the rendered benchmark."""
    return renderer.folder_of(rendered, "tiny", 1)


def write_market(rendered: Path, root: Path) -> Path:
    """Market-1501's own layout."""
    place = root / "market1501" / "Market-1501-v15.09.15"
    place.parent.mkdir(parents=True)
    shutil.copytree(benchmark(rendered), place)
    return root


def training_images(rendered: Path) -> Iterator[tuple[Path, str, str, int]]:
    """(file, camera's name, name of the identity in this camera, number of the image) in Market's order."""
    images = read_market_folder(benchmark(rendered) / "bounding_box_train")
    seen: dict[int, dict[int, int]] = {}
    for number, (path, person, camera) in enumerate(images):
        of_camera = seen.setdefault(camera, {})
        place = of_camera.setdefault(person, len(of_camera))
        # The same word means somebody else in the next camera: the first letter moves on.
        name = f"{WORDS[place // 10]} {place % 10}{WORDS[(place + camera) % 10]}"
        yield Path(path), CAMERAS[camera], name, number


def write_tree(rendered: Path, root: Path) -> Path:
    """A folder per camera and in it a folder per identity."""
    for path, camera, name, number in training_images(rendered):
        place = root / camera / name
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place / f"{number:05d}.jpg")
    return root


PATTERN = "crops/{id}@{camera}#*.JPG"


def write_flat(rendered: Path, root: Path) -> Path:
    """All images in one folder, named as :data:`PATTERN` says."""
    (root / "crops").mkdir(parents=True)
    for path, camera, name, number in training_images(rendered):
        shutil.copy(path, root / "crops" / f"{name}@{camera}#{number:05d}.JPG")
    return root


def write_table(rendered: Path, root: Path) -> Path:
    """Files without telling names, and a table that says who they are."""
    (root / "files").mkdir(parents=True)
    with open(root / "people.csv", "w", encoding="utf-8", newline="") as opened:
        writer = csv.writer(opened, delimiter=";")
        writer.writerow(["camera", "path", "id", "weather"])
        for path, camera, name, number in training_images(rendered):
            shutil.copy(path, root / "files" / f"{number:05d}.jpg")
            writer.writerow([camera, f"files/{number:05d}.jpg", name, "dull"])
    return root


def write_tracks(rendered: Path, root: Path, per_frame: int = 4) -> Path:
    """Per camera a video without loss, in whose frames the images stand, and its MOT file."""
    root.mkdir(parents=True, exist_ok=True)
    cameras: dict[str, list[tuple[Path, str]]] = {}
    for path, camera, name, _ in training_images(rendered):
        cameras.setdefault(camera, []).append((path, name))
    for camera, images in cameras.items():
        write_video(root / f"{camera}.avi", root / f"{camera}.txt", images, per_frame)
    return root


def write_video(video: Path, tracks: Path, images: list[tuple[Path, str]], per_frame: int) -> None:
    """Images in frames of a video, so many side by side; tracks are numbered from 1 by the order of their names.

    A track has one box in a frame: an image whose identity stands in the frame already goes into the next.
    """
    number = {name: place for place, name in enumerate(sorted({name for _, name in images}), start=1)}
    with Image.open(images[0][0]) as first:
        width, height = first.size
    cell, rows = width + 9, []
    # MJPG and the like lose pixels.
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*"FFV1"), 10, (cell * per_frame, height + 24))
    left = list(images)
    frame = 0
    while left:
        frame += 1
        picture = np.full((height + 24, cell * per_frame, 3), 90, np.uint8)
        inside: list[str] = []
        waiting = []
        for path, name in left:
            if name in inside or len(inside) == per_frame:
                waiting.append((path, name))
                continue
            x, y = 4 + cell * len(inside), 12
            picture[y : y + height, x : x + width] = np.asarray(Image.open(path).convert("RGB"))
            rows.append(f"{frame},{number[name]},{x},{y},{width},{height},0.9,-1,-1,-1")
            inside.append(name)
        writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        left = waiting
    writer.release()
    tracks.write_text("\n".join(rows) + "\n", encoding="utf-8")
