"""Interpolates positional embeddings from one grid of image positions to another."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

Grid = tuple[int, int]
"""(rows, columns) of positions in a feature map."""

GRID_KEY = "visual.positional_grid"
"""Key that stores the grid of the positional embeddings in a weight file written by this package."""


def interpolate_positions(embedding: Tensor, grid: Grid, target: Grid) -> Tensor:
    """Bicubic interpolation over the grid; the class token's row is unchanged.

    Args:
        embedding: (1 + h w, D) float, the class token's row first, then the grid row by row.
        grid: (h, w) of ``embedding``.
        target: (h', w').

    Returns:
        (1 + h' w', D), the dtype of ``embedding``; differentiable.

    Raises:
        ValueError: ``embedding`` does not have one row per position and one for the class token.
    """
    if embedding.shape[0] != 1 + math.prod(grid):
        raise ValueError(f"{embedding.shape[0]} rows are not a class token and a grid of {grid}")
    if grid == target:
        return embedding
    token, rows = embedding[:1], embedding[1:]
    maps = rows.T.reshape(1, -1, *grid)
    resized = F.interpolate(maps.float(), size=target, mode="bicubic", align_corners=False)
    return torch.cat([token, resized.flatten(2)[0].T.to(token.dtype)])


def infer_grid(rows: int, like: Grid, stored: Grid | None = None) -> Grid:
    """The grid of an embedding with ``rows`` rows (the class token's row included).

    CLIP's files contain square grids but do not store the grid; files written by this package store it.

    Args:
        rows: number of rows.
        like: the model's own grid. It is taken if it matches ``rows``; otherwise a grid of similar shape is chosen.
        stored: the grid that the file stores; ignored if it does not match ``rows`` (torchreid drops tensors of another
            shape from a checkpoint one by one, so the two may come from different models).
    """
    count = rows - 1
    for grid in (stored, like, (math.isqrt(count),) * 2):
        if grid is not None and math.prod(grid) == count:
            return grid
    heights = [height for height in range(1, count + 1) if count % height == 0]
    shape = math.log(like[0] / like[1])
    height = min(heights, key=lambda height: abs(math.log(height * height / count) - shape))
    return height, count // height
