"""The entries of a dataset's lists: what torchreid takes without a look and fails at much later."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any

from ccafl_plugin.utils.errors import CCAFLError

FORM = "(path, person, camera), whole numbers from 0 behind the path"
_LABELS = ("person", "camera", "dataset")
_USUAL = [str, int, int, int]


def checked_entries(entries: Any, part: str, dataset: str) -> Sequence[Any]:
    """The entries of one of a dataset's lists as torchreid needs them.

    Args:
        entries: (path, person, camera) or (path, person, camera, dataset) of each image; of a video tracklet the path
            is a tuple of paths. Paths may be ``pathlib``'s.
        part: ``train``, ``query`` or ``gallery``, for messages.
        dataset: its name, for messages.

    Returns:
        The same object if nothing has to be changed; else a list in which paths are text.

    Raises:
        CCAFLError: columns in place of rows, entries of another form, or labels that are no whole numbers.
    """
    where = f"{dataset}, list {part}"
    if isinstance(entries, (str, bytes, dict)) or not isinstance(entries, Iterable):
        raise CCAFLError(f"{where}: it is a {type(entries).__name__}, not a list of entries {FORM}.")
    listed = entries if isinstance(entries, Sequence) else list(entries)
    if _are_columns(listed):
        raise CCAFLError(
            f"{where}: it has {len(listed)} columns in place of rows. Give list(zip(paths, people, cameras))."
        )
    fixed = [_entry(entry, number, where) for number, entry in enumerate(listed)]
    return listed if all(new is old for new, old in zip(fixed, listed, strict=True)) else fixed


def _are_columns(entries: Sequence[Any]) -> bool:
    """Whether paths, people and cameras are three lists."""
    if len(entries) not in (3, 4) or any(isinstance(column, (str, bytes, os.PathLike)) for column in entries):
        return False
    if not all(hasattr(column, "__len__") for column in entries) or len({len(column) for column in entries}) != 1:
        return False
    return len(entries[0]) > 0 and all(isinstance(path, (str, os.PathLike)) for path in entries[0])


def _entry(entry: Any, number: int, where: str) -> Any:
    if type(entry) is tuple and len(entry) in (3, 4) and list(map(type, entry)) == _USUAL[: len(entry)]:
        return entry
    if isinstance(entry, (str, bytes, dict)) or not hasattr(entry, "__len__") or len(entry) not in (3, 4):
        raise CCAFLError(f"{where}: entry {number} is {_short(entry)}, expected {FORM}.")
    path, *labels = entry
    for name, label in zip(_LABELS, labels, strict=False):
        if not isinstance(label, Integral) or isinstance(label, bool):
            kind = "text" if isinstance(label, str) else f"of type {type(label).__name__}"
            raise CCAFLError(
                f"{where}: the {name} of entry {number} ({_short(path)}) is {label!r}, {kind}; number them "
                "from 0, as int."
            )
    text = _path(path, f"{where}: entry {number}")
    return entry if text is path else (text, *labels)


def _path(path: Any, where: str) -> Any:
    """As text; torchreid's loader cannot put ``pathlib`` paths into a batch."""
    if isinstance(path, str):
        return path
    if isinstance(path, os.PathLike):
        return os.fspath(path)
    if isinstance(path, (list, tuple)) and path:  # a video tracklet
        texts = [_path(each, where) for each in path]
        return path if all(new is old for new, old in zip(texts, path, strict=True)) else tuple(texts)
    raise CCAFLError(f"{where} has the path {_short(path)}, expected text; entries are {FORM}.")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
