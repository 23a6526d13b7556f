"""CLIP backbones that follow torchreid's model contract, and their learnable prompts.

Importing this package does not import open_clip; building a model does. The modules in reading order:

- ``clip``: the model that torchreid gets, and the list of backbones;
- ``open_clip_models``: any encoder of open_clip by name; ``timm_tower``: those that come from timm;
- ``image_tower``: the base of the image encoders; ``towers``: the encoders; ``attention_pooling`` and ``positions`` are
  parts of them;
- ``pooling``: GeM and batch norm, from a feature map to the retrieval feature;
- ``prompts``: the text encoder and the learnable prompts;
- ``pretrained``: CLIP's weights, downloaded or from a file; ``token_rows`` stores only some token embeddings in a file;
- ``activation``: GELU or QuickGELU, which a file says or the user;
- ``trained_weights``: weights of a trained model; ``state_dicts`` finds them in a file and names what is wrong;
- ``weights_of_others``: the names in files of other programs;
- ``weights_description``: files of weights that describe themselves; ``described_model`` builds their model;
- ``named_weights``: the package's own weights by name, described;
- ``checkpoint_file``: reads every file of tensors; ``tensor_archives``, ``torchscript`` and ``tensor_pickle`` know the
  formats and run nothing;
- ``running_statistics``: keeps the running statistics of batch norms unchanged.
"""

from ccafl_plugin.models.clip import BACKBONES, Backbone, ClipReID, build_clip, is_clip, reads_prompts
from ccafl_plugin.models.image_tower import check_compile
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
    "check_compile",
    "check_prompt_length",
    "is_clip",
    "reads_prompts",
]
