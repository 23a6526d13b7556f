"""What a file is by its first bytes, for messages: people save web pages, error texts and pointers as weights."""

from __future__ import annotations

import os
import stat
from pathlib import Path

HEAD = 512
"""How many bytes :func:`wrong_kind` looks at."""

_BEGINNINGS = (
    (b"version https://git-lfs", "a pointer of Git LFS, not the file itself; run git lfs pull"),
    (b"\x1f\x8b", "a gzip archive; unpack it first"),
    (b"BZh", "a bzip2 archive; unpack it first"),
    (b"\xfd7zXZ\0", "an xz archive; unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive; unpack it first"),
    (b"Rar!", "a RAR archive; unpack it first"),
    (b"\x89HDF", "an HDF5 file, as Keras writes; convert it to a state dict first"),
    (b"\x93NUMPY", "a NumPy array, not weights with names; name a file of weights"),
    (b"\x89PNG", "a PNG image; name a file of weights"),
    (b"\xff\xd8\xff", "a JPEG image; name a file of weights"),
    (b"%PDF", "a PDF document; name a file of weights"),
    (b"\x7fELF", "a program; name a file of weights"),
    (b"MZ", "a program; name a file of weights"),
)


def wrong_kind(head: bytes) -> str | None:
    """What the first bytes of a file say that it is, if it can't be weights, a data set or an archive of these.

    Args:
        head: the first ``HEAD`` bytes, fewer of a shorter file.

    Returns:
        Such as ``a web page``, with what to do; None where nothing is known to be wrong.
    """
    if not head:
        return "an empty file; fetch or copy it again"
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<script")):
        return "a web page, as a server sends it in place of a file that needs a login or is gone; fetch it by hand"
    for beginning, kind in _BEGINNINGS:
        if head.startswith(beginning):
            return kind
    text = head[:-3].decode("utf-8", errors="replace") if len(head) == HEAD else head.decode("utf-8", errors="replace")
    if "\ufffd" not in text and all(letter.isprintable() or letter in "\t\r\n" for letter in text):
        return f"a text that begins with {' '.join(text.split())[:40]!r}; name a file of weights"
    return None


def head_of(path: Path) -> bytes:
    """The first bytes of a file, for :func:`wrong_kind`."""
    with path.open("rb") as file:
        return file.read(HEAD)


def not_a_file(path: str | os.PathLike[str]) -> str | None:
    """Why a path is no ordinary file; None if it is one. Opens nothing: a pipe would be waited for.

    Returns:
        Such as ``it does not exist``, ``it is a folder``, ``it is a pipe``.
    """
    try:
        mode = os.stat(path).st_mode
    except ValueError:
        return "its name holds a zero byte"
    except FileNotFoundError:
        return "it does not exist"
    except OSError as error:
        return (error.strerror or type(error).__name__).lower()
    if stat.S_ISREG(mode):
        return None
    kinds = (
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
    )
    return f"it is {next((kind for test, kind in kinds if test(mode)), 'no ordinary file')}, not a file"


def not_a_folder(path: str | os.PathLike[str]) -> str | None:
    """Why the names in a folder can't be read; None if they can.

    Returns:
        Such as ``does not exist``, ``is a file``, ``can't be read: Permission denied``.
    """
    try:
        os.listdir(path)
    except ValueError:
        return "holds a zero byte"
    except FileNotFoundError:
        return "does not exist"
    except NotADirectoryError:
        return "is no folder"
    except OSError as error:
        return f"can't be read: {error.strerror or type(error).__name__}"
    return None
