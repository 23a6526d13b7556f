"""All changes in torchreid, and all code that depends on its internals. Other folders use only its public names.

- ``table``: the changes, their places and reasons, and how to avoid each;
- ``registration``: ``register`` and ``unregister``, which make all changes or none;
- ``changes``: one write and how it is undone;
- ``torchreid_layout``: torchreid's modules in both of its distributions, checked;
- ``torchreid_names``: the names that its builders accept;
- ``builders``, ``images``, ``data_manager``, ``evaluation``, ``weights``, ``new_names``: the changes themselves.
"""

from ccafl_plugin.integration.registration import register, unregister
from ccafl_plugin.integration.torchreid_layout import IncompatibleTorchreid, torchreid_package

__all__ = ["IncompatibleTorchreid", "register", "torchreid_package", "unregister"]
