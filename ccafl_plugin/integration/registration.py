"""Adds the plugin's names to torchreid and takes them back."""

from __future__ import annotations

from ccafl_plugin.integration.changes import apply_all, set_attribute, undo_all
from ccafl_plugin.integration.table import TABLE
from ccafl_plugin.integration.torchreid_layout import torchreid_package

MARK = "_ccafl_plugin_changes"
"""Where torchreid's package keeps the changes while they are in place, whichever copy of the plugin made them."""


def register() -> None:
    """Adds the plugin's models, samplers, transforms, schedulers, datasets, engine and losses to torchreid.

    ``import ccafl_plugin`` calls it. Calling it again does nothing. torchreid's own names still give what they gave,
    its evaluation faster (``options.fast_evaluation``). Everything is looked up and checked first, everything is
    written last; :data:`~ccafl_plugin.integration.table.TABLE` lists it.
    Functions that a program imported from torchreid *by name* before it imported ``ccafl_plugin`` stay as they were.

    Raises:
        CCAFLError: torchreid is not as the plugin expects it, or one of the names is taken; nothing is changed then.
    """
    package = torchreid_package()
    if hasattr(package, MARK):
        return
    changes = [change for row in TABLE for change in row.changes()]
    apply_all([*changes, set_attribute(package, MARK, tuple(changes))])


def unregister() -> None:
    """Undoes :func:`register`: torchreid is again as it was before. Without a registration it does nothing.

    Objects that were made meanwhile (models, loaders, engines) stay as they are, and so do functions that a program
    has imported from torchreid by name.

    Raises:
        CCAFLError: something else has changed one of the places since; nothing is undone then.
    """
    package = torchreid_package()
    changes = getattr(package, MARK, None)
    if changes is not None:
        undo_all(changes)
        delattr(package, MARK)
