"""Everything that changes torchreid, and all that looks into its insides; the rest of the package reads public names.

- ``table``: what is changed, where, why, and how to do without it;
- ``registration``: ``register`` and ``unregister``, all changes or none;
- ``changes``: one write and the way back;
- ``torchreid_layout``: torchreid's modules in both of its distributions, checked;
- ``torchreid_names``: the names that its builders take;
- ``builders``, ``images``, ``data_manager``, ``evaluation``, ``weights``, ``new_names``: the changes themselves.
"""

from ccafl_plugin.integration.registration import register, unregister
from ccafl_plugin.integration.torchreid_layout import IncompatibleTorchreid, torchreid_package

__all__ = ["IncompatibleTorchreid", "register", "torchreid_package", "unregister"]
