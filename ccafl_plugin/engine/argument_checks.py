"""Checks of the engine's arguments that need no data; the configuration calls them before data is loaded."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from numbers import Real
from typing import Any

from ccafl_plugin.utils.errors import WrongArgument
from ccafl_plugin.utils.ranges import RANGES


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


def check_numbers(term: str, values: Mapping[str, Any]) -> None:
    """Checks the numbers of a term that a program made; those of a configuration are checked by their keys.

    Args:
        term: name of the term.
        values: its attributes; those whose names have a range are checked.

    Raises:
        CCAFLError: one is out of its range, infinite or NaN.
    """
    for name, value in values.items():
        if name in RANGES and isinstance(value, Real) and not isinstance(value, bool):
            RANGES[name].check(f"{term}.{name}", value)
