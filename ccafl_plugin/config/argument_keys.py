"""Maps arguments of classes to the configuration keys that set them, so that errors can name keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from ccafl_plugin.config.tree import default_config
from ccafl_plugin.utils.errors import WrongArgument
from ccafl_plugin.utils.trees import leaves

_AMBIGUOUS = {
    "batch_size": "train.batch_size",
    "terms": "ccafl.terms",
    "association": "ccafl.association.name",
}
"""Arguments that are the last part of no key, or of several keys."""


def argument_keys() -> dict[str, str]:
    """Argument -> key. An argument has the name of the last part of its key, if no other key has the same last part."""
    names = {key: key.rpartition(".")[2] for key, _ in leaves(default_config())}
    count = Counter(names.values())
    return {name: key for key, name in names.items() if count[name] == 1} | _AMBIGUOUS


@contextmanager
def named_by_keys() -> Iterator[None]:
    """Context in which errors about arguments name configuration keys instead.

    Raises:
        CCAFLError: a :class:`~ccafl_plugin.utils.errors.WrongArgument` from inside, with keys instead of arguments.
    """
    try:
        yield
    except WrongArgument as error:
        raise error.with_keys(argument_keys()) from error
