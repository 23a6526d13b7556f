"""Reads a checkpoint file that torchreid or this package wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torchreid

from ccafl_plugin.utils.errors import CCAFLError


def read_part(file: str | Path, key: str) -> Any:
    """The content of a checkpoint file.

    Args:
        file: a file in torchreid's format.
        key: the configuration key that errors name.

    Raises:
        CCAFLError: the file cannot be read.
    """
    try:
        return torchreid.utils.load_checkpoint(str(file))
    except Exception as error:  # unpickling a broken file can raise anything, even a KeyError
        reason = f"{type(error).__name__} {str(error).partition(chr(10))[0]}".strip()
        raise CCAFLError(f"{key}: can't read {str(file)!r} as a checkpoint: {reason}") from error
