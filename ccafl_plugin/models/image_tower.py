"""The base of all image encoders: stages up to the layer that gives the re-identification feature, and positions."""

from __future__ import annotations

import abc
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ccafl_plugin.models.activation import activation_of, set_activation
from ccafl_plugin.models.positions import GRID_KEY, Grid, infer_grid, interpolate_positions
from ccafl_plugin.utils.distributed import is_distributed
from ccafl_plugin.utils.errors import CCAFLError, WrongArgument

Stage = Callable[[Tensor], Tensor]


def check_compile(compile: bool, gradient_checkpointing: bool) -> None:
    """Checks that compiling and gradient checkpointing are not combined.

    A compiled stage may save other tensors when it is computed a second time in the backward pass.

    Args:
        compile: whether the image encoder is compiled.
        gradient_checkpointing: whether it computes its stages a second time in the backward pass.

    Raises:
        CCAFLError: both are True.
    """
    if compile and gradient_checkpointing:
        raise WrongArgument("{compile}: cannot be combined with {gradient_checkpointing}; set one of the two to False.")


def _with_code_of_its_own(stage: Stage) -> Stage:
    """Wraps a stage in a new code object, because Dynamo limits the number of recompilations per code object.

    Four stages of a ResNet share the code of ``nn.Sequential.forward``. Each is compiled for training, for extraction,
    and for the smaller last batch of extraction.
    """

    def run(hidden: Tensor) -> Tensor:
        return stage(hidden)

    run.__code__ = run.__code__.replace()
    return run


class ImageTower(nn.Module, abc.ABC):
    """An image encoder in three steps: ``forward`` up to the last layer, ``pool`` for f, ``embed`` for v.

    Positional embeddings belong to a grid, so to an input size. They are created for ``input_size``. The first batch
    that the tower sees resizes them to its own size; this is before any training, so nothing learned is lost. For a
    later batch of another size they are interpolated in the forward pass; the parameters do not change. A state dict of
    another size is interpolated too. A tower that has seen no batch takes the size of the state dict instead, so that a
    checkpoint and its optimizer state match although the input size is not known yet.
    The activation in a state dict, GELU or QuickGELU, becomes the tower's.

    Args:
        visual: open_clip's image encoder; the tower takes it over and modifies it.
        grid: (h, w) of the positional embeddings in ``visual``.
        input_size: (height, width) of the images in pixels.

    Attributes:
        feature_dim: D, the length of f.
        embedding_dim: E, the length of v.
        grid: current (h, w) of the positional embeddings.
        channels_last: use the channels-last memory format in the convolutions; towers without convolutions ignore it.
        gradient_checkpointing: in training, store only the inputs of the stages and compute the rest a second time in
            the backward pass. This needs less memory and gives the same numbers.
    """

    channels_last: bool = True
    gradient_checkpointing: bool = False

    position_key: str
    """Name of the parameter that holds the positional embeddings."""

    feature_dim: int
    visual: Any
    """open_clip's encoder; the types of its parts are not declared."""
    positional_grid: Tensor

    def __init__(self, visual: nn.Module, grid: Grid, input_size: tuple[int, int]) -> None:
        super().__init__()
        self.visual = visual
        self.embedding_dim: int = getattr(visual, "output_dim", 0)  # timm's encoders do not say it
        self.grid = grid
        self.register_buffer("positional_grid", torch.tensor(grid))  # so that a state dict stores its grid
        self._note_activation()
        self._seen = False
        self._compiled: list[Stage] | None = None
        self.resize_positions(self.checked_grid(*input_size))

    @abc.abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, height, width) -> the last layer's output, the input of ``pool`` and ``embed``."""

    @abc.abstractmethod
    def pool(self, hidden: Tensor) -> Tensor:
        """-> (B, D): the feature before the neck."""

    @abc.abstractmethod
    def embed(self, hidden: Tensor) -> Tensor:
        """-> (B, E): CLIP's own image feature, comparable with text, not normalised."""

    @abc.abstractmethod
    def feature_maps(self, images: Tensor) -> Tensor:
        """(B, 3, height, width) -> (B, C, h, w): what the last layer computes at every position.

        Of a transformer these are the patches' tokens behind the last block, before the last layer norm, which gives
        all of them about the same length.
        """

    @abc.abstractmethod
    def grid_of(self, height: int, width: int) -> Grid:
        """Positions in the last layer for an image of this size in pixels."""

    @abc.abstractmethod
    def stages(self) -> Sequence[Stage]:
        """The parts of ``visual``, in the order in which they run."""

    def compile_stages(self, **options: Any) -> None:
        """Compiles every stage with ``torch.compile`` from the next batch on; copies of the tower are not compiled.

        Args:
            **options: of ``torch.compile``.

        Raises:
            CCAFLError: the tower uses gradient checkpointing (:func:`check_compile`).
        """
        check_compile(True, self.gradient_checkpointing)
        calls = (stage.forward if isinstance(stage, nn.Module) else stage for stage in self.stages())
        self._compiled = [torch.compile(_with_code_of_its_own(call), **options) for call in calls]

    @contextmanager
    def uncompiled(self) -> Iterator[None]:
        """Context in which stages run without compilation, so that their parts can be watched."""
        compiled, self._compiled = self._compiled, None
        try:
            yield
        finally:
            self._compiled = compiled

    def run_stages(self, hidden: Tensor) -> Tensor:
        """Runs all stages on a tensor."""
        stages = self.stages() if self._compiled is None else self._compiled
        if self._compiled is not None and getattr(self, "_is_replica", False):  # they refer to the original's weights
            warnings.warn("nn.DataParallel with several GPUs runs the image encoder without compilation.", stacklevel=2)
            stages = self.stages()
        for stage in stages:
            hidden = self._run(stage, hidden)
        return hidden

    def _run(self, stage: Stage, hidden: Tensor) -> Tensor:
        return stage(hidden)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_compiled": None}  # compiled stages refer to this tower's weights

    def freeze_patch_projection(self) -> None:
        """Freezes the convolution that embeds a transformer's patches; other towers have none."""

    def clip_state_dict(self) -> dict[str, Tensor]:
        """The encoder's tensors in open_clip's naming, with the grid of its positional embeddings."""
        state = {f"visual.{key}": value for key, value in self.visual.state_dict().items()}
        return {**state, GRID_KEY: self.positional_grid}

    @property
    def positions(self) -> nn.Parameter:
        """(1 + h w, width) positional embeddings, the class token's first."""
        module, _, name = self.position_key.rpartition(".")
        found: nn.Parameter = getattr(self.get_submodule(module), name)  # in a replica it is a plain tensor
        return found

    def checked_grid(self, height: int, width: int) -> Grid:
        """:meth:`grid_of`, checked.

        Raises:
            CCAFLError: the image is too small for a single position.
        """
        grid = self.grid_of(height, width)
        if min(grid) < 1:
            raise CCAFLError(f"input size: {height}x{width} pixels is too small for CLIP. Use at least 16x16.")
        return grid

    @torch.no_grad()
    def resize_positions(self, grid: Grid) -> None:
        """Interpolates the positional embeddings to another grid, in the same parameter."""
        if grid == self.grid:
            return
        with torch.inference_mode(False):  # so that a model that was first used for inference can still be trained
            self.positions.data = interpolate_positions(self.positions.data, self.grid, grid).contiguous()
            self._set_grid(grid)

    def see(self, images: Tensor) -> None:
        """Resizes the positional embeddings to the size of the first batch."""
        if self._seen or getattr(self, "_is_replica", False):  # changes in a DataParallel replica are lost
            return
        height, width = images.shape[-2:]
        grid = self.checked_grid(height, width)
        if not is_distributed():  # in distributed training, gradient buckets already exist
            self.resize_positions(grid)
        self._seen = True

    def positions_for(self, grid: Grid) -> Tensor | None:
        """Positional embeddings interpolated to a grid; None if it is the tower's own grid."""
        return None if grid == self.grid else interpolate_positions(self.positions, self.grid, grid)

    def _set_grid(self, grid: Grid) -> None:
        self.grid = grid
        self.positional_grid = self.positional_grid.new_tensor(grid)

    def _note_activation(self) -> None:
        """Makes a state dict say that the model computes with GELU; QuickGELU, the usual, says nothing."""
        if activation_of(self.visual) == "gelu":
            self.register_buffer("is_gelu", torch.tensor(True))
        elif "is_gelu" in self._buffers:
            del self.is_gelu

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        positions = state_dict.get(prefix + self.position_key)
        if positions is not None and positions.ndim == 2:
            saved = state_dict.get(prefix + "positional_grid")
            stored = None if saved is None else (int(saved[0]), int(saved[1]))
            grid = infer_grid(positions.shape[0], self.grid, stored)
            if self._seen:
                state_dict[prefix + self.position_key] = interpolate_positions(positions, grid, self.grid)
            else:
                self.resize_positions(grid)
            state_dict[prefix + "positional_grid"] = self.positional_grid.clone()
            own, wanted = activation_of(self.visual), "gelu" if prefix + "is_gelu" in state_dict else "quick_gelu"
            if own and own != wanted:
                set_activation(self.visual, wanted)
                self._note_activation()
        super()._load_from_state_dict(state_dict, prefix, *args)
