"""Settings for which torchreid's builders have no argument.

torchreid's ``build_model``, ``build_train_sampler``, ``build_optimizer`` and ``build_lr_scheduler`` take fixed lists of
arguments. The plugin's models, samplers and schedules read their other settings from :data:`options` when a builder is
called::

    from ccafl_plugin.options import options

    options.update(iters_per_epoch=100, seed=7)
    with options.override(clip_weights="RN50.pt"):
        model = torchreid.models.build_model("clip_rn50", num_classes=751)

``ccafl-train`` and ``tools/train.py`` fill it from the configuration. The defaults are the paper's Market-1501 values,
so a plain torchreid program need not set anything.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ccafl_plugin.own_settings import DEFAULTS, OwnData
from ccafl_plugin.utils import paper_values
from ccafl_plugin.utils.camera_moments import TEST_MODES, check_mode
from ccafl_plugin.utils.errors import CCAFLError, unknown_name
from ccafl_plugin.utils.ranges import check_argument


@dataclasses.dataclass
class Options:
    """All options. The defaults are the paper's Market-1501 values.

    Args:
        seed: seed of every sampler and every random draw of the plugin.
        iters_per_epoch: batches per epoch of the plugin's samplers (such as ``ProxySampler``).
        warmup_epochs: epochs of linear warm-up in ``warmup_multi_step`` and ``warmup_cosine``; 0 for none.
        warmup_factor: the warm-up starts at this fraction of the learning rate.
        cosine_final_factor: ``warmup_cosine`` ends at this fraction of the learning rate.
        bias_lr_factor: learning rate of biases as a multiple of the weights' learning rate.
        bias_lr_for_all_models: whether ``bias_lr_factor`` applies to torchreid's own models too.
        clip_weights: local file with CLIP weights for ``pretrained=True``, or with ``open_clip/...`` a tag of
            open_clip's; empty: OpenAI's, downloaded once.
        clip_activation: activation that ``clip_weights`` were trained with, ``quick_gelu`` (OpenAI, MetaCLIP, DFN) or
            ``gelu`` (LAION, DataComp); empty: the file says it, as OpenAI's and this package's do.
        prompt_length: learnable tokens in the prompt of one proxy.
        input_size: (height, width) in pixels; a new model gets positional embeddings for this size.
        freeze_patch_projection: keep the patch projection of ``clip_vit_b16`` fixed.
        crop_padding: pixels that the transform ``pad_crop`` adds on each side; the paper's 10 are for 256 x 128.
        gradient_checkpointing: CLIP's image encoders store only the inputs of their stages and compute the rest twice.
        channels_last: CLIP's ResNets use the channels-last memory format.
        fast_evaluation: whether torchreid's evaluation and re-ranking run on ``ccafl_plugin.metrics``, which give the
            same numbers without full distance matrices.
        camera_normalization: ``mean`` takes each camera's mean out of the test features, ``mean_std`` its mean and
            standard deviation, ``erase`` from all of them the directions along which cameras differ, ``none`` nothing;
            see docs/cameras.md.
        camera_statistics: which images these means and deviations are of: ``gallery``, ``training``, or those of a file
            that a test has written.
        camera_rerank: whether re-ranking takes an image's neighbours from its own camera and from the others apart.
        synthetic_size: name of a size of the dataset ``synthetic_persons``.
        synthetic_seed: seed of ``synthetic_persons``; another seed gives other people and places.
        synthetic_cameras: number of cameras in ``synthetic_persons``; at least 6.
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
    clip_activation: str = ""
    prompt_length: int = paper_values.PROMPT_LENGTH
    input_size: tuple[int, int] = paper_values.INPUT_SIZE
    freeze_patch_projection: bool = True
    crop_padding: int = paper_values.CROP_PADDING
    gradient_checkpointing: bool = False
    channels_last: bool = True
    fast_evaluation: bool = True
    camera_normalization: str = "none"
    camera_statistics: str = "gallery"
    camera_rerank: bool = False
    synthetic_size: str = "tiny"
    synthetic_seed: int = 1
    synthetic_cameras: int = 6
    own_data: OwnData = DEFAULTS

    def update(self, **values: Any) -> None:
        """Sets several options. If one of them is unknown or invalid, none is set.

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
        """Sets options inside a ``with`` block and restores all options after it."""
        before = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        try:
            self.update(**values)
            yield self
        finally:
            for name, value in before.items():
                setattr(self, name, value)


def _checked(name: str, value: Any, default: Any) -> Any:
    """The value in the option's own type (an int is accepted as a float, a list as a size)."""
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
    if name == "camera_normalization":
        check_mode(f"options.{name}", value, ["none", *TEST_MODES])
    return value


options = Options()
"""The settings of this process, which builders, samplers and models read; change them by ``options.update``."""
