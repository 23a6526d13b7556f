"""Learning-rate schedules, parameter groups and optimizer steps that torchreid's builders do not have.

- ``schedules``: warm-up, then milestones or a cosine; a rate that follows another;
- ``parameter_groups``: a learning rate for biases;
- ``fused_steps``: optimizer steps in one kernel on a GPU.
"""

from ccafl_plugin.optim.fused_steps import fuse_steps, load_state
from ccafl_plugin.optim.parameter_groups import is_bias, parameter_groups
from ccafl_plugin.optim.schedules import (
    FollowingRate,
    WarmupCosine,
    WarmupMultiStep,
    half_cosine,
    warmup_cosine,
    warmup_cosine_factor,
    warmup_multi_step,
    warmup_multi_step_factor,
)

__all__ = [
    "FollowingRate",
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
