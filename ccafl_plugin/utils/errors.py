"""Errors that a user can cause and mend: one line that names the thing and the remedy."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping


class CCAFLError(ValueError):
    """Wrong input. The message is one line; command-line tools print it without a traceback."""


class WrongArgument(CCAFLError):
    """An argument that a class or a function refuses.

    The check stands once, where the argument is used. Programs read the argument's name; the command line and
    :func:`~ccafl_plugin.config.load_config` call the same check and read the key instead (:meth:`with_keys`).

    Args:
        text: the message. Names of arguments stand in braces: ``{batch_size}: 9 is no multiple of {num_instances}``.

    Example::

        raise WrongArgument(f"{{precision}}: {precision!r} needs a GPU.")
    """

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__(_ARGUMENT.sub(r"\1", text))

    def with_keys(self, keys: Mapping[str, str]) -> CCAFLError:
        """The same error for a reader of configurations.

        Args:
            keys: argument -> key; other arguments keep their names.
        """
        return CCAFLError(_ARGUMENT.sub(lambda found: keys.get(found[1], found[1]), self.text))


_ARGUMENT = re.compile(r"\{(\w+)\}")


def unknown_name(what: str, name: object, allowed: Iterable[str]) -> CCAFLError:
    """The error for a name that isn't there, with the nearest spelling and all that is allowed.

    Args:
        what: where the name was given: the config key ``model.name``, or an argument in braces, ``{precision}``, for a
            :class:`WrongArgument`.
        name: what the user wrote.
        allowed: every name that would have been right.

    Returns:
        The error, to be raised by the caller.
    """
    choices = sorted(allowed)
    near = difflib.get_close_matches(str(name), choices, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    kind = WrongArgument if _ARGUMENT.fullmatch(what) else CCAFLError
    return kind(f"{what}: {name!r} is not available.{hint} Choose one of: {', '.join(choices)}.")
