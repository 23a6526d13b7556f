"""Everything that touches torchreid's internals; the rest of the package uses its public names only."""

from ccafl_plugin.integration.registration import register
from ccafl_plugin.integration.torchreid_layout import IncompatibleTorchreid, torchreid_package

__all__ = ["IncompatibleTorchreid", "register", "torchreid_package"]
