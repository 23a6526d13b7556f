"""Small files of token embeddings: they store the rows of trained words; other rows are drawn from a fixed seed."""

from __future__ import annotations

import torch
from torch import Tensor

from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.seeds import generator

TABLE_KEY = "token_embedding.weight"
KEPT_KEY = "token_embedding.kept_rows"
"""(k,) int32: the rows of the table that a file contains."""
SIZE_KEY = "token_embedding.vocab_size"
"""() int32: number of rows of the table."""
INITIAL_STD = 0.02
"""CLIP's random token embeddings are drawn from N(0, 0.02 ** 2)."""


def keep_rows(state: dict[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
    """The same tensors, but only some rows of the table of token embeddings.

    Args:
        state: a CLIP's tensors in open_clip's naming.
        rows: (k,) int64, different row numbers.
    """
    table = state[TABLE_KEY]
    index = {KEPT_KEY: rows.to(torch.int32), SIZE_KEY: torch.tensor(len(table), dtype=torch.int32)}
    return {**state, TABLE_KEY: table[rows], **index}


def restore_rows(state: dict[str, Tensor], source: object) -> dict[str, Tensor]:
    """Undoes :func:`keep_rows`; missing rows are drawn from a fixed seed. Tensors of other files are unchanged.

    Args:
        state: the tensors of a file.
        source: the file's name, for messages.

    Raises:
        CCAFLError: the file does not contain the rows that it lists.
    """
    if KEPT_KEY not in state:
        return state
    rest = {key: value for key, value in state.items() if key not in (KEPT_KEY, SIZE_KEY)}
    rows, held, size = state[KEPT_KEY].long(), state.get(TABLE_KEY), state.get(SIZE_KEY)
    damaged = CCAFLError(f"ccafl.clip_weights: {source} is damaged: {KEPT_KEY!r} does not match {TABLE_KEY!r}.")
    if held is None or size is None or held.ndim != 2 or rows.shape != held.shape[:1]:
        raise damaged
    if rows.unique().numel() != rows.numel() or (rows.numel() and not 0 <= rows.min() <= rows.max() < size):
        raise damaged
    table = torch.randn(int(size), held.shape[1], generator=generator("token embeddings")) * INITIAL_STD
    table[rows] = held.float()
    return {**rest, TABLE_KEY: table}
