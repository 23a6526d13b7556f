"""CLIP's attention pooling, computed for the class token only."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def pool_by_attention(pooling: Any, feature_map: Tensor, positions: Tensor) -> Tensor:
    """The output of open_clip's ``AttentionPool2d``, without projecting every position.

    There is one query per image and head. So q . (W_k x + b_k) is computed as (W_k^T q) . x + q . b_k, and the weighted
    mean of W_v x as W_v times the weighted mean of x. This needs two products per image and head instead of two D x D
    projections of all 1 + h w tokens. Only the order of sums differs.

    Args:
        pooling: open_clip's module, with ``q_proj``, ``k_proj``, ``v_proj``, ``c_proj`` (linear, with biases) and
            ``num_heads``.
        feature_map: (B, D, h, w) float.
        positions: (1 + h w, D) positional embeddings, the class token's first.

    Returns:
        (B, E) float; gradients reach the map, the positions and every parameter of ``pooling``.
    """
    columns = feature_map.flatten(2).transpose(1, 2)
    tokens = torch.cat([columns.mean(dim=1, keepdim=True), columns], dim=1) + positions.to(feature_map.dtype)
    heads = pooling.num_heads
    batch, _, width = tokens.shape
    query = pooling.q_proj(tokens[:, 0]).view(batch, heads, -1).transpose(0, 1)  # (heads, B, D / heads)
    query = query * query.shape[-1] ** -0.5
    key_weight = pooling.k_proj.weight.view(heads, -1, width)
    value_weight = pooling.v_proj.weight.view(heads, -1, width)
    # The key's bias adds one number to all scores of a head, and softmax removes it again. It is kept so that the bias
    # has a gradient (of zero): DistributedDataParallel waits for a gradient of every parameter.
    bias = query @ pooling.k_proj.bias.view(heads, -1, 1)  # (heads, B, 1)
    scores = (query @ key_weight).transpose(0, 1) @ tokens.transpose(1, 2) + bias.transpose(0, 1)
    mixed = F.softmax(scores, dim=-1) @ tokens  # (B, heads, D)
    values = (mixed.transpose(0, 1) @ value_weight.transpose(1, 2)).transpose(0, 1).flatten(1)
    pooled: Tensor = pooling.c_proj(values + pooling.v_proj.bias)
    return pooled
