"""CLIP's image encoders as open_clip builds them, split at the layer that gives the re-identification feature."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

from ccafl_plugin.models.attention_pooling import pool_by_attention
from ccafl_plugin.models.feature_maps import as_map, output_of
from ccafl_plugin.models.image_tower import ImageTower, Stage
from ccafl_plugin.models.pooling import GeM
from ccafl_plugin.models.positions import Grid
from ccafl_plugin.models.running_statistics import running_statistics_kept


class ResNetTower(ImageTower):
    """CLIP's ModifiedResNet with stride 16: a 256x128 image gives a 16x8 map (``x4``).

    ``pool`` is GeM over the map; ``embed`` is CLIP's attention pooling of it. Arguments as in :class:`ImageTower`.

    Attributes:
        keeps_resolution: whether the last stage keeps its input's resolution. OpenAI's halves it: stride 32.
    """

    position_key = "visual.attnpool.positional_embedding"
    keeps_resolution = True

    def __init__(self, visual: Any, grid: Grid, input_size: tuple[int, int]) -> None:
        if self.keeps_resolution:
            keep_resolution(visual.layer4)
        super().__init__(visual, grid, input_size)
        self.feature_dim = visual.attnpool.c_proj.in_features
        self.gem = GeM()

    def grid_of(self, height: int, width: int) -> Grid:
        poolings = 8 if self.keeps_resolution else 16
        return (height + 1) // 2 // poolings, (width + 1) // 2 // poolings  # behind a padded convolution of stride 2

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, height, width) -> (B, D, height / 16, width / 16)."""
        self.see(images)
        # A third faster on CPUs and in half precision on GPUs; every layer keeps the memory format.
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return self.run_stages(images.contiguous(memory_format=layout))

    def stages(self) -> Sequence[Stage]:
        visual = self.visual
        return visual.stem, visual.layer1, visual.layer2, visual.layer3, visual.layer4

    def _run(self, stage: Stage, hidden: Tensor) -> Tensor:
        if not (self.gradient_checkpointing and self.training and torch.is_grad_enabled()):
            return stage(hidden)

        def contexts() -> tuple[Any, Any]:  # for the first and for the second computation
            return nullcontext(), running_statistics_kept(self.visual)

        return checkpoint(stage, hidden, use_reentrant=False, context_fn=contexts)

    def pool(self, hidden: Tensor) -> Tensor:
        pooled: Tensor = self.gem(hidden)
        return pooled

    def feature_maps(self, images: Tensor) -> Tensor:
        maps: Tensor = self(images)
        return maps

    def embed(self, hidden: Tensor) -> Tensor:
        pooling = self.visual.attnpool
        height, width = hidden.shape[-2:]
        positions = self.positions_for((height, width))
        return pool_by_attention(pooling, hidden, pooling.positional_embedding if positions is None else positions)


class ViTTower(ImageTower):
    """CLIP's vision transformer: the class token after the last layer norm, and its projection.

    Arguments as in :class:`ImageTower`.
    """

    position_key = "visual.positional_embedding"

    projection: nn.Parameter

    def __init__(self, visual: Any, grid: Grid, input_size: tuple[int, int]) -> None:
        super().__init__(visual, grid, input_size)
        self.feature_dim = visual.proj.shape[0]
        self.projection = visual.proj
        visual.proj = None  # open_clip's forward then returns the class token, from which f is computed

    def grid_of(self, height: int, width: int) -> Grid:
        rows, columns = self.visual.conv1.stride
        return height // rows, width // columns

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, height, width) -> (B, D)."""
        self.see(images)
        self.visual.set_grad_checkpointing(self.gradient_checkpointing)  # open_clip's own, block by block
        height, width = images.shape[-2:]
        positions = self.positions_for(self.checked_grid(height, width))
        if positions is None:
            return self.run_stages(images)
        return functional_call(self.visual, {"positional_embedding": positions}, (images,))

    def stages(self) -> Sequence[Stage]:
        return (self.visual,)

    def pool(self, hidden: Tensor) -> Tensor:
        return hidden

    def feature_maps(self, images: Tensor) -> Tensor:
        with self.uncompiled():
            tokens = output_of(self.visual.transformer, lambda: self(images))
        height, width = images.shape[-2:]
        return as_map(tokens, self.checked_grid(height, width))

    def embed(self, hidden: Tensor) -> Tensor:
        embedding: Tensor = hidden @ self.projection
        return embedding

    def freeze_patch_projection(self) -> None:
        self.visual.conv1.weight.requires_grad_(False)

    def clip_state_dict(self) -> dict[str, Tensor]:
        return {**super().clip_state_dict(), "visual.proj": self.projection.detach()}


def keep_resolution(stage: Any) -> None:
    """Removes the average poolings in the first block of a ModifiedResNet stage, which halve the map.

    All convolutions of the stage have stride 1, so no weight changes.
    """
    block = stage[0]
    block.avgpool = nn.Identity()
    setattr(block.downsample, "-1", nn.Identity())
    block.stride = 1
