"""The terms of the total loss. Each connects a loss of ``ccafl_plugin.losses`` with training.

A new term is one file with a class under :func:`register_term`, imported here.
"""

from ccafl_plugin.terms.alignment import AlignmentTerm
from ccafl_plugin.terms.ical import ICALTerm
from ccafl_plugin.terms.icdl import ICDLTerm
from ccafl_plugin.terms.inter import InterTerm
from ccafl_plugin.terms.proxy_classifier import ProxyClassifierTerm
from ccafl_plugin.terms.term import (
    TERMS,
    Batch,
    EpochState,
    Setup,
    Term,
    check_windows,
    order_by_needs,
    register_term,
)
from ccafl_plugin.terms.torchreid_losses import SoftmaxTerm, TripletTerm

PAPER_TERMS = ("proxy_classifier", "icdl", "inter", "alignment", "ical")

__all__ = [
    "PAPER_TERMS",
    "TERMS",
    "AlignmentTerm",
    "Batch",
    "EpochState",
    "ICALTerm",
    "ICDLTerm",
    "InterTerm",
    "ProxyClassifierTerm",
    "Setup",
    "SoftmaxTerm",
    "Term",
    "TripletTerm",
    "check_windows",
    "order_by_needs",
    "register_term",
]
