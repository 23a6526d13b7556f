"""The four layouts in which torch has written tensors to files, read without torch's own loaders.

Since torch 1.6 ``torch.save`` writes a zip archive, TorchScript another one; before, it wrote one stream, and before
torch 0.2 a tar archive. All four are pickles (:mod:`~ccafl_plugin.models.tensor_pickle`) beside raw numbers.
"""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from ccafl_plugin.models import tensor_pickle
from ccafl_plugin.models.tensor_pickle import BadFile, Storage, StorageKind

STREAM_MAGIC = 0x1950A86A20F9469CFC6C
STREAM_PROTOCOL = 1001


def memory(content: bytes) -> Tensor:
    """(n,) uint8 tensor of its own with these bytes."""
    made = torch.empty(len(content), dtype=torch.uint8)
    made.numpy()[:] = np.frombuffer(content, np.uint8)
    return made


class ZipArchive:
    """The zip archive of ``torch.save`` or of TorchScript.

    Args:
        path: of the file.

    Raises:
        BadFile: it is cut off, damaged, compressed, or another kind of zip archive.
    """

    def __init__(self, path: Path) -> None:
        try:
            self.archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            raise BadFile("it begins like torch's archives, but its end is missing: it is cut off") from error
        names = self.archive.namelist()
        found = [name for name in names if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(found) != 1:
            shown = ", ".join(names[:3]) or "nothing"
            raise BadFile(f"it is a zip archive, but not one of torch (it holds {shown}); unpack it first")
        self.folder = found[0].rpartition("/")[0]
        self.names = set(names)
        self._storages: dict[str, Storage] = {}

    def close(self) -> None:
        """Closes the file."""
        self.archive.close()

    @property
    def is_torchscript(self) -> bool:
        """Whether it holds a program beside its tensors."""
        return f"{self.folder}/constants.pkl" in self.names

    def read(self, name: str) -> bytes:
        """A member as it is stored, with its checksum compared.

        Raises:
            BadFile: it is missing, damaged, or compressed: torch compresses nothing but a program's text, and few
                compressed bytes may hold more than fits into the memory.
        """
        member = f"{self.folder}/{name}"
        if member not in self.names:
            raise BadFile(f"it is incomplete: its member {name} is missing")
        info = self.archive.getinfo(member)
        if info.compress_type != zipfile.ZIP_STORED:
            raise BadFile(f"its member {name} is compressed, which torch never does")
        try:
            return self.archive.read(info)
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, NotImplementedError) as error:
            raise BadFile(f"it is damaged: its member {name} does not agree with its checksum") from error

    def texts(self) -> dict[str, str]:
        """The text of a TorchScript archive's program, by module; it is read, never run."""
        found = {}
        for member in sorted(self.names):
            if member.startswith(f"{self.folder}/code/") and member.endswith(".py"):
                with self.archive.open(member) as file:
                    text = file.read(2**24).decode("utf-8", errors="replace")
                module = member.removeprefix(f"{self.folder}/code/").removesuffix(".py").replace("/", ".")
                found[module] = text
        return found

    def load(self, part: str = "data", find_class: Any = tensor_pickle.find) -> Any:
        """What the archive holds.

        Args:
            part: ``data``, or ``constants`` for the numbers that a TorchScript program uses.
            find_class: gives the object for a name in the pickle.

        Raises:
            BadFile: it can't be read.
        """
        if "byteorder" in {name.rpartition("/")[2] for name in self.names} and self.read("byteorder") != b"little":
            raise BadFile("its numbers are big-endian; save it again on another machine")
        content = io.BytesIO(self.read(f"{part}.pkl"))
        return tensor_pickle.load(content, lambda saved: self._storage(part, saved), find_class)

    def _storage(self, part: str, saved: Any) -> Storage:
        kind, key, count = _description(saved, 5)
        name = f"{part}/{key}"
        if name not in self._storages:
            self._storages[name] = Storage(memory(self.read(name)), kind.dtype)
        storage = self._storages[name]
        if storage.content.numel() < kind.num_bytes(count):
            raise BadFile(f"its member {name} is shorter than its description says")
        return storage if storage.dtype == kind.dtype else Storage(storage.content, kind.dtype)


def _description(saved: Any, length: int) -> tuple[StorageKind, str, int]:
    """(kind, key, numbers) of what a pickle says instead of a storage."""
    if not isinstance(saved, tuple) or len(saved) < length or saved[0] != "storage":
        raise BadFile("it holds a whole model, not its weights alone; its author has to save model.state_dict()")
    kind, key, count = saved[1], saved[2], saved[4]
    if not isinstance(kind, StorageKind):
        raise BadFile("it describes a storage of an unknown kind")
    return kind, str(key), count


def read_stream(file: BinaryIO, size: int) -> Any:
    """What ``torch.save`` wrote from torch 0.2 to 1.5, and still writes on request.

    Args:
        file: at its beginning.
        size: of the file in bytes.

    Raises:
        BadFile: it can't be read.
    """
    if tensor_pickle.load(file) != STREAM_MAGIC or tensor_pickle.load(file) != STREAM_PROTOCOL:
        raise BadFile("it is a pickle, but not one that torch.save wrote")
    system = tensor_pickle.load(file)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise BadFile("its numbers are big-endian; save it again on another machine")
    storages: dict[str, Storage] = {}
    promised = 0

    def storage(saved: Any) -> Storage:
        nonlocal promised
        kind, key, count = _description(saved, 5)
        length = kind.num_bytes(count)
        if key not in storages:
            promised += length
            if promised > size:
                raise BadFile("it is cut off: its tensors need more bytes than it has")
            storages[key] = Storage(torch.empty(length, dtype=torch.uint8), kind.dtype)
        found = storages[key]
        view = saved[5] if len(saved) > 5 else None
        if view is not None:  # of torch before 0.4: a part of a storage as a storage of its own
            _, start, numbers = view
            begin = kind.num_bytes(start)
            return Storage(found.content[begin : begin + kind.num_bytes(numbers)], kind.dtype)
        return found

    value = tensor_pickle.load(file, storage)
    keys = tensor_pickle.load(file)
    if not isinstance(keys, list):
        raise BadFile("its list of storages is damaged")
    for key in keys:
        if str(key) not in storages:
            raise BadFile("its list of storages is damaged")
        _fill(file, storages[str(key)])
    return value


def _fill(file: BinaryIO, storage: Storage) -> None:
    """Reads a storage as a stream has it: how many numbers, then the numbers."""
    length = storage.content.numel()
    size = 1 if storage.dtype is None else storage.dtype.itemsize
    (numbers,) = struct.unpack("<q", _exactly(file, 8))
    if numbers * size != length:
        raise BadFile("one of its storages has another length than its description says")
    storage.content.numpy()[:] = np.frombuffer(_exactly(file, length), np.uint8)


def _exactly(file: BinaryIO, length: int) -> bytes:
    content = file.read(length)
    if len(content) != length:
        raise BadFile("it is cut off: its numbers end too early")
    return content


def read_tar(path: Path) -> Any:
    """What ``torch.save`` wrote before torch 0.2; nothing is unpacked to the disk.

    Raises:
        BadFile: it can't be read.
    """
    try:
        with tarfile.open(path, "r:") as archive:
            members = {name: _member(archive, name) for name in ("storages", "tensors", "pickle")}
            return _read_tar(members, path.stat().st_size)
    except (tarfile.TarError, struct.error, EOFError, OSError) as error:
        raise BadFile("it is cut off or damaged") from error


def _member(archive: tarfile.TarFile, name: str) -> Any:
    try:
        found = archive.extractfile(name)
    except KeyError:
        found = None
    if found is None:
        raise BadFile("it is a tar archive, but not one of torch; unpack it first")
    return found


def _read_tar(members: dict[str, Any], size: int) -> Any:
    objects: dict[int, Any] = {}
    file = members["storages"]
    for _ in range(_count(tensor_pickle.load(file), size)):
        key, _location, kind = _three(tensor_pickle.load(file))
        if not isinstance(kind, StorageKind):
            raise BadFile("it describes a storage of an unknown kind")
        (numbers,) = struct.unpack("<q", _exactly(file, 8))
        objects[key] = Storage(memory(_exactly(file, _count(kind.num_bytes(numbers), size))), kind.dtype)
    for view in tensor_pickle.load(file):
        key, root, offset, numbers = view
        whole = _stored(objects, root)
        kind = StorageKind(whole.dtype)
        begin = kind.num_bytes(offset)
        objects[key] = Storage(whole.content[begin : begin + kind.num_bytes(numbers)], whole.dtype)
    file = members["tensors"]
    for _ in range(_count(tensor_pickle.load(file), size)):
        key, root, _kind = _three(tensor_pickle.load(file))
        dimensions, _padding = struct.unpack("<ii", _exactly(file, 8))
        dimensions = _count(dimensions, 64)
        shape = struct.unpack(f"<{dimensions}q", _exactly(file, 8 * dimensions))
        stride = struct.unpack(f"<{dimensions}q", _exactly(file, 8 * dimensions))
        (offset,) = struct.unpack("<q", _exactly(file, 8))
        objects[key] = tensor_pickle.tensor(_stored(objects, root), offset, shape, stride)
    return tensor_pickle.load(members["pickle"], lambda saved: objects[int(saved)])


def _three(value: Any) -> tuple[Any, Any, Any]:
    if not isinstance(value, tuple) or len(value) != 3:
        raise BadFile("its list of tensors is damaged")
    return value


def _stored(objects: dict[int, Any], key: Any) -> Storage:
    if not isinstance(found := objects.get(key), Storage):
        raise BadFile("its list of tensors is damaged")
    return found


def _count(value: Any, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise BadFile("it is cut off or damaged: it counts more tensors than it can hold")
    return value
