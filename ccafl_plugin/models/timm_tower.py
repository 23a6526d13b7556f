"""Image encoders of open_clip that come from timm: SigLIP, EVA02, MobileCLIP, ConvNeXt, ViTamin, PE and others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ccafl_plugin.models.feature_maps import as_map, output_of
from ccafl_plugin.models.image_tower import ImageTower, Stage
from ccafl_plugin.models.positions import Grid
from ccafl_plugin.utils.errors import CCAFLError

CONVOLUTION_STRIDE = 32
"""Pixels between two positions in the last map of encoders without patches, whose grid is only a size."""


class TimmTower(ImageTower):
    """An encoder from timm: ``pool`` is its pooled feature before the projection to the embedding, ``embed`` that.

    Positions of transformers are resized by timm (``set_input_size``), for the first batch and for state dicts; later
    batches must have the size of the first. Encoders without patches take any size. Arguments as in
    :class:`~ccafl_plugin.models.image_tower.ImageTower`.

    Raises:
        CCAFLError: an encoder whose head pools by itself: it has no feature before its embedding.
    """

    position_key = "visual.trunk.pos_embed"

    def __init__(self, visual: Any, grid: Grid, input_size: tuple[int, int]) -> None:
        if hasattr(visual.head, "pool"):
            raise CCAFLError("model.name: this encoder of open_clip pools in its head, which has no separate feature.")
        super().__init__(visual, grid, input_size)
        classifier = visual.trunk.get_classifier()
        trunk = visual.trunk
        self.feature_dim = (
            classifier.in_features
            if isinstance(classifier, nn.Linear)
            else int(getattr(trunk, "head_hidden_size", None) or trunk.num_features)
        )
        self.embedding_dim = embedding_dim_of(visual, self.feature_dim)

    def grid_of(self, height: int, width: int) -> Grid:
        rows, columns = patch_size(self.visual.trunk)
        return height // rows, width // columns

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, height, width) -> (B, D).

        Raises:
            CCAFLError: a transformer gets images of another size than its positions are for.
        """
        self.see(images)
        if self.gradient_checkpointing:
            self.visual.set_grad_checkpointing(self.training)
        if not has_positions(self.visual.trunk):
            return self.run_stages(images)
        height, width = images.shape[-2:]
        rows, columns = (side * patch for side, patch in zip(self.grid, patch_size(self.visual.trunk), strict=True))
        if self.checked_grid(height, width) != self.grid:
            raise CCAFLError(
                f"images of {height}x{width} pixels: the encoder was made for {rows}x{columns}. Build it anew, or "
                "resize the images."
            )
        return self.run_stages(images[..., :rows, :columns])  # a strided convolution leaves out the rest too

    def stages(self) -> Sequence[Stage]:
        trunk = self.visual.trunk
        return trunk.forward_features, self._pooled

    def _pooled(self, maps: Tensor) -> Tensor:
        pooled: Tensor = self.visual.trunk.forward_head(maps, pre_logits=True)
        return pooled

    def pool(self, hidden: Tensor) -> Tensor:
        return hidden

    def feature_maps(self, images: Tensor) -> Tensor:
        """See :meth:`ImageTower.feature_maps`; encoders without patches give their last map."""
        trunk = self.visual.trunk
        if has_positions(trunk):
            with self.uncompiled():
                tokens = output_of(trunk.blocks[-1], lambda: self(images))
            return as_map(tokens, self.grid)
        self.see(images)
        maps: Tensor = trunk.forward_features(images)
        return maps

    def embed(self, hidden: Tensor) -> Tensor:
        embedding: Tensor = self.visual.head(self.visual.trunk.get_classifier()(hidden))
        return embedding

    @torch.no_grad()
    def resize_positions(self, grid: Grid) -> None:
        if grid == self.grid:
            return
        trunk = self.visual.trunk
        if has_positions(trunk):
            rows, columns = patch_size(trunk)
            before = getattr(trunk, "pos_embed", None)
            with torch.inference_mode(False):
                trunk.set_input_size((grid[0] * rows, grid[1] * columns))
                if isinstance(before, nn.Parameter):  # an optimizer may know it
                    before.data = trunk.pos_embed.data
                    trunk.pos_embed = before
        self._set_grid(grid)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        stored = state_dict.get(f"{prefix}positional_grid")
        if stored is not None and stored.numel() == 2:
            grid = (int(stored[0]), int(stored[1]))
            if not self._seen:
                self.resize_positions(grid)
            elif grid != self.grid:
                self._resize_in(state_dict, prefix, grid)
            state_dict[f"{prefix}positional_grid"] = self.positional_grid.clone()
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _resize_in(self, state_dict: dict[str, Tensor], prefix: str, grid: Grid) -> None:
        """Resizes the positions in a state dict to this tower's grid."""
        from timm.layers import resample_abs_pos_embed

        key = f"{prefix}{self.position_key}"
        if key not in state_dict:
            return
        trunk = self.visual.trunk
        prefixes = 0 if getattr(trunk, "no_embed_class", False) else getattr(trunk, "num_prefix_tokens", 0)
        state_dict[key] = resample_abs_pos_embed(
            state_dict[key], new_size=list(self.grid), old_size=list(grid), num_prefix_tokens=prefixes
        )


def has_positions(trunk: Any) -> bool:
    """Whether an encoder is made for one size of images: a transformer with patches."""
    return hasattr(trunk, "set_input_size") and hasattr(getattr(trunk, "patch_embed", None), "grid_size")


def patch_size(trunk: Any) -> tuple[int, int]:
    """(height, width) in pixels of what one position of the last map stands for."""
    if not has_positions(trunk):
        return CONVOLUTION_STRIDE, CONVOLUTION_STRIDE
    patches = trunk.patch_embed.patch_size
    return (patches, patches) if isinstance(patches, int) else (int(patches[0]), int(patches[1]))


def native_grid(visual: Any) -> Grid:
    """The grid for which open_clip built an encoder."""
    trunk = visual.trunk
    if has_positions(trunk):
        rows, columns = trunk.patch_embed.grid_size
        return int(rows), int(columns)
    height, width = visual.image_size
    return height // CONVOLUTION_STRIDE, width // CONVOLUTION_STRIDE


@torch.no_grad()
def embedding_dim_of(visual: Any, feature_dim: int) -> int:
    """E, by what the projections make of one feature; dropout does not matter here."""
    device = next(visual.parameters()).device
    feature = torch.zeros(1, feature_dim, device=device)
    return int(visual.head(visual.trunk.get_classifier()(feature)).shape[1])
