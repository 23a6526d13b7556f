"""Everything that touches torchreid's internals; the rest of the package uses its public names only."""

from ccafl_plugin.integration.layout import IncompatibleTorchreid, torchreid_package
from ccafl_plugin.integration.registration import register

__all__ = ["IncompatibleTorchreid", "register", "torchreid_package"]
