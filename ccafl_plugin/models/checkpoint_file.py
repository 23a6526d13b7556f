"""Reading a file of weights that torchreid or this package wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torchreid

from ccafl_plugin.utils.errors import CCAFLError


def read_part(file: str | Path, key: str) -> Any:
    """What a checkpoint's file holds.

    Args:
        file: as torchreid writes it.
        key: the setting that errors name.

    Raises:
        CCAFLError: it can't be read.
    """
    try:
        return torchreid.utils.load_checkpoint(str(file))
    except Exception as error:  # a broken file makes unpickling fail in any way there is, with a KeyError even
        reason = f"{type(error).__name__} {str(error).partition(chr(10))[0]}".strip()
        raise CCAFLError(f"{key}: can't read {str(file)!r} as a checkpoint: {reason}") from error
