"""Association by margins among neighbours in nearby cells, for more proxies than can all be compared."""

from __future__ import annotations

from torch import Tensor

from ccafl_plugin.association.approximate_matches import approximate_matches
from ccafl_plugin.association.best_matches import BEST
from ccafl_plugin.association.margin import Margins, standardised
from ccafl_plugin.association.registry import register_association
from ccafl_plugin.utils.ranges import check_arguments

PROBES = 64


@register_association("approximate_margin")
def approximate_margin(features: Tensor, cameras: Tensor, best: int = BEST, probes: int = PROBES) -> Tensor:
    """Pseudo identities as :func:`~ccafl_plugin.association.margin.margin` finds them, from approximate neighbours.

    It differs from ``margin`` in step 2 only: the highest cosines are those among the proxies of the nearest cells and
    the best matches of the best matches among these
    (:func:`~ccafl_plugin.association.approximate_matches.approximate_matches`). A missed match may leave a proxy
    without a group; a missed second-best match makes a margin too large. Up to 4096 proxies are compared exhaustively,
    and the groups are those of ``margin``. Cells depend on the order of the proxies. docs/associate.md has time and
    loss.

    Args:
        features: (N, D) float, normalised mean feature of each proxy.
        cameras: (N,) int64.
        best: as in ``margin``.
        probes: cells that a proxy is compared with, at least 1. More miss less and take longer.

    Returns:
        (N,) int64 as :func:`~ccafl_plugin.association.registry.associate` describes.

    Raises:
        CCAFLError: a number is out of range.
    """
    check_arguments(best=best, probes=probes)
    if len(cameras) == 0:
        return cameras.clone()
    return approximate_margins(features, cameras, best, probes).groups()


def approximate_margins(features: Tensor, cameras: Tensor, best: int = BEST, probes: int = PROBES) -> Margins:
    """What :func:`approximate_margin` computes groups from; arguments as there, with at least one proxy."""
    check_arguments(best=best, probes=probes)
    unit, camera = standardised(features, cameras)
    return Margins(unit, camera, approximate_matches(unit, camera, best, probes))
