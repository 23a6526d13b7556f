"""Bytes of files of weights in every format, sound, changed and with code in them."""

from __future__ import annotations

import collections
import io
import os
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

RAN = "code-has-run"
"""What the code in these files would make in the working folder."""


class Touch:
    """Unpickling it makes the file ``RAN``."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {RAN}",)


class Evaluate:
    def __reduce__(self) -> tuple[Any, ...]:
        return eval, (f"open({RAN!r}, 'w')",)


class Through:
    """By a chain of harmless-looking names."""

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (Path(RAN), "touch")


class Load:
    """A second pickle inside, read by torch.load without its protection."""

    def __reduce__(self) -> tuple[Any, ...]:
        return torch.load, (RAN,)


def good() -> dict[str, torch.Tensor]:
    """Tensors of a model, whichever."""
    return collections.OrderedDict(weight=torch.arange(12.0).reshape(3, 4), bias=torch.zeros(3))


def saved(value: Any, **settings: Any) -> bytes:
    """What ``torch.save`` writes."""
    buffer = io.BytesIO()
    torch.save(value, buffer, **settings)
    return buffer.getvalue()


def stream(value: Any) -> bytes:
    """What ``torch.save`` wrote before torch 1.6."""
    return saved(value, _use_new_zipfile_serialization=False)


def rezipped(content: bytes, change: Callable[[str, bytes], bytes | None], compress: int = zipfile.ZIP_STORED) -> bytes:
    """A zip archive with its members changed; None leaves one out."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w", compress) as new:
        for name in old.namelist():
            member = change(name, old.read(name))
            if member is not None:
                new.writestr(name, member)
    return buffer.getvalue()


def with_pickle(content: bytes) -> bytes:
    """An archive of ``torch.save`` with another description of its tensors."""
    return rezipped(saved(good()), lambda name, old: content if name.endswith("data.pkl") else old)


def described(size: tuple[int, ...], stride: tuple[int, ...], offset: int = 0, numbers: int = 12) -> bytes:
    """An archive of one tensor that is described like this; its storage holds 12 float32."""

    class Described:
        def __reduce__(self) -> tuple[Any, ...]:
            return torch._utils._rebuild_tensor_v2, (self, offset, size, stride, False, collections.OrderedDict())

    class Pickler(pickle.Pickler):
        def __init__(self, file: io.BytesIO) -> None:
            super().__init__(file, protocol=2)
            self.inside = False

        def persistent_id(self, thing: Any) -> Any:
            if isinstance(thing, Described):
                if self.inside:
                    return ("storage", torch.FloatStorage, "0", "cpu", numbers)
                self.inside = True
            return None

    buffer = io.BytesIO()
    Pickler(buffer).dump({"weight": Described()})
    return with_pickle(buffer.getvalue())


def tar(members: dict[str, bytes]) -> bytes:
    """A tar archive, as torch before 0.2 wrote."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:", format=tarfile.PAX_FORMAT) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def old_tar(content: bytes | None = None) -> bytes:
    """Two tensors in the tar layout, written from torch's description of it; or another pickle in their place."""

    def dumped(*values: Any) -> bytes:
        return b"".join(pickle.dumps(value, protocol=2) for value in values)

    storages = dumped(1, (1, "cpu", torch.FloatStorage)) + struct.pack("<q", 12)
    storages += np.arange(12, dtype="<f4").tobytes() + dumped([])
    tensors = dumped(2, (10, 1, torch.FloatTensor)) + struct.pack("<iiqqqqq", 2, 0, 3, 4, 4, 1, 0)
    tensors += dumped((11, 1, torch.FloatTensor)) + struct.pack("<iiqqq", 1, 0, 3, 1, 4)

    class Pickler(pickle.Pickler):
        def persistent_id(self, thing: Any) -> Any:
            return str(thing.key) if isinstance(thing, Key) else None

    buffer = io.BytesIO()
    Pickler(buffer, protocol=2).dump(collections.OrderedDict(weight=Key(10), bias=Key(11)))
    names = {"sys_info": dumped({}), "pickle": content or buffer.getvalue(), "tensors": tensors, "storages": storages}
    return tar(names)


class Key:
    """Stands for a tensor in the tar layout's pickle."""

    def __init__(self, key: int) -> None:
        self.key = key


def nested(depth: int) -> bytes:
    """A pickle of lists inside one another."""
    return b"\x80\x02" + b"(" * depth + b"l" * depth + b"."


def picture(form: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, form)
    return buffer.getvalue()


def arrays() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, weight=np.zeros(3))
    return buffer.getvalue()


def array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([Touch()], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def safetensors(header: bytes, length: int | None = None, content: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + content


def flipped() -> bytes:
    """One bit of one weight changed."""
    content = bytearray(saved(good()))
    place = content.index(np.float32(7).tobytes())
    content[place] ^= 1
    return bytes(content)
