"""Cross-camera association: proxies that are the same person become one pseudo identity.

In the order in which one reads them:

- ``registry``: ``associate``, the names, and how groups are numbered;
- ``nearest_pairs``: the paper's kind; ``closest`` finds the nearest pairs;
- ``margin``: ours; ``best_matches`` finds each proxy's best matches, ``linkage`` makes groups of them;
- ``blocks``: pieces of all pairs that fit in memory;
- ``diagnostics``: precision and recall, from true identities, for the log only.

A further kind is one file with a function under :func:`register_association`, imported here.
"""

from ccafl_plugin.association.diagnostics import PairScores, pair_scores
from ccafl_plugin.association.margin import margin
from ccafl_plugin.association.nearest_pairs import nearest_pairs
from ccafl_plugin.association.registry import ASSOCIATIONS, associate, keep_unassociated, register_association

__all__ = [
    "ASSOCIATIONS",
    "PairScores",
    "associate",
    "keep_unassociated",
    "margin",
    "nearest_pairs",
    "pair_scores",
    "register_association",
]
