"""Errors that a user can fix: one line that names the problem and the remedy."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping


class CCAFLError(ValueError):
    """Invalid input. The message is one line; command-line tools print it without a traceback.

    Attributes:
        of_all: whether all processes of a run raise it, so that its line names none of them.
    """

    of_all = False


def of_all(error: CCAFLError) -> CCAFLError:
    """The same error, marked as one that all processes of a run raise."""
    error.of_all = True
    return error


class WrongArgument(CCAFLError):
    """An argument that a class or a function rejects.

    Each check is in one place, where the argument is used. In a program, the message names the argument. The command
    line and :func:`~ccafl_plugin.config.load_config` call the same check, and their message names the configuration
    key instead (:meth:`with_keys`).

    Args:
        text: the message, with argument names in braces: ``{batch_size}: 9 is not a multiple of {num_instances}``.

    Example::

        raise WrongArgument(f"{{precision}}: {precision!r} needs a GPU.")
    """

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__(_ARGUMENT.sub(r"\1", text))

    def with_keys(self, keys: Mapping[str, str]) -> CCAFLError:
        """The same error with configuration keys instead of argument names.

        Args:
            keys: argument -> key; arguments without a key keep their names.
        """
        named = CCAFLError(_ARGUMENT.sub(lambda found: keys.get(found[1], found[1]), self.text))
        named.of_all = self.of_all
        return named


_ARGUMENT = re.compile(r"\{(\w+)\}")


def unknown_name(what: str, name: object, allowed: Iterable[str]) -> CCAFLError:
    """The error for an unknown name, with the nearest match and all allowed names.

    Args:
        what: where the name was given: a key such as ``model.name``, or an argument in braces such as
            ``{precision}``, which gives a :class:`WrongArgument`.
        name: the name that the user gave.
        allowed: all allowed names.

    Returns:
        The error; the caller raises it.
    """
    choices = sorted(allowed)
    near = difflib.get_close_matches(str(name), choices, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    kind = WrongArgument if _ARGUMENT.fullmatch(what) else CCAFLError
    return kind(f"{what}: {name!r} is not available.{hint} Choose one of: {', '.join(choices)}.")
