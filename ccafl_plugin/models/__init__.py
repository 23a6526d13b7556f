"""CLIP backbones under torchreid's model contract, and the learnable prompts that go with them.

Importing this package does not import open_clip; building a model does. In the order in which one reads them:

- ``clip``: the model that torchreid gets, and the list of backbones;
- ``towers``: the image encoders; ``attention_pooling`` and ``positions`` are parts of them;
- ``pooling``: GeM and batch norm, from a map to the retrieval feature;
- ``prompts``: the text encoder and the learnable prompts;
- ``pretrained``: CLIP's weights, downloaded or from a file; ``token_rows`` keeps small files small;
- ``trained_weights``, ``checkpoint_file``: weights of a trained model;
- ``running_statistics``: batch norms that leave their statistics alone.
"""

from ccafl_plugin.models.clip import BACKBONES, Backbone, ClipReID, build_clip
from ccafl_plugin.models.pooling import GeM, NeckBatchNorm
from ccafl_plugin.models.prompts import PromptLearner, TextEncoder, check_prompt_length
from ccafl_plugin.models.towers import check_compile

__all__ = [
    "BACKBONES",
    "Backbone",
    "ClipReID",
    "GeM",
    "NeckBatchNorm",
    "PromptLearner",
    "TextEncoder",
    "build_clip",
    "check_compile",
    "check_prompt_length",
]
