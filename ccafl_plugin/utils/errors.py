"""Errors that a user can cause and mend: one line that names the thing and the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class CCAFLError(ValueError):
    """Wrong input. The message is one line; command-line tools print it without a traceback."""


def unknown_name(what: str, name: object, allowed: Iterable[str]) -> CCAFLError:
    """The error for a name that isn't there, with the nearest spelling and all that is allowed.

    Args:
        what: where the name was given, e.g. the config key ``model.name``.
        name: what the user wrote.
        allowed: every name that would have been right.

    Returns:
        The error, to be raised by the caller.
    """
    choices = sorted(allowed)
    near = difflib.get_close_matches(str(name), choices, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return CCAFLError(f"{what}: {name!r} is not available.{hint} Choose one of: {', '.join(choices)}.")
