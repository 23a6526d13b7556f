"""What the engine refuses of its arguments alone; the configuration calls the same functions before data is loaded."""

from __future__ import annotations

from collections.abc import Collection

from ccafl_plugin.utils.errors import WrongArgument


def check_views(k_tfm: int) -> None:
    """Refuses several views of an image in a batch.

    Args:
        k_tfm: views of every image that torchreid's data manager makes.

    Raises:
        CCAFLError: more than one.
    """
    if k_tfm > 1:
        raise WrongArgument("{k_tfm}: ImageCCAFLEngine (loss.name ccafl) takes one view of every image; set it to 1.")


def check_any_term(terms: Collection[object]) -> None:
    """Refuses a run without any term.

    Args:
        terms: the terms of the run, or their names.

    Raises:
        CCAFLError: there is none.
    """
    if not terms:
        raise WrongArgument("{terms}: no term is enabled; set ccafl.terms.NAME.enabled True for at least one.")
