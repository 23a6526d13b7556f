"""Pickles that hold tensors, numbers, texts and containers, and nothing else: no code in a file is ever run.

A pickle names what is called to rebuild its objects. :func:`find` answers a short list of names with functions of its
own and refuses every other one, so what a file names is neither looked up nor imported. torch's ``weights_only`` is not
relied on: it could be made to run code before torch 2.6 (CVE-2025-32434) and to corrupt memory before 2.10
(CVE-2026-24747); torch before 2.5 can't be told about NumPy's numbers, which every checkpoint of torchreid holds; and
from 2.6 on it refuses the oldest format, in which torchreid's ImageNet weights of ResNets are.
"""

from __future__ import annotations

import collections
import io
import pickle
import pickletools
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor, nn


class BadFile(Exception):
    """A file is not what it should be. The text says what was found and, behind a semicolon, what to do about it."""


class Storage:
    """The memory of one or more tensors.

    Args:
        content: (n,) uint8, contiguous.
        dtype: of its numbers; None where each tensor says it.
    """

    def __init__(self, content: Tensor, dtype: torch.dtype | None) -> None:
        self.content = content
        self.dtype = dtype


class StorageKind:
    """What a pickle calls ``torch.FloatStorage``: the dtype, None for untyped storages."""

    def __init__(self, dtype: torch.dtype | None) -> None:
        self.dtype = dtype

    def num_bytes(self, count: Any) -> int:
        """Of ``count`` numbers.

        Raises:
            BadFile: ``count`` is no number of things.
        """
        if type(count) is not int or count < 0:
            raise BadFile(f"it describes a storage of {count!r} numbers")
        return count * (1 if self.dtype is None else self.dtype.itemsize)


STORAGES: dict[str, torch.dtype | None] = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
    "UntypedStorage": None,
}
NUMBERS = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
"""NumPy's kinds of numbers that are read."""


def tensor(storage: Any, offset: Any, size: Any, stride: Any, dtype: torch.dtype | None = None) -> Tensor:
    """A view of a storage.

    Args:
        storage: a :class:`Storage`.
        offset: of the first number, in numbers.
        size: of the tensor.
        stride: of the tensor.
        dtype: None: the storage's.

    Raises:
        BadFile: it would reach beyond the storage, or is not described by numbers.
    """
    dtype = dtype or getattr(storage, "dtype", None)
    if not isinstance(storage, Storage) or not isinstance(dtype, torch.dtype):
        raise BadFile("it describes a tensor without data")
    numbers = (offset, *size, *stride)
    if len(size) != len(stride) or any(type(number) is not int or number < 0 for number in numbers):
        raise BadFile(f"it describes a tensor of size {tuple(size)} and stride {tuple(stride)}")
    end = offset + sum((count - 1) * step for count, step in zip(size, stride, strict=True)) + 1 if all(size) else 0
    if end * dtype.itemsize > storage.content.numel():
        raise BadFile(f"it describes a tensor of size {tuple(size)} that reaches beyond its data")
    # a storage may be a part of another
    start, rest = divmod(int(storage.content.storage_offset()), dtype.itemsize)
    if rest:
        raise BadFile("it describes a tensor that begins inside a number")
    whole = storage.content.untyped_storage()
    return torch.empty(0, dtype=dtype).set_(whole, start + offset if end else 0, size, stride)


def _tensor_v2(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Tensor:
    return tensor(storage, offset, size, stride)


def _tensor_v3(storage: Any, offset: Any, size: Any, stride: Any, *rest: Any) -> Tensor:
    return tensor(storage, offset, size, stride, rest[2])  # behind requires_grad and hooks


def _parameter(data: Any, requires_grad: Any = True, *_: Any) -> nn.Parameter:
    if not isinstance(data, Tensor):
        raise BadFile(f"it describes a parameter of {type(data).__name__}")
    return nn.Parameter(data, bool(requires_grad) and data.is_floating_point())


class _NumberType:
    """What a pickle calls ``numpy.dtype``: the kind of a NumPy number."""

    def __init__(self, code: Any, *_: Any) -> None:
        self.code = code
        self.order = "<"

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">", "|"):
            self.order = state[1].replace("|", "<")


def _number(kind: Any, content: Any) -> Any:
    content = content.encode("latin1") if isinstance(content, str) else content  # Python 2 had no bytes
    if not isinstance(kind, _NumberType) or kind.code not in NUMBERS or not isinstance(content, bytes):
        raise BadFile("it describes a NumPy number of an unknown kind")
    dtype = np.dtype(kind.order + kind.code)
    if len(content) != dtype.itemsize:
        raise BadFile("it describes a NumPy number that is cut off")
    return np.frombuffer(content, dtype)[0]


def _encoded(text: Any, _encoding: Any = None) -> bytes:
    return str(text).encode("latin1")


def _counter(counts: Any = ()) -> collections.Counter[Any]:
    return collections.Counter(dict(counts))


TYPES: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch", "Size"): torch.Size,
    ("torch", "device"): torch.device,
    ("builtins", "set"): set,
    ("__builtin__", "set"): set,
}
"""Types of C, which no pickle can change."""

FUNCTIONS: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "Counter"): _counter,
    ("torch._utils", "_rebuild_tensor"): _tensor_v2,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor_v2,
    ("torch._utils", "_rebuild_tensor_v3"): _tensor_v3,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("_codecs", "encode"): _encoded,
    ("numpy.core.multiarray", "scalar"): _number,
    ("numpy._core.multiarray", "scalar"): _number,
}
"""What is called in place of what a pickle names."""


def find(module: str, name: str) -> Any:
    """What a name in a pickle stands for.

    Raises:
        BadFile: anything that tensors, numbers and containers don't need. It is not looked up.
    """
    if (module, name) in TYPES:
        return TYPES[module, name]
    if (module, name) in FUNCTIONS:
        function = FUNCTIONS[module, name]
        return lambda *given: function(*given)  # of its own for each file: a pickle can set attributes of what it names
    if (module, name) == ("numpy", "dtype"):
        return type("NumberType", (_NumberType,), {})
    if (module, name) == ("torch.nn.parameter", "Parameter"):  # as torch wrote them before 0.2
        return type("OldParameter", (), {"__new__": lambda _, *given: nn.Parameter(*given)})
    if module in ("torch", "torch.cuda", "torch.storage") and name in STORAGES:
        return StorageKind(STORAGES[name])
    if module in ("torch", "torch.cuda") and name.endswith("Tensor") and f"{name[:-6]}Storage" in STORAGES:
        return StorageKind(STORAGES[f"{name[:-6]}Storage"])
    if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype):
        return getattr(torch, name)
    raise BadFile(
        f"it names {module}.{name}, and to read whatever a file names is to run it; ask for the weights alone, as "
        "torch.save(model.state_dict()) or safetensors write them"
    )


def load(
    file: BinaryIO,
    persistent_load: Callable[[Any], Any] | None = None,
    find_class: Callable[[str, str], Any] = find,
) -> Any:
    """Reads one pickle and leaves the file behind it.

    Args:
        file: positioned at the pickle.
        persistent_load: gives the object for what a pickle says instead of it.
        find_class: gives the object for a name.

    Raises:
        BadFile: it names something that is not read, or is no pickle.
    """
    try:
        content = _one_pickle(file)
        return _Unpickler(content, find_class, persistent_load).load()
    except BadFile:
        raise
    except RecursionError as error:
        raise BadFile("its description of the tensors is nested too deeply") from error
    except Exception as error:  # a damaged pickle fails in any way there is, with a KeyError even
        reason = " ".join(str(error).split())[:80] or type(error).__name__
        raise BadFile(f"its description of the tensors is damaged ({reason})") from error


class _Unpickler(pickle.Unpickler):
    def __init__(
        self,
        content: bytes,
        find_class: Callable[[str, str], Any],
        persistent_load: Callable[[Any], Any] | None,
    ) -> None:
        super().__init__(io.BytesIO(content), encoding="latin1")  # torch under Python 2 wrote names as bytes
        self._find = find_class
        self._load = persistent_load

    def find_class(self, module: str, name: str) -> Any:
        return self._find(module, name)

    def persistent_load(self, saved: Any) -> Any:
        if self._load is None:
            raise BadFile("its description of the tensors refers to data where there is none")
        return self._load(saved)


_NEVER = ("EXT1", "EXT2", "EXT4", "INST", "OBJ", "NEXT_BUFFER", "READONLY_BUFFER")
"""Operations that torch never writes: registered extensions, old ways to make objects, buffers from outside."""


def _one_pickle(file: BinaryIO) -> bytes:
    """The bytes of a pickle whose operations are those of torch's files.

    Python's reader keeps a list as long as the largest number that a pickle gives one of its objects, so that a short
    file could take all memory; such numbers count the objects, and there are fewer of these than bytes.
    """
    start = file.tell()
    largest = 0
    for operation, argument, _ in pickletools.genops(file):
        if operation.name in _NEVER:
            raise BadFile(f"its description of the tensors has an operation that torch never writes ({operation.name})")
        if operation.name in ("BINPUT", "LONG_BINPUT", "PUT"):
            largest = max(largest, int(argument or 0))
    end = file.tell()
    if largest > end - start:
        raise BadFile("its description of the tensors numbers more objects than it can hold")
    file.seek(start)
    return file.read(end - start)
