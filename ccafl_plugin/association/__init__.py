"""Cross-camera association: proxies that are the same person become one pseudo identity.

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
