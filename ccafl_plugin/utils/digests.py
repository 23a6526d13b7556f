"""Sizes and SHA-256 digests of files, computed while a file is written and compared with what can be read."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

CHUNK = 2**22
"""Bytes that are read at once."""


@dataclass(frozen=True)
class FileFacts:
    """What identifies a file's content.

    Attributes:
        bytes: its size.
        sha256: 64 hexadecimal digits.
    """

    bytes: int
    sha256: str

    @classmethod
    def of(cls, saved: Any) -> FileFacts | None:
        """The facts that :meth:`as_dict` gave; None if there are none."""
        if not isinstance(saved, Mapping) or not {"bytes", "sha256"} <= saved.keys():
            return None
        return cls(saved["bytes"], saved["sha256"])

    def as_dict(self) -> dict[str, Any]:
        """For a manifest."""
        return asdict(self)


def facts_of_file(file: Path) -> FileFacts:
    """Reads a file."""
    digest, size = hashlib.sha256(), 0
    with open(file, "rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return FileFacts(size, digest.hexdigest())


def digest_of_file(file: str | Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal digits."""
    return facts_of_file(Path(file).expanduser()).sha256


def digest_of_text(text: str) -> str:
    """SHA-256 of a text in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def write_verified(file: Path, write: Callable[[Any], object]) -> FileFacts:
    """Writes a file, reads it back, and compares.

    Args:
        file: an existing file is overwritten.
        write: function that writes the content to a stream, such as ``functools.partial(torch.save, state)``.

    Raises:
        OSError: it could not be written, or what was read back is not what was written.
    """
    with open(file, "wb") as stream:
        hashing = _HashingStream(stream)
        try:
            write(hashing)
        except Exception:
            if hashing.error is not None:  # torch reports a full disk as an error of its own, without its number
                raise hashing.error from None
            raise
    written = FileFacts(hashing.size, hashing.digest.hexdigest())
    if facts_of_file(file) != written:
        raise OSError(errno.EIO, "what was read back is not what was written", str(file))
    return written


class _HashingStream:
    """Passes bytes on to a file and hashes them."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.digest = hashlib.sha256()
        self.size = 0
        self.error: OSError | None = None

    def write(self, content: Any) -> int:
        if self.error is not None:
            raise self.error
        try:
            self.stream.write(content)
        except OSError as error:
            self.error = error
            raise
        self.digest.update(content)
        self.size += len(memoryview(content).cast("B"))
        return len(content)

    def flush(self) -> None:
        self.stream.flush()
