"""Arguments of classes and the keys of the configuration that set them."""

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
"""Arguments that are no key's last part, or that of several."""


def argument_keys() -> dict[str, str]:
    """Argument -> key; an argument is called like the last part of its key wherever that is the only one so called."""
    names = {key: key.rpartition(".")[2] for key, _ in leaves(default_config())}
    count = Counter(names.values())
    return {name: key for key, name in names.items() if count[name] == 1} | _AMBIGUOUS


@contextmanager
def named_by_keys() -> Iterator[None]:
    """In a ``with`` block, errors about arguments name keys, for readers of a configuration or a command line.

    Raises:
        CCAFLError: a :class:`~ccafl_plugin.utils.errors.WrongArgument` from inside, in the words of a configuration.
    """
    try:
        yield
    except WrongArgument as error:
        raise error.with_keys(argument_keys()) from error
