"""The engine: one run of training, epoch by epoch.

In the order in which a reader meets them:

- ``ccafl_engine``: ``ImageCCAFLEngine``, what it overrides of torchreid's engine, and one iteration
  (``forward_backward``);
- ``epoch_start``: what happens at the start of an epoch; ``extraction`` takes the features, ``supervision`` gives the
  pseudo identities;
- ``association_report``: what is said of an association, with and without true identities;
- ``encoder_pass``: the encoder's share of an iteration; ``model_outputs`` brings all models' outputs into one form;
- ``loss_report``: an iteration's losses and their numbers;
- ``text_side``: prompts and text features; ``stage1`` trains the prompts;
- ``state``: everything that a checkpoint holds; ``checkpointing`` writes and reads it, ``checkpoints`` knows the files,
  ``same_settings`` compares optimizers and schedules;
- ``scored_engine``: the scores of tests;
- ``effective_settings``: what a run trains with, read off what runs.

Losses are in ``losses``, the terms around them in ``terms``.
"""

from ccafl_plugin.engine.ccafl_engine import ImageCCAFLEngine
from ccafl_plugin.engine.extraction import training_features
from ccafl_plugin.engine.loss_report import NonFiniteLoss
from ccafl_plugin.engine.stage1 import PromptStage

__all__ = ["ImageCCAFLEngine", "NonFiniteLoss", "PromptStage", "training_features"]
