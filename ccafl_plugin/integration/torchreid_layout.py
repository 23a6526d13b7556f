"""Finds torchreid's modules and names in both of its distributions, and checks that they are as expected."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import torchreid

from ccafl_plugin.utils.errors import CCAFLError


class IncompatibleTorchreid(CCAFLError):
    """torchreid's internals are not as the plugin expects; nothing has been registered."""

    def __init__(self, problem: str) -> None:
        version = getattr(torchreid, "__version__", "of unknown version")
        super().__init__(
            f"torchreid {version} in {torchreid.__file__} is not compatible with ccafl_plugin: {problem}. Nothing was "
            "registered. Install torchreid 0.2.5 from PyPI or 1.4.0 from its repository."
        )


def torchreid_package() -> ModuleType:
    """The package of torchreid's submodules: ``torchreid.reid`` from PyPI, ``torchreid`` from its repository."""
    data = getattr(torchreid, "data", None)
    if not isinstance(data, ModuleType):
        raise IncompatibleTorchreid("there is no torchreid.data")
    return importlib.import_module(data.__name__.rpartition(".")[0])


def torchreid_module(name: str) -> ModuleType:
    """A submodule by its name in upstream's layout, such as ``data.sampler``.

    Raises:
        IncompatibleTorchreid: there is no such module.
    """
    full_name = f"{torchreid_package().__name__}.{name}"
    try:
        return importlib.import_module(full_name)
    except ModuleNotFoundError as error:
        if error.name is None or not full_name.startswith(error.name):
            raise  # a package that torchreid needs is not installed
        raise IncompatibleTorchreid(f"there is no module {full_name}") from error


def attribute(module: str, name: str, kind: type = object) -> Any:
    """An attribute of one of torchreid's modules.

    Args:
        module: name in upstream's layout, such as ``data.sampler``.
        name: the attribute.
        kind: the type that it must have.

    Raises:
        IncompatibleTorchreid: it does not exist, or has another type.
    """
    owner = torchreid_module(module)
    if not hasattr(owner, name):
        raise IncompatibleTorchreid(f"{owner.__name__} has no {name}")
    value = getattr(owner, name)
    if not isinstance(value, kind):
        raise IncompatibleTorchreid(f"{owner.__name__}.{name} is not a {kind.__name__}")
    return value


def require_parameters(function: Any, *names: str) -> inspect.Signature:
    """The signature of one of torchreid's functions, if it has the parameters that the plugin passes or reads.

    Raises:
        IncompatibleTorchreid: one is missing.
    """
    signature = inspect.signature(function)
    missing = [name for name in names if name not in signature.parameters]
    if missing:
        raise IncompatibleTorchreid(f"{function.__module__}.{function.__qualname__} takes no {', '.join(missing)}")
    return signature


def require_attributes(owner: type, *names: str) -> None:
    """Checks that one of torchreid's classes has the methods that the plugin's subclass overrides or calls.

    Raises:
        IncompatibleTorchreid: one is missing.
    """
    missing = [name for name in names if not hasattr(owner, name)]
    if missing:
        raise IncompatibleTorchreid(f"{owner.__module__}.{owner.__qualname__} has no {', '.join(missing)}")


def uses(value: Any) -> Iterator[tuple[ModuleType, str]]:
    """All (module of torchreid, name) pairs that refer to ``value``: the definition and all imports by name."""
    for module_name, module in list(sys.modules.items()):
        if module is not None and module_name.partition(".")[0] == torchreid.__name__:
            for name, bound in list(vars(module).items()):
                if bound is value:
                    yield module, name
