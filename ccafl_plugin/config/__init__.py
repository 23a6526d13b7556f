"""The configuration: torchreid's own tree of keys plus one node ``ccafl``."""

from ccafl_plugin.config.loading import load_config
from ccafl_plugin.config.tree import default_config

__all__ = ["default_config", "load_config"]
