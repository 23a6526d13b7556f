"""Checks of the engine's arguments that need no data; the configuration calls them before data is loaded."""

from __future__ import annotations

from collections.abc import Collection

from ccafl_plugin.utils.errors import WrongArgument


def check_views(k_tfm: int) -> None:
    """Checks that a batch has one view of each image.

    Args:
        k_tfm: views of every image that torchreid's data manager makes.

    Raises:
        CCAFLError: more than one.
    """
    if k_tfm > 1:
        raise WrongArgument("{k_tfm}: ImageCCAFLEngine (loss.name ccafl) uses one view of each image. Set it to 1.")


def check_any_term(terms: Collection[object]) -> None:
    """Checks that a run has at least one term.

    Args:
        terms: the terms of the run, or their names.

    Raises:
        CCAFLError: there is none.
    """
    if not terms:
        raise WrongArgument("{terms}: no term is enabled. Set ccafl.terms.NAME.enabled True for at least one.")
