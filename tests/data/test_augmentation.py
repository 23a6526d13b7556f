"""Augmentation of batches: equal to the pictures one by one, with draws that belong to an image's place."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torchreid
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import Compose, Lambda, Normalize, RandomHorizontalFlip, Resize, ToTensor
from torchvision.transforms import functional as tv

from ccafl_plugin.data.augmentation import ATTEMPTS, Augmentation, augmentation_of
from ccafl_plugin.data.transforms import PadCrop
from ccafl_plugin.options import options

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def training_transform(height: int, width: int, names: list[str], padding: int = 10) -> Compose:
    """torchreid's transform with the plugin's steps."""
    with options.override(crop_padding=padding):
        return torchreid.data.transforms.build_transforms(height, width, transforms=list(names))[0]


def one_by_one(pictures: list[Image.Image], transform: Compose, draws: torch.Tensor) -> torch.Tensor:
    """The steps of a transform on one picture at a time, with given draws."""
    erasing = transform.transforms[-1]
    crop = next((step for step in transform.transforms if isinstance(step, PadCrop)), None)
    results = []
    for picture, (flip, top, left, erased_top, erased_left, height, width) in zip(
        pictures, draws.tolist(), strict=True
    ):
        if flip:
            picture = tv.hflip(picture)
        if crop is not None:
            picture = tv.crop(tv.pad(picture, [crop.padding] * 4), top, left, crop.height, crop.width)
        image = Normalize(MEAN, STD)(ToTensor()(picture))
        if height:
            for channel in range(3):
                for y in range(erased_top, erased_top + height):
                    for x in range(erased_left, erased_left + width):
                        image[channel, y, x] = erasing.mean[channel]
        results.append(image)
    return torch.stack(results)


@given(
    batch=st.integers(1, 4),
    height=st.integers(2, 14),
    width=st.integers(2, 9),
    padding=st.integers(0, 16),
    names=st.sets(st.sampled_from(["random_flip", "pad_crop", "random_erase"])),
    seed=st.integers(0, 2**31),
)
def test_a_batch_is_the_pictures_one_by_one(
    batch: int, height: int, width: int, padding: int, names: set[str], seed: int
) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (batch, height, width, 3), dtype=np.uint8)
    pictures = [Image.fromarray(each) for each in pixels]
    transform = training_transform(height, width, sorted(names), padding)
    split = augmentation_of(transform)
    assert split is not None
    to_bytes, augmentation = split
    images = torch.stack([to_bytes(picture) for picture in pictures])
    before = images.clone()
    draws = augmentation.draws(seed, 3, 5, batch)
    expected = one_by_one(pictures, transform, draws)
    for augmented in (augmentation.by_copies, augmentation.by_index, augmentation):
        assert torch.equal(augmented(images, draws), expected)
        assert torch.equal(images, before)


class Numbers:
    """Takes the place of Python's ``random`` in torchreid: given numbers from [0, 1)."""

    def __init__(self, numbers: list[float], places: list[float]) -> None:
        self.numbers, self.places = iter(numbers), iter(places)

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * next(self.numbers)

    def randint(self, low: int, high: int) -> int:
        return low + math.floor((high - low + 1) * next(self.places))


@given(height=st.integers(2, 40), width=st.integers(2, 40), seed=st.integers(0, 2**31))
def test_erasing_is_torchreids(height: int, width: int, seed: int) -> None:
    """The same random numbers give the same rectangle; for small images many attempts fail."""
    erase = torchreid.data.transforms.RandomErasing(mean=[1.0, 2.0, 3.0])
    augmentation = augmentation_of(Compose([Resize((height, width)), ToTensor(), erase]))[1]
    chances = torch.rand(3, 3 + 2 * ATTEMPTS, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    found = augmentation._rectangles(augmentation.erasing, chances)
    module = __import__(type(erase).__module__, fromlist=["random"])
    for row, rectangle in zip(chances.tolist(), found.tolist(), strict=True):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "random", Numbers([row[0], *row[3:]], places=row[1:3]))
            image = erase(torch.zeros(3, height, width))
        expected = torch.zeros(3, height, width)
        top, left, rows, columns = rectangle
        expected[:, top : top + rows, left : left + columns] = torch.tensor([1.0, 2.0, 3.0])[:, None, None]
        assert torch.equal(image, expected)


def make(height: int = 64, width: int = 32, padding: int = 2) -> Augmentation:
    split = augmentation_of(training_transform(height, width, ["random_flip", "pad_crop", "random_erase"], padding))
    assert split is not None
    return split[1]


@given(count=st.integers(1, 40), processes=st.integers(1, 4), seed=st.integers(0, 2**31))
def test_draws_belong_to_an_images_place(count: int, processes: int, seed: int) -> None:
    """A smaller batch, or the parts of several processes, have the rows of the whole batch."""
    augmentation = make()
    whole = augmentation.draws(seed, 1, 2, 40)
    assert torch.equal(augmentation.draws(seed, 1, 2, count), whole[:count])
    images = torch.randint(0, 256, (40, 3, 64, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    together = augmentation(images, whole)
    for rank in range(processes):
        assert torch.equal(augmentation(images[rank::processes], whole[rank::processes]), together[rank::processes])
    state = torch.get_rng_state()
    assert not torch.equal(augmentation.draws(seed, 1, 3, 40), whole)
    assert not torch.equal(augmentation.draws(seed, 2, 2, 40), whole)
    assert not torch.equal(augmentation.draws(seed + 1, 1, 2, 40), whole)
    assert torch.equal(torch.get_rng_state(), state)


def test_every_flip_and_place_is_as_likely() -> None:
    """4000 images; each bound is five standard deviations."""
    drawn = torch.cat([make().draws(1, 0, batch, 100) for batch in range(40)])
    bound = 5 / math.sqrt(4 * 4000)
    assert abs(drawn[:, 0].double().mean().item() - 0.5) < bound
    assert abs((drawn[:, 5] > 0).double().mean().item() - 0.5) < bound
    places = torch.bincount(drawn[:, 1] * 5 + drawn[:, 2], minlength=25)
    assert ((places - 160).abs() < 5 * math.sqrt(160)).all()
    erased = drawn[drawn[:, 5] > 0]
    area = (erased[:, 5] * erased[:, 6]).double() / (64 * 32)
    assert area.min() > 0.015 and area.max() < 0.42
    assert ((erased[:, 3] + erased[:, 5] <= 64) & (erased[:, 4] + erased[:, 6] <= 32)).all()


@pytest.mark.parametrize("names", [["random_crop"], ["random_patch"], ["color_jitter"], ["random_flip", "random_crop"]])
def test_torchreids_other_transforms_stay_with_pictures(names: list[str]) -> None:
    assert augmentation_of(training_transform(8, 4, names)) is None


class OwnFlip(RandomHorizontalFlip):
    """Somebody's own step."""


@pytest.mark.parametrize(
    "steps",
    [
        [],
        [ToTensor()],
        [Resize((8, 4))],
        [Resize(8), ToTensor()],
        [Resize((8, 4)), OwnFlip(), ToTensor()],
        [Resize((8, 4)), PadCrop(8, 4), RandomHorizontalFlip(), ToTensor()],
        [Resize((8, 4)), PadCrop(6, 4), ToTensor()],
        [Resize((8, 4)), ToTensor(), Lambda(lambda image: image)],
        [Resize((8, 4)), ToTensor(), torchreid.data.transforms.RandomErasing(), Normalize(MEAN, STD)],
        [Resize((8, 4)), ToTensor(), torchreid.data.transforms.RandomErasing(mean=[0.0])],
    ],
)
def test_other_steps_stay_with_pictures(steps: list[Any]) -> None:
    assert augmentation_of(Compose(steps)) is None


def test_no_transform_at_all() -> None:
    assert augmentation_of(None) is None
    assert augmentation_of(lambda picture: picture) is None


def test_a_batch_without_images() -> None:
    draws = make().draws(1, 0, 0, 0)
    empty = torch.empty(0, 3, 64, 32, dtype=torch.uint8)
    assert draws.shape == (0, 7)
    assert make().by_index(empty, draws).shape == make().by_copies(empty, draws).shape == (0, 3, 64, 32)
