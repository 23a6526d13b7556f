"""Adds the plugin's names to torchreid, and removes them again."""

from __future__ import annotations

from ccafl_plugin.integration.changes import apply_all, set_attribute, undo_all
from ccafl_plugin.integration.table import TABLE
from ccafl_plugin.integration.torchreid_layout import torchreid_package

MARK = "_ccafl_plugin_changes"
"""Attribute of torchreid's package that stores the changes, so that every copy of the plugin finds them."""


def register() -> None:
    """Adds the plugin's models, samplers, transforms, schedulers, datasets, engine and losses to torchreid.

    ``import ccafl_plugin`` calls it. Calling it again does nothing. torchreid's own names still work and give the same
    results; evaluation is faster (``options.fast_evaluation``). All checks come before the first change;
    :data:`~ccafl_plugin.integration.table.TABLE` lists the changes.
    Functions that a program imported from torchreid *by name* before ``import ccafl_plugin`` are not replaced.

    Raises:
        CCAFLError: torchreid is not as the plugin expects it, or one of the names is taken; then nothing is changed.
    """
    package = torchreid_package()
    if hasattr(package, MARK):
        return
    changes = [change for row in TABLE for change in row.changes()]
    apply_all([*changes, set_attribute(package, MARK, tuple(changes))])


def unregister() -> None:
    """Undoes :func:`register` and restores torchreid. Without a registration it does nothing.

    Existing objects (models, loaders, engines) are not changed, and neither are functions that a program imported from
    torchreid by name.

    Raises:
        CCAFLError: other code has changed one of the places since; then nothing is undone.
    """
    package = torchreid_package()
    changes = getattr(package, MARK, None)
    if changes is not None:
        undo_all(changes)
        delattr(package, MARK)
