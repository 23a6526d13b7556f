"""Everything that touches torchreid's internals."""

from ccafl_plugin.integration.layout import IncompatibleTorchreid, torchreid_package

__all__ = ["IncompatibleTorchreid", "register", "torchreid_package"]


def register() -> None:
    """Adds the plugin's names to torchreid."""
    try:
        from ccafl_plugin.integration.registration import register as register_all
    except ImportError:
        return
    register_all()
