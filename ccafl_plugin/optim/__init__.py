"""Learning rates and steps: what torchreid's builders of optimizers and schedulers lack.

- ``schedules``: warm-up, then milestones or a cosine;
- ``parameter_groups``: biases at their own rate;
- ``fused_steps``: steps in one kernel on a GPU.
"""

from ccafl_plugin.optim.fused_steps import fuse_steps, load_state
from ccafl_plugin.optim.parameter_groups import is_bias, parameter_groups
from ccafl_plugin.optim.schedules import (
    WarmupCosine,
    WarmupMultiStep,
    half_cosine,
    warmup_cosine,
    warmup_cosine_factor,
    warmup_multi_step,
    warmup_multi_step_factor,
)

__all__ = [
    "WarmupCosine",
    "WarmupMultiStep",
    "fuse_steps",
    "half_cosine",
    "is_bias",
    "load_state",
    "parameter_groups",
    "warmup_cosine",
    "warmup_cosine_factor",
    "warmup_multi_step",
    "warmup_multi_step_factor",
]
