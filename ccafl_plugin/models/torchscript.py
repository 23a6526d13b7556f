"""TorchScript archives, as OpenAI's CLIP files are: a zip of tensors beside a program, which is never run."""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor

from ccafl_plugin.models import tensor_pickle
from ccafl_plugin.models.tensor_archives import ZipArchive
from ccafl_plugin.models.tensor_pickle import BadFile

DEEPEST = 100
"""Modules inside one another in an archive."""


class _Module:
    """A module of a TorchScript archive: its fields by name."""

    source = ("", "")

    def __setstate__(self, state: Any) -> None:
        self.fields = state if isinstance(state, dict) else {}


def _find_in_torchscript(module: str, name: str) -> Any:
    if module == "__torch__" or module.startswith("__torch__."):
        return type("Module", (_Module,), {"source": (module, name)})
    if module == "torch.jit._pickle" and re.fullmatch(r"build_\w+list|restore_type_tag", name):
        return lambda value, *_: value
    return tensor_pickle.find(module, name)


def torchscript_state(archive: ZipArchive) -> tuple[dict[str, Tensor], str]:
    """The parameters and buffers of a TorchScript archive, by name, and the text of its program.

    The numbers that the program uses stand behind the text: a traced program has them beside it.

    Raises:
        BadFile: it can't be read.
    """
    texts = archive.texts()
    root = archive.load(find_class=_find_in_torchscript)
    constants = archive.load("constants", _find_in_torchscript)
    state: dict[str, Tensor] = {}

    def walk(module: _Module, prefix: str, depth: int) -> None:
        if depth > DEEPEST:
            raise BadFile("its modules are nested too deeply")
        listed = _listed(texts, *module.source)
        for name, value in getattr(module, "fields", {}).items():
            if isinstance(value, _Module):
                walk(value, f"{prefix}{name}.", depth + 1)
            elif isinstance(value, Tensor) and (listed is None or name in listed):
                state[f"{prefix}{name}"] = value

    if not isinstance(root, _Module):
        raise BadFile("it is a TorchScript archive without a module")
    walk(root, "", 0)
    values = constants if isinstance(constants, (tuple, list)) else ()
    numbers = {f"{value.item():.4g}" for value in values if isinstance(value, Tensor) and value.ndim == 0}
    return state, "\n".join([*texts.values(), *sorted(numbers)])


def _listed(texts: dict[str, str], module: str, name: str) -> set[str] | None:
    """Names of a class's parameters and buffers, as its program lists them; None where it has no text."""
    found = re.search(rf"^class {re.escape(name)}\(.*?(?=^class |\Z)", texts.get(module, ""), re.DOTALL | re.MULTILINE)
    if found is None:
        return None
    lists = re.findall(r"^  __(?:parameters|buffers)__ = \[(.*?)\]", found[0], re.MULTILINE)
    return {entry for text in lists for entry in re.findall(r'"([^"]*)"', text)}
