"""CLIP backbones under torchreid's model contract, and the learnable prompts that go with them.

Importing this package does not import open_clip; building a model does.
"""

from ccafl_plugin.models.clip import BACKBONES, Backbone, ClipReID, build_clip
from ccafl_plugin.models.pooling import GeM, NeckBatchNorm
from ccafl_plugin.models.prompts import PromptLearner, TextEncoder, check_prompt_length

__all__ = [
    "BACKBONES",
    "Backbone",
    "ClipReID",
    "GeM",
    "NeckBatchNorm",
    "PromptLearner",
    "TextEncoder",
    "build_clip",
    "check_prompt_length",
]
