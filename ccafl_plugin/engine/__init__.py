"""The engine and its terms."""

from ccafl_plugin.engine.ccafl_engine import ImageCCAFLEngine, NonFiniteLoss
from ccafl_plugin.engine.extraction import training_features
from ccafl_plugin.engine.stage1 import PromptStage

__all__ = ["ImageCCAFLEngine", "NonFiniteLoss", "PromptStage", "training_features"]
