"""A fingerprint of a training list, by which a resumed run sees that it is given the same images and labels."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from ccafl_plugin.data.proxies import TrainTuple


def fingerprint_of(train: Sequence[TrainTuple]) -> dict[str, Any]:
    """Number and digest of the images' names and labels; files are not read, and the data root may move.

    Args:
        train: torchreid's training list: (path, pid, camid, dsetid) of each image.

    Returns:
        ``images`` and ``digest``, 16 hexadecimal digits that don't depend on the list's order.
    """
    paths = [os.fspath(entry[0]) for entry in train]
    common = os.path.commonpath([os.path.dirname(path) for path in paths]) if paths else ""
    lines = sorted(
        f"{PurePath(os.path.relpath(path, common)).as_posix()} {pid} {camid} {dsetid}"
        for path, (_, pid, camid, dsetid) in zip(paths, train, strict=True)
    )
    return {"images": len(lines), "digest": hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]}
