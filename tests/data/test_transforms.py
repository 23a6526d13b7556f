from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ccafl_plugin.data.transforms import PadCrop
from ccafl_plugin.utils.errors import CCAFLError


@given(height=st.integers(1, 12), width=st.integers(1, 9), padding=st.integers(0, 4), seed=st.integers(0, 2**31))
def test_a_piece_of_the_padded_picture(height, width, padding, seed):
    torch.manual_seed(seed)
    pixels = np.random.default_rng(seed).integers(1, 256, (height, width, 3), dtype=np.uint8)
    piece = np.asarray(PadCrop(height, width, padding)(Image.fromarray(pixels)))
    assert piece.shape == pixels.shape
    padded = np.zeros((height + 2 * padding, width + 2 * padding, 3), dtype=np.uint8)
    padded[padding : padding + height, padding : padding + width] = pixels
    places = range(2 * padding + 1)
    assert any(
        np.array_equal(piece, padded[top : top + height, left : left + width]) for top in places for left in places
    )


def test_every_place_comes_up_and_tensors_keep_their_type():
    torch.manual_seed(0)
    picture = torch.arange(1, 7).reshape(1, 2, 3)
    crop = PadCrop(2, 3, padding=1)
    pieces = {tuple(crop(picture).flatten().tolist()) for _ in range(200)}
    assert len(pieces) == 9
    assert crop(picture).dtype == torch.int64


def test_default_padding():
    assert PadCrop(256, 128).padding == 10


def test_impossible_sizes():
    with pytest.raises(CCAFLError, match="pad_crop: height 0"):
        PadCrop(0, 4)
    with pytest.raises(CCAFLError, match="6x6 pixels, including padding, is smaller than the crop of 256x128"):
        PadCrop(256, 128, padding=1)(Image.new("RGB", (4, 4)))
