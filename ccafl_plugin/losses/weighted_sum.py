"""The weighted sum of a loss's parts; training differentiates this sum."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ccafl_plugin.utils.dtypes import zero_with_graph


def weighted_sum(parts: Mapping[str, Tensor], factors: Mapping[str, float], features: Tensor) -> Tensor:
    """Sum of factor times part. A part with factor 0 is left out, even if its value is not finite.

    Args:
        parts: () float each.
        factors: the factor of each part, under the same names.
        features: the input of the parts; if every factor is 0, the sum is a zero with a graph to them.

    Returns:
        () float32 or wider.
    """
    total = zero_with_graph(features)
    for name, factor in factors.items():
        if factor:
            total = total + factor * parts[name]
    return total
