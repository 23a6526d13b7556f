"""Settings that torchreid's builders have no argument for.

torchreid's ``build_model``, ``build_train_sampler``, ``build_optimizer`` and ``build_lr_scheduler`` pass fixed lists of
arguments. What the plugin's names need beyond them is read from :data:`options` at the moment a builder is called::

    from ccafl_plugin.options import options

    options.update(iters_per_epoch=100, seed=7)
    with options.override(clip_weights="RN50.pt"):
        model = torchreid.models.build_model("clip_rn50", num_classes=751)

``ccafl-train`` and ``tools/train.py`` fill it from the configuration. The defaults are the paper's Market-1501 values,
so plain torchreid programs work without touching it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ccafl_plugin.data.own_settings import DEFAULTS, OwnData
from ccafl_plugin.utils import paper_values
from ccafl_plugin.utils.errors import CCAFLError, unknown_name
from ccafl_plugin.utils.ranges import check_argument


@dataclasses.dataclass
class Options:
    """All options with the paper's Market-1501 values as defaults.

    Args:
        seed: every sampler and every random draw of the plugin starts from it.
        iters_per_epoch: batches per epoch of the plugin's samplers (``ProxySampler`` and its kind).
        warmup_epochs: epochs of linear warm-up in ``warmup_multi_step`` and ``warmup_cosine``; 0 for none.
        warmup_factor: the warm-up starts at this fraction of the learning rate.
        cosine_final_factor: ``warmup_cosine`` ends at this fraction of the learning rate.
        bias_lr_factor: learning rate of biases as a multiple of the weights' learning rate.
        bias_lr_for_all_models: whether torchreid's own models get that bias rate too.
        clip_weights: local file with CLIP weights for ``pretrained=True``; empty: OpenAI's weights through open_clip.
        prompt_length: learnable tokens in the prompt of one proxy.
        input_size: (height, width) in pixels for which positional embeddings are made when a model is built.
        freeze_patch_projection: keep the patch projection of ``clip_vit_b16`` fixed.
        crop_padding: pixels that the transform ``pad_crop`` adds on each side; the paper's 10 are for 256 x 128.
        gradient_checkpointing: CLIP's image encoders keep the inputs of their stages only and compute the rest twice.
        channels_last: CLIP's ResNets hand channels-last maps from layer to layer.
        fast_evaluation: whether torchreid's evaluation and re-ranking run on ``ccafl_plugin.metrics``, which give the
            same numbers without full distance matrices.
        synthetic_size: size of the dataset ``synthetic_persons``, one of its names.
        synthetic_seed: another seed is another set of people and places.
        synthetic_cameras: cameras of ``synthetic_persons``, from 6.
        own_data: how the datasets ``folder`` and ``tracks`` are named and labelled.
    """

    seed: int = 1
    iters_per_epoch: int = paper_values.ITERS_PER_EPOCH
    warmup_epochs: int = paper_values.WARMUP_EPOCHS
    warmup_factor: float = paper_values.WARMUP_FACTOR
    cosine_final_factor: float = 0.0
    bias_lr_factor: float = paper_values.BIAS_LR_FACTOR
    bias_lr_for_all_models: bool = False
    clip_weights: str = ""
    prompt_length: int = paper_values.PROMPT_LENGTH
    input_size: tuple[int, int] = paper_values.INPUT_SIZE
    freeze_patch_projection: bool = True
    crop_padding: int = paper_values.CROP_PADDING
    gradient_checkpointing: bool = False
    channels_last: bool = True
    fast_evaluation: bool = True
    synthetic_size: str = "tiny"
    synthetic_seed: int = 1
    synthetic_cameras: int = 6
    own_data: OwnData = DEFAULTS

    def update(self, **values: Any) -> None:
        """Sets several options, or none of them if one is unknown or impossible.

        Raises:
            CCAFLError: an unknown name, a value of the wrong type, or one out of range.
        """
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        for name, value in values.items():
            if name not in defaults:
                raise unknown_name("options", name, defaults)
            values[name] = _checked(name, value, defaults[name])
        for name, value in values.items():
            setattr(self, name, value)

    def reset(self) -> None:
        """Sets every option to its default."""
        for field in dataclasses.fields(self):
            setattr(self, field.name, field.default)

    @contextmanager
    def override(self, **values: Any) -> Iterator[Options]:
        """Sets options for the length of a ``with`` block; afterwards all are as they were before it."""
        before = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        try:
            self.update(**values)
            yield self
        finally:
            for name, value in before.items():
                setattr(self, name, value)


def _checked(name: str, value: Any, default: Any) -> Any:
    """The value in its option's own type (an int is a fine float, a list a fine size)."""
    if name == "input_size":
        sizes = tuple(value) if isinstance(value, (list, tuple)) else ()
        if len(sizes) != 2 or not all(type(size) is int and size > 0 for size in sizes):
            raise CCAFLError(f"options.input_size: {value!r} is not a (height, width) of two positive whole numbers.")
        return sizes
    expected = type(default)
    if expected is float and type(value) is int:
        value = float(value)
    if type(value) is not expected:
        raise CCAFLError(f"options.{name}: {value!r} is not of type {expected.__name__}, such as {default!r}.")
    check_argument(f"options.{name}", value)
    return value


options = Options()
