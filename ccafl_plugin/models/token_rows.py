"""Token embeddings in small files: the rows of the words that were trained, the others from a fixed seed."""

from __future__ import annotations

import torch
from torch import Tensor

from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.seeds import generator

TABLE_KEY = "token_embedding.weight"
KEPT_KEY = "token_embedding.kept_rows"
"""(k,) int32: which rows of the table a file holds."""
SIZE_KEY = "token_embedding.vocab_size"
"""() int32: how many rows the table has."""
INITIAL_STD = 0.02
"""CLIP's random token embeddings are drawn from N(0, 0.02 ** 2)."""


def keep_rows(state: dict[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
    """The same tensors with some rows of the table of token embeddings.

    Args:
        state: a CLIP's tensors in open_clip's naming.
        rows: (k,) int64, different row numbers.
    """
    table = state[TABLE_KEY]
    index = {KEPT_KEY: rows.to(torch.int32), SIZE_KEY: torch.tensor(len(table), dtype=torch.int32)}
    return {**state, TABLE_KEY: table[rows], **index}


def restore_rows(state: dict[str, Tensor], source: object) -> dict[str, Tensor]:
    """Undoes :func:`keep_rows`; the rows that are not there are drawn, always alike. Other files are left as they are.

    Args:
        state: tensors of a file.
        source: the file's name, for messages.

    Raises:
        CCAFLError: the file says to hold other rows than it does.
    """
    if KEPT_KEY not in state:
        return state
    rest = {key: value for key, value in state.items() if key not in (KEPT_KEY, SIZE_KEY)}
    rows, held, size = state[KEPT_KEY].long(), state.get(TABLE_KEY), state.get(SIZE_KEY)
    damaged = CCAFLError(f"ccafl.clip_weights: {source} is damaged: {KEPT_KEY!r} does not fit {TABLE_KEY!r}.")
    if held is None or size is None or held.ndim != 2 or rows.shape != held.shape[:1]:
        raise damaged
    if rows.unique().numel() != rows.numel() or (rows.numel() and not 0 <= rows.min() <= rows.max() < size):
        raise damaged
    table = torch.randn(int(size), held.shape[1], generator=generator("token embeddings")) * INITIAL_STD
    table[rows] = held.float()
    return {**rest, TABLE_KEY: table}
