"""The engine: one run of training, epoch by epoch.

The modules in reading order:

- ``ccafl_engine``: ``ImageCCAFLEngine``, how it is built, and a run's beginning and epochs; what it overrides of
  torchreid's engine besides is in its base classes: ``term_iterations`` (one iteration: ``forward_backward``),
  ``checkpointed_engine``, ``shared_evaluation``, ``scored_engine``;
- ``epoch_start``: the start of an epoch; ``extraction`` computes the features, ``supervision`` the pseudo identities;
- ``association_report``: reports on an association, with and without true identities;
- ``encoder_pass``: the encoder's forward and backward pass; ``model_outputs`` brings all models' outputs into one form;
- ``loss_report``: the losses of an iteration and their values; ``gradient_check`` skips steps that would spoil the
  weights, ``not_finite`` has the errors of runs that diverge;
- ``text_side``: prompts and text features; ``stage1`` trains the prompts;
- ``state``: everything that a checkpoint contains; ``checkpointing`` writes and reads it, ``checkpoints`` and
  ``manifests`` handle the files, ``earlier_runs`` what was in the folder before, ``same_settings`` compares optimizers
  and schedules;
- ``scored_engine``: the scores of tests; ``shared_evaluation`` shares the tests among processes;
- ``effective_settings``: the settings with which a run really trains.

Losses are in ``losses``, the terms around them in ``terms``.
"""

from ccafl_plugin.engine.ccafl_engine import ImageCCAFLEngine
from ccafl_plugin.engine.extraction import training_features
from ccafl_plugin.engine.not_finite import Diverged, NonFiniteLoss
from ccafl_plugin.engine.stage1 import PromptStage

__all__ = ["Diverged", "ImageCCAFLEngine", "NonFiniteLoss", "PromptStage", "training_features"]
