"""Everything that touches torchreid's internals."""


def register() -> None:
    """Adds the plugin's names to torchreid."""
