"""Files that are no weights, damaged ones, and ones that would run code, by name; each with what is said of it."""

from __future__ import annotations

import argparse
import gzip
import json
import pickle
import zipfile

import numpy as np
import torch
from torch import nn

from tests.hostile.file_contents import (
    RAN,
    Evaluate,
    Load,
    Through,
    Touch,
    array,
    arrays,
    described,
    flipped,
    good,
    old_tar,
    picture,
    rezipped,
    safetensors,
    saved,
    stream,
    tar,
    with_pickle,
)

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
