"""The engine and its terms."""

from ccafl_plugin.engine.ccafl import ImageCCAFLEngine, NonFiniteLoss
from ccafl_plugin.engine.extraction import training_features
from ccafl_plugin.engine.prompt_stage import PromptStage

__all__ = ["ImageCCAFLEngine", "NonFiniteLoss", "PromptStage", "training_features"]
