"""The sum of a loss's parts, which is what training differentiates."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ccafl_plugin.utils.dtypes import zero_with_graph


def weighted_sum(parts: Mapping[str, Tensor], factors: Mapping[str, float], features: Tensor) -> Tensor:
    """Sum of factor times part; a part with the factor 0 is left out, whatever its value.

    Args:
        parts: () float each.
        factors: of every part, by the same names.
        features: what the parts are functions of; where no factor counts, the sum is a zero with a graph to them.

    Returns:
        () float32 or wider.
    """
    total = zero_with_graph(features)
    for name, factor in factors.items():
        if factor:
            total = total + factor * parts[name]
    return total
