from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from ccafl_plugin.models.positions import infer_grid, interpolate_positions


def test_class_token_is_kept_and_the_grid_is_bicubic():
    embedding = torch.randn(1 + 49, 6)
    resized = interpolate_positions(embedding, (7, 7), (16, 8))
    assert resized.shape == (1 + 128, 6)
    assert torch.equal(resized[0], embedding[0])
    for d in range(6):
        column = embedding[1:, d].reshape(1, 1, 7, 7)
        expected = F.interpolate(column, size=(16, 8), mode="bicubic", align_corners=False)
        torch.testing.assert_close(resized[1:, d], expected.flatten())


def test_a_constant_grid_stays_constant_and_rows_run_down():
    rows = torch.arange(7.0).repeat_interleave(7).unsqueeze(1)  # every row of the grid holds its number
    resized = interpolate_positions(torch.cat([torch.full((1, 1), -5.0), rows]), (7, 7), (14, 3))[1:].reshape(14, 3)
    torch.testing.assert_close(resized[:, 0], resized[:, 2])
    assert (resized[1:, 0] > resized[:-1, 0]).all()


def test_same_grid_is_untouched():
    embedding = torch.randn(1 + 8, 3)
    assert interpolate_positions(embedding, (4, 2), (4, 2)) is embedding


def test_wrong_number_of_rows():
    with pytest.raises(ValueError, match="9 rows"):
        interpolate_positions(torch.randn(9, 3), (3, 3), (4, 2))


@pytest.mark.parametrize(
    ("rows", "like", "stored", "expected"),
    [
        (1 + 49, (16, 8), None, (7, 7)),
        (1 + 16, (16, 8), (8, 2), (8, 2)),  # what the file says goes before the square
        (1 + 16, (16, 8), (7, 7), (4, 4)),  # unless it cannot be true
        (1 + 16, (8, 2), None, (8, 2)),
        (1 + 32, (16, 8), None, (8, 4)),
        (1 + 32, (8, 16), None, (4, 8)),
        (1 + 24 * 8, (16, 8), (24, 8), (24, 8)),
        (2, (16, 8), None, (1, 1)),
    ],
)
def test_grid_of_a_number_of_rows(rows, like, stored, expected):
    assert infer_grid(rows, like, stored) == expected


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_dtype_is_kept(dtype):
    assert interpolate_positions(torch.randn(1 + 16, 3).to(dtype), (4, 4), (8, 2)).dtype == dtype


def test_autocast_changes_nothing():
    embedding = torch.randn(1 + 16, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = interpolate_positions(embedding, (4, 4), (8, 2))
    assert torch.equal(got, interpolate_positions(embedding, (4, 4), (8, 2)))
