"""What torchreid's datasets, samplers and transforms raise, as one line with the dataset's name and the remedy."""

from __future__ import annotations

import errno
import linecache
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.files import write_text_whole

TRACEBACK = "error.txt"
"""In a run's folder: where an error that nobody has foreseen came from."""

FILES = ("img_path", "impath", "img_name", "img_info", "list_path", "fpath", "split_path", "dir_path", "dirname")
"""What torchreid's classes call the file or folder that they are at, the closest first."""


@contextmanager
def named_datasets() -> Iterator[None]:
    """Context in which torchreid builds datasets, samplers and transforms.

    Raises:
        CCAFLError: in place of any exception but full memory and disks. It names the dataset, sampler or transforms,
            the reason and, where torchreid's code knew one, the file. The exception is its cause.
    """
    try:
        yield
    except (CCAFLError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:  # no matter of the dataset's
            raise
        raise CCAFLError(_line(error)) from error


def _line(error: Exception) -> str:
    frames = [(frame, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    reason = reason_of(error)
    for frame, _ in reversed(frames):
        values, function = frame.f_locals, frame.f_code.co_name
        if function == "build_train_sampler":
            return (
                f"sampler.train_sampler: {values.get('train_sampler')} can't be built: {reason}. Change its sizes or "
                "choose another sampler."
            )
        if function == "build_transforms":
            return f"data.transforms: {values.get('transforms')} can't be built: {reason}. Change them."
        if function == "init_image_dataset":
            at = _file_at([each for each, _ in frames])
            kept = (
                " If splits were made of other files, delete the splits*.json in its folder." if "split" in at else ""
            )
            return (
                f"{values.get('name')}: torchreid can't read it below {values.get('kwargs', {}).get('root')}: "
                f"{reason}{at}. Compare the folder with the dataset's archive, or unpack it again.{kept}"
            )
    return f"data.sources: the data can't be prepared: {reason}. --debug shows where."


def unforeseen(error: Exception, folder: str) -> CCAFLError:
    """The line for an exception that no check has foreseen; the caller raises or prints it.

    Its traceback is written into the folder of the run, since such an error may come after hours and not come again.
    """
    steps = list(traceback.walk_tb(error.__traceback__))
    where = ""
    if steps:
        frame, line = steps[-1]
        where = f" in {frame.f_globals.get('__name__', frame.f_code.co_filename)}, line {line}"
    try:
        file = Path(folder) / TRACEBACK
        write_text_whole(file, "".join(traceback.format_exception(error)))
        whole = f"its traceback is in {file}"
    except OSError:
        whole = "--debug prints where it came from"
    made = CCAFLError(f"{reason_of(error)}{where}. Nobody has foreseen this; {whole}. Please report it.")
    made.__cause__ = error
    return made


def reason_of(error: BaseException) -> str:
    """An exception in a few words; one without a text by the line of code that raised it."""
    text = " ".join(str(error).split())
    if isinstance(error, KeyError):
        return f"there is no entry {text}"
    if isinstance(error, AssertionError) and not text:
        return f"{_source_of(error.__traceback__) or 'a condition'} does not hold"
    if isinstance(error, AttributeError) and "'NoneType' object has no attribute 'group" in text:
        return "a name is not of the form that it expects"
    name = type(error).__name__
    return f"{text} ({name})" if text else name


def _source_of(place: TracebackType | None) -> str:
    """The line of code that raised, without ``assert``."""
    steps = list(traceback.walk_tb(place))
    if not steps:
        return ""
    frame, line = steps[-1]
    return linecache.getline(frame.f_code.co_filename, line).strip().removeprefix("assert ").split(", \\")[0]


def _file_at(frames: list[FrameType]) -> str:
    """The file that torchreid's code was at, as the end of a sentence; empty if it had none."""
    for frame in reversed(frames):
        values: Mapping[str, Any] = frame.f_locals
        if ".data.datasets." not in frame.f_globals.get("__name__", ""):
            continue
        for name in FILES:
            value = values.get(name, getattr(values.get("self"), name, None))
            if isinstance(value, str) and value:
                return f", at {value.strip()}"
    return ""
