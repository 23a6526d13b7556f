"""Atomic writing of files, and the list of files that a command has written."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from ccafl_plugin.utils.errors import CCAFLError

PARTIAL = ".partial"
"""Suffix of a file that is being written."""


def write_whole(file: Path, write: Callable[[Path], object]) -> None:
    """Writes a file atomically: to a temporary file in the same folder, which is then renamed.

    Args:
        file: path of the file. Its folder is created if needed; an existing file is replaced.
        write: function that writes the content to the path that it gets.

    Raises:
        OSError: writing failed. An existing file is unchanged, and the temporary file is removed.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f"{file.name}.{os.getpid()}{PARTIAL}")
    try:
        write(partial)
        _flush_to_disk(partial)
        os.replace(partial, file)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    _flush_to_disk(file.parent)


def check_writable(file: Path) -> None:
    """Finds out before hours of work whether a file can be written; what is there stays as it is.

    Raises:
        CCAFLError: its folder can't be made or written into, or something else than a file is in its place.
    """
    try:
        if file.exists() and not file.is_file():
            raise CCAFLError(f"{file} can't be written: it is no file. Name another one.")
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=file.parent):
            pass
    except (OSError, ValueError) as error:
        if isinstance(error, CCAFLError):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise CCAFLError(f"{file} can't be written: {reason}. Name another one.") from error


def write_text_whole(file: Path, text: str) -> None:
    """:func:`write_whole` for a text, in UTF-8."""
    write_whole(file, lambda path: path.write_text(text, encoding="utf-8"))


class FolderWatch:
    """Finds the files that are written into a folder after this object is created.

    Args:
        folder: it need not exist yet.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._before = self._times()

    def written(self) -> list[str]:
        """Names of new or changed files, and of folders (with a slash) that contain such files."""
        changed = [file for file, time in self._times().items() if self._before.get(file) != time]
        parts = [file.relative_to(self.folder).parts for file in changed]
        return sorted({names[0] + "/" * (len(names) > 1) for names in parts})

    def _times(self) -> dict[Path, int]:
        times: dict[Path, int] = {}
        for file in self.folder.rglob("*") if self.folder.is_dir() else ():
            with contextlib.suppress(OSError):  # deleted after it was listed
                if file.is_file() and file.name != ".lock":  # utils.folder_lock's
                    times[file] = file.stat().st_mtime_ns
        return times


def written_line(folder: str | Path, names: Iterable[str]) -> str:
    """The last line that a command prints: its folder and the files that it wrote."""
    return f"Written to {folder}: {', '.join(names) or 'nothing'}"


def _flush_to_disk(path: Path) -> None:
    """Waits until a file's content, or a folder's list of names, is on the disk; not possible for Windows folders."""
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
