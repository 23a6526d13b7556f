"""The configuration: torchreid's own tree of keys plus one node ``ccafl``.

- ``tree``: keys and defaults; ``key_sentences``, ``reference``: their meaning, for docs/configuration.md;
- ``loading``: from a file and KEY VALUE pairs to a checked tree; ``shipped_files``: paths of the package's files;
- ``validation``: names, files and keys that exclude each other; ``argument_keys``: which key sets an argument;
- ``arguments``: from the tree to the arguments of classes.
"""

from ccafl_plugin.config.loading import load_config
from ccafl_plugin.config.tree import default_config

__all__ = ["default_config", "load_config"]
