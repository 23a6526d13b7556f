"""Cross-camera association: it groups proxies that are likely the same person into pseudo identities.

The modules in reading order:

- ``registry``: ``associate``, the names of the methods, and how groups are numbered;
- ``nearest_pairs``: the paper's method; ``closest`` finds the nearest pairs;
- ``margin``: our method; ``best_matches`` finds each proxy's best matches, ``linkage`` groups them;
- ``approximate_margin``: the same for very many proxies; ``approximate_matches`` looks into nearby cells only;
- ``blocks``: splits all pairs into blocks that fit in memory;
- ``diagnostics``: precision and recall, computed from true identities, for the log only;
- ``links``: what holds a group together, and how certain it is;
- ``group_facts``: what can be said of groups without true identities.

A new method is one file with a function under :func:`register_association`, imported here.
"""

from ccafl_plugin.association.approximate_margin import approximate_margin, approximate_margins
from ccafl_plugin.association.diagnostics import PairScores, pair_scores
from ccafl_plugin.association.links import GroupLinks, associate_with_links
from ccafl_plugin.association.margin import Margins, margin
from ccafl_plugin.association.nearest_pairs import nearest_pairs
from ccafl_plugin.association.registry import (
    ASSOCIATIONS,
    associate,
    check_options,
    keep_unassociated,
    register_association,
)
from ccafl_plugin.association.whitening import spread_inside, whiten

__all__ = [
    "ASSOCIATIONS",
    "GroupLinks",
    "Margins",
    "PairScores",
    "approximate_margin",
    "approximate_margins",
    "associate",
    "associate_with_links",
    "check_options",
    "keep_unassociated",
    "margin",
    "nearest_pairs",
    "pair_scores",
    "register_association",
    "spread_inside",
    "whiten",
]
