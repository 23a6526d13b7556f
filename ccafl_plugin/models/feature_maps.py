"""What an encoder's last layer computes at every position of an image, as a map, for pictures of activations."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from ccafl_plugin.models.positions import Grid


def output_of(module: nn.Module, run: Callable[[], object]) -> Tensor:
    """What a part of a model returns while the model runs.

    Args:
        module: the part.
        run: runs the model once; it must not run a compiled copy of the part.
    """
    found: list[Tensor] = []
    handle = module.register_forward_hook(lambda _module, _inputs, output: found.append(output))
    try:
        run()
    finally:
        handle.remove()
    return found[-1]


def as_map(tokens: Tensor, grid: Grid) -> Tensor:
    """Tokens of patches, row by row, as a map.

    Args:
        tokens: (B, p + h w, C), whose first p tokens are no patches.
        grid: (h, w).

    Returns:
        (B, C, h, w).
    """
    height, width = grid
    patches = tokens[:, tokens.shape[1] - height * width :]
    return patches.transpose(1, 2).unflatten(2, (height, width))
