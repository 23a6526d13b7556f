"""Files that are no weights, damaged ones, and ones that would run code, by name; each with what is said of it."""

from __future__ import annotations

import argparse
import collections
import gzip
import io
import json
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
from torch import nn

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


HEADER = b'{"weight":{"dtype":"F32","shape":[3,4],"data_offsets":[0,48]}}'
DAMAGED = "its description of the tensors is damaged"

CODE = {
    "a bare pickle": (lambda: pickle.dumps(Touch()), r"it names posix\.system"),
    "a bare pickle of the first protocol": (lambda: pickle.dumps(Touch(), protocol=0), "it is a text that begins with"),
    "in torch.save's archive": (lambda: saved({"state_dict": {"weight": Touch()}}), r"it names posix\.system"),
    "in torch.save's old stream": (lambda: stream({"state_dict": {"weight": Touch()}}), r"it names posix\.system"),
    "in the oldest layout": (lambda: old_tar(pickle.dumps(Touch(), protocol=2)), r"it names posix\.system"),
    "eval": (lambda: saved(Evaluate()), r"it names (builtins|__builtin__)\.eval"),
    "getattr on a path": (lambda: saved(Through()), r"it names (builtins|__builtin__|pathlib)\."),
    "torch.load inside": (lambda: saved(Load()), r"it names torch\.serialization\.load"),
    "an object array of NumPy": (array, "it is a NumPy array, not weights with names"),
    "NumPy's reconstruction": (
        lambda: saved({"weight": np.zeros(3)}),
        r"it names numpy\.(_core|core)\.multiarray\._reconstruct",
    ),
    "a whole model": (lambda: saved(nn.Linear(2, 2)), r"it names torch\.nn\.modules\.linear\.Linear"),
    "settings of a program": (lambda: saved({"args": argparse.Namespace(lr=1)}), r"it names argparse\.Namespace"),
    "INST, an old way to call": (
        lambda: with_pickle(b"(S'touch " + RAN.encode() + b"'\niposix\nsystem\n."),
        "an operation that torch never writes",
    ),
    "OBJ, another": (
        lambda: with_pickle(b"(cposix\nsystem\nS'touch " + RAN.encode() + b"'\no."),
        "an operation that torch never writes",
    ),
    "STACK_GLOBAL": (lambda: with_pickle(pickle.dumps(Touch(), protocol=4)), r"it names posix\.system"),
    "a registered extension": (lambda: with_pickle(b"\x80\x02\x82\x01)R."), "an operation that torch never writes"),
    "code set on a function": (
        lambda: with_pickle(b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}U\x08__code__K\x01s\x86b."),
        DAMAGED,
    ),
    "a method set on a class": (
        lambda: with_pickle(b"\x80\x02ccollections\nOrderedDict\nN}U\x05itemsK\x01s\x86b."),
        DAMAGED,
    ),
    "an item set on a number": (lambda: with_pickle(b"\x80\x02K\x05U\x01aK\x01s."), DAMAGED),
}
"""Files that would run something, or change the process, if they were unpickled as usual."""

NO_WEIGHTS = {
    "an empty file": (lambda: b"", "it is an empty file"),
    "a web page": (lambda: b"<!DOCTYPE html>\n<html><body>Sign in</body></html>", "it is a web page"),
    "a web page behind blanks": (lambda: b"\xef\xbb\xbf\r\n  <HTML><head></head></HTML>", "it is a web page"),
    "a server's error": (lambda: b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "it is a web page"),
    "a JSON error": (lambda: b'{"message": "Not Found"}', "it is a text that begins with"),
    "a note": (lambda: b"weights are on the other disk", "it is a text that begins with 'weights are on"),
    "a pointer of Git LFS": (
        lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        "pointer of Git LFS",
    ),
    "a gzip archive": (lambda: gzip.compress(saved(good())), "it is a gzip archive; unpack it first"),
    "a JPEG image": (lambda: picture("JPEG"), "it is a JPEG image"),
    "a PNG image": (lambda: picture("PNG"), "it is a PNG image"),
    "an HDF5 file": (lambda: b"\x89HDF\r\n\x1a\n" + bytes(90), "it is an HDF5 file"),
    "a program": (lambda: b"\x7fELF\x02\x01\x01" + bytes(90), "it is a program"),
    "NumPy's arrays": (arrays, r"it is a zip archive, but not one of torch \(it holds weight\.npy\)"),
    "a tar archive of something": (lambda: tar({"notes.txt": b"x"}), "it is a tar archive, but not one of torch"),
    "random bytes": (lambda: bytes(range(200, 256)) * 3, "it begins with the bytes c8 c9"),
    "a pickle of a dict": (
        lambda: pickle.dumps({"weight": [1.0]}),
        "it is a pickle, but not one that torch.save wrote",
    ),
}

DAMAGES = {
    "half an archive": (lambda: saved(good())[:600], "its end is missing: it is cut off"),
    "an archive without its last bytes": (lambda: saved(good())[:-30], "its end is missing: it is cut off"),
    "one flipped bit in a weight": (flipped, r"it is damaged: its member data/0 does not agree with its checksum"),
    "a storage that is missing": (
        lambda: rezipped(saved(good()), lambda name, old: None if name.endswith("data/1") else old),
        "it is incomplete: its member data/1 is missing",
    ),
    "a storage that is too short": (
        lambda: rezipped(saved(good()), lambda name, old: old[:8] if name.endswith("data/0") else old),
        "its member data/0 is shorter than its description says",
    ),
    "a compressed archive": (
        lambda: rezipped(saved(good()), lambda _, old: old, zipfile.ZIP_DEFLATED),
        "is compressed, which torch never does",
    ),
    "numbers of another machine": (
        lambda: rezipped(saved(good()), lambda name, old: b"big" if name.endswith("byteorder") else old),
        "its numbers are big-endian",
    ),
    "half a pickle": (lambda: with_pickle(pickle.dumps({"a": 1}, protocol=2)[:-4]), DAMAGED),
    "an empty pickle": (lambda: with_pickle(b""), DAMAGED),
    "an unknown storage": (lambda: with_pickle(b"\x80\x02U\x05hello."), ""),
    "a description without a storage": (
        lambda: with_pickle(b"\x80\x02(U\x07storageK\x01K\x02K\x03K\x04tQ."),
        "storage",
    ),
    "a tensor beyond its storage": (
        lambda: described((3, 5), (5, 1)),
        r"a tensor of size \(3, 5\) that reaches beyond",
    ),
    "a tensor far beyond": (lambda: described((2,), (2**62,)), "that reaches beyond its data"),
    "an offset beyond": (lambda: described((1,), (1,), offset=12), "that reaches beyond its data"),
    "a negative stride": (lambda: described((3,), (-1,), offset=5), r"a tensor of size \(3,\) and stride \(-1,\)"),
    "a negative offset": (lambda: described((3,), (1,), offset=-4), "a tensor of size"),
    "a storage longer than it is": (lambda: described((3,), (1,), numbers=2**40), "is shorter than its description"),
    "a storage of -1 numbers": (lambda: described((3,), (1,), numbers=-1), "a storage of -1 numbers"),
    "a pickle that wants all memory": (
        lambda: with_pickle(b"\x80\x02Nr\xff\xff\xff\x7f."),
        "numbers more objects than",
    ),
    "half a stream": (lambda: stream(good())[:-20], "it is cut off: its numbers end too early"),
    "a stream's beginning": (lambda: stream(good())[:200], "its description of the tensors is damaged"),
    "a stream that promises more": (
        lambda: stream({"weight": torch.zeros(5)}).replace(b"K\x05N", b"K\xffN"),
        "it is cut off: its tensors need more bytes than it has",
    ),
    "half the oldest layout": (lambda: old_tar()[:1024], "(cut off|not one of torch)"),
    "half of safetensors": (lambda: safetensors(HEADER, content=bytes(20)), "begins like safetensors, but is cut off"),
    "safetensors without a header": (lambda: safetensors(b"{" + bytes(30)), "begins like safetensors, but is cut off"),
    "safetensors' header of 10 GB": (lambda: safetensors(HEADER, 10**10), "it begins with the bytes 00 e4 0b 54 02"),
    "safetensors with holes": (
        lambda: safetensors(HEADER.replace(b"[0,48]", b"[8,56]"), content=bytes(56)),
        "begins like safetensors, but is cut off",
    ),
}

CONTENT = {
    "a number for the tensors": (lambda: saved({"state_dict": 5}), r"its 'state_dict' is an int"),
    "a number for the model": (lambda: saved({"model": 5}), r"its 'model' is an int"),
    "numbers": (lambda: saved({1: 2}), r"it has the key 1, which is no name"),
    "a list": (lambda: saved([torch.zeros(2)]), "it (holds|is) a list"),
    "one tensor": (lambda: saved(torch.zeros(2)), "it (holds|is) a Tensor"),
    "nothing": (lambda: saved({}), "it is empty"),
    "None": (lambda: saved({"state_dict": None}), r"its 'state_dict' is a NoneType"),
    "a list for a tensor": (lambda: saved({**good(), "bias": [0.0, 0.0]}), r"it has a list under 'bias'"),
    "a number for a tensor, below": (
        lambda: saved({"state_dict": {**good(), "n": 3}}),
        r"'state_dict' has an int under 'n'",
    ),
    "an optimizer alone": (
        lambda: saved(torch.optim.Adam(nn.Linear(2, 2).parameters()).state_dict()),
        r"holds no tensor under its names \('state', 'param_groups'\)",
    ),
    "scores": (lambda: saved({"epoch": 3, "rank1": 0.5, "note": json.dumps({})}), r"holds no tensor under its names"),
}
"""Files that are read, and hold something else than tensors by name."""

ALL = {
    **{f"code: {name}": case for name, case in CODE.items()},
    **{f"no weights: {name}": case for name, case in NO_WEIGHTS.items()},
    **{f"damage: {name}": case for name, case in DAMAGES.items()},
    **{f"content: {name}": case for name, case in CONTENT.items()},
}
