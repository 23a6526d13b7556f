"""Checks before training that the model and the data allow the terms of a run."""

from __future__ import annotations

from collections.abc import Sequence

from ccafl_plugin.data.proxies import ProxyLabels
from ccafl_plugin.engine.argument_checks import check_any_term, check_numbers
from ccafl_plugin.engine.model_outputs import Promise
from ccafl_plugin.engine.supervision import Supervision
from ccafl_plugin.engine.text_side import TextSide
from ccafl_plugin.terms import Term
from ccafl_plugin.utils.errors import CCAFLError


def check_terms(
    terms: Sequence[Term], text: TextSide, promise: Promise, labels: ProxyLabels, supervision: Supervision
) -> None:
    """Checks all terms.

    Args:
        terms: the terms of the run.
        text: the text side of the run.
        promise: what the model returns.
        labels: of the training set.
        supervision: of the run.

    Raises:
        CCAFLError: a term needs text, a classifier or a second camera that is not there, or has a number out of range.
    """
    check_any_term(terms)
    for term in terms:
        check_numbers(term.name, {**vars(getattr(term, "criterion", term)), **vars(term)})
        if term.needs_text:
            text.require(term.name)
        if term.needs_logits and not promise.has_logits:
            raise CCAFLError(
                f"The term {term.name!r} needs a classifier, but the model has none. "
                "Call model.make_classifier(number of classes) before the optimizer is built."
            )
    associating = [term.name for term in terms if term.needs_association]
    if associating and labels.num_cameras == 1 and not supervision.is_full:
        switches = " ".join(f"ccafl.terms.{name}.enabled False" for name in associating)
        raise CCAFLError(
            f"Terms that associate people across cameras ({', '.join(associating)}) need two cameras, and the "
            f"training set has one. Set {switches}, or add a source."
        )
