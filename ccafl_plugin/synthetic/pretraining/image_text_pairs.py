"""Rendered pictures in memory, each with the person that it shows, from which captions are drawn."""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ccafl_plugin.synthetic.renderer.camera import Camera
from ccafl_plugin.synthetic.renderer.dice import Dice
from ccafl_plugin.synthetic.renderer.frame import Frame, render
from ccafl_plugin.synthetic.renderer.identity import Identity
from ccafl_plugin.utils.progress import watched
from ccafl_plugin.utils.seeds import derive_seed

SCENE_SEEDS = 8
"""Number of different places that are built of each kind."""
FEW = 64
"""Below this number of pictures, starting processes takes longer than rendering."""


@dataclass(frozen=True)
class Pairs:
    """Pictures and the persons that they show.

    Attributes:
        images: (M, 3, height, width) uint8.
        owners: (M,) int64, index into ``persons``.
        persons: the persons in the pictures.
    """

    images: Tensor
    owners: Tensor
    persons: tuple[Identity, ...]

    def of_each(self) -> list[Tensor]:
        """For each person, the indices of their pictures."""
        return [torch.nonzero(self.owners == owner).flatten() for owner in range(len(self.persons))]


@dataclass(frozen=True)
class _Shot:
    frame: Frame
    camera: Camera
    size: tuple[int, int]


def render_pairs(
    persons: Sequence[Identity],
    cameras: Sequence[Camera],
    pictures: int,
    size: tuple[int, int],
    seed: int,
    purpose: str,
    workers: int | None = None,
) -> Pairs:
    """Renders every person ``pictures`` times, each time in another camera if there are enough cameras.

    Places, poses and light are drawn from ``seed`` and ``purpose``; no benchmark has the same.

    Args:
        persons: the persons to render.
        cameras: the cameras to choose from.
        pictures: number of pictures of each person.
        size: (height, width) of the pictures in pixels.
        seed: seed of all random draws.
        purpose: a word that separates the draws of one seed.
        workers: rendering processes; one per core by default.
    """
    dice = Dice(seed, "pretraining", purpose)
    shots: list[_Shot] = []
    for person in persons:
        met: list[Camera] = []
        while len(met) < pictures:
            met += dice.sample(cameras, min(len(cameras), pictures - len(met)))
        for camera in met:
            place = derive_seed("pretraining", purpose, seed, dice.between(1, SCENE_SEEDS))
            shots.append(_Shot(Frame(person, 0, len(shots), 0, place), camera, size))
    images = torch.from_numpy(np.stack(_take_all(shots, workers or _cores()))).permute(0, 3, 1, 2).contiguous()
    return Pairs(images, torch.arange(len(persons)).repeat_interleave(pictures), tuple(persons))


def _take(shot: _Shot) -> np.ndarray:
    """(height, width, 3) uint8: rendered, compressed with the camera's JPEG quality, and resized as in training."""
    compressed = io.BytesIO()
    Image.fromarray(render(shot.frame, shot.camera)).save(compressed, "JPEG", quality=shot.camera.quality)
    height, width = shot.size
    return np.asarray(Image.open(compressed).resize((width, height), Image.Resampling.BICUBIC))


def _take_all(shots: Sequence[_Shot], workers: int) -> list[np.ndarray]:
    if workers == 1 or len(shots) < FEW:
        return list(watched(map(_take, shots), len(shots), "pictures", "Rendering"))
    method = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
    with warnings.catch_warnings():
        # Python 3.12 warns when a process with threads is forked; these processes use NumPy and Pillow only.
        warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)
        quiet = (signal.SIGINT, signal.SIG_IGN)  # Ctrl-C also reaches the parent, which ends these processes
        with multiprocessing.get_context(method).Pool(workers, signal.signal, quiet) as pool:
            return list(watched(pool.imap(_take, shots, chunksize=16), len(shots), "pictures", "Rendering"))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
