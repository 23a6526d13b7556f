"""The settings with which a run really trains: processes, batch, learning rate, batch norm and precision."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ccafl_plugin.utils.distributed import num_processes

EARLIER = " before it was resumed"


@dataclass(frozen=True)
class EffectiveSettings:
    """The settings with which a run trains.

    Attributes:
        processes: world size; 1 without ``torch.distributed``.
        devices: GPUs that share the images of one process (``nn.DataParallel``); 1 on a CPU.
        batch_size: images per step, of all processes together.
        instances: K of the P x K images of a batch; 0 if the sampler draws single images.
        lr: base learning rate of the schedule, for the last parameter group (the weights).
        norm: ``BatchNorm`` or ``SyncBatchNorm``, with ``frozen`` or ``partly frozen`` before it if so; or ``none``.
        precision: ``float32``, or ``mixed`` followed by the half-precision type.
        published: name of the published settings that the configuration claims; empty: none.
        differences: differences of this run from the published settings.
    """

    processes: int
    devices: int
    batch_size: int
    instances: int
    lr: float
    norm: str
    precision: str
    published: str = ""
    differences: tuple[str, ...] = ()

    def compared(self, published: str, precision: str, settings: Sequence[str]) -> EffectiveSettings:
        """The same settings with their differences from published ones: one process, one device, plain batch norm.

        Args:
            published: name of the published settings.
            precision: their precision on a GPU.
            settings: the keys that differ, each as ``KEY VALUE instead of VALUE``.
        """
        expected = {
            "processes": ("processes", 1),
            "devices": ("GPUs per process", 1),
            "norm": ("batch norm", "BatchNorm"),
            "precision": ("precision", precision),
        }
        found = [
            f"{words} {getattr(self, name)} instead of {value}"
            for name, (words, value) in expected.items()
            if getattr(self, name) != value
        ]
        return dataclasses.replace(self, published=published, differences=(*settings, *found))

    def going_on_from(self, earlier: Mapping[str, Any]) -> EffectiveSettings:
        """The same settings for a resumed run; differences of the earlier run are added.

        Args:
            earlier: :meth:`as_dict` of the run that wrote the checkpoint; empty if it has none.
        """
        before = [difference.removesuffix(EARLIER) for difference in earlier.get("differences", ())]
        left = [each + EARLIER for each in before if not {each, each + EARLIER} & set(self.differences)]
        published = self.published or str(earlier.get("published", ""))
        return dataclasses.replace(self, published=published, differences=(*self.differences, *left))

    def as_dict(self) -> dict[str, Any]:
        """For checkpoints and ``results.json``."""
        return {**dataclasses.asdict(self), "differences": list(self.differences)}

    def __str__(self) -> str:
        """One line, and a second line if the run differs from published settings."""
        images = f"{self.batch_size} images"
        if self.instances:
            images = f"{self.batch_size // self.instances} x {self.instances} images"
        processes = "1 process" if self.processes == 1 else f"{self.processes} processes"
        devices = "" if self.devices == 1 else f" on {self.devices} GPUs"
        together = "" if self.processes == 1 else " together"
        norm = "no BatchNorm" if self.norm == "none" else self.norm
        line = f"Trains with: {processes}{devices}, {images}{together}, lr {self.lr:g}, {norm}, {self.precision}"
        if not self.differences:
            return line
        return f"{line}\nDiffers from the published settings ({self.published}): {', '.join(self.differences)}"


def effective_settings_of(engine: Any) -> EffectiveSettings:
    """The settings with which an engine trains.

    Args:
        engine: any torchreid engine with a model, an optimizer and a training loader.
    """
    loader = engine.train_loader
    sampler = loader.batch_sampler.sampler
    parallel = isinstance(engine.model, nn.DataParallel)
    group = engine.optimizer.param_groups[-1]
    return EffectiveSettings(
        processes=num_processes(),
        devices=max(1, len(engine.model.device_ids)) if parallel else 1,
        batch_size=loader.batch_size or sampler.batch_size,  # the largest size if batches differ in size
        instances=getattr(sampler, "num_instances", 0),
        lr=group.get("initial_lr", group["lr"]),
        norm=batch_norm_kind(engine.model),
        precision=precision_name(getattr(getattr(engine, "encoder", None), "dtype", None)),
    )


def precision_name(dtype: torch.dtype | None) -> str:
    """See :attr:`EffectiveSettings.precision`.

    Args:
        dtype: the half-precision type of mixed precision; None for none.
    """
    return "float32" if dtype is None else f"mixed {str(dtype).removeprefix('torch.')}"


def batch_norm_kind(model: nn.Module) -> str:
    """See :attr:`EffectiveSettings.norm`.

    A layer counts as frozen if its weight is not trained, or if it is of another class than torch's batch norms (such
    as ``FrozenBatchNorm``).
    """
    layers = [module for module in model.modules() if "BatchNorm" in type(module).__name__]
    if not layers:
        return "none"
    frozen = [layer for layer in layers if not _is_trained(layer)]
    kind = "SyncBatchNorm" if any(isinstance(layer, nn.SyncBatchNorm) for layer in layers) else "BatchNorm"
    if not frozen:
        return kind
    return f"frozen {kind}" if len(frozen) == len(layers) else f"partly frozen {kind}"


def _is_trained(layer: nn.Module) -> bool:
    return isinstance(layer, _BatchNorm) and (layer.weight is None or layer.weight.requires_grad)
