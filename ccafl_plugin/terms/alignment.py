"""Inter-camera image-text alignment, L_i2tce on pseudo identities (docs/method.md, section 7; paper, Sec. III-D)."""

from __future__ import annotations

from torch import Tensor

from ccafl_plugin.losses import group_means, text_alignment
from ccafl_plugin.terms.term import Batch, EpochState, Term, register_term
from ccafl_plugin.utils.paper_values import LABEL_SMOOTHING


@register_term
class AlignmentTerm(Term):
    """Cross-entropy of image embeddings against the text features of the pseudo identities.

    A pseudo identity's text feature is the mean over its images, so a proxy with more images counts more.

    Args:
        weight, first_epoch, last_epoch: see :class:`Term`; from epoch 10 on Market-1501, 40 on the other two datasets.
        smoothing: label smoothing; 0.1 in the paper.
    """

    name = "alignment"
    needs_association = True

    def __init__(
        self, weight: float = 1.0, first_epoch: int = 10, last_epoch: int = -1, smoothing: float = LABEL_SMOOTHING
    ) -> None:
        super().__init__(weight, first_epoch, last_epoch)
        self.smoothing = smoothing
        self.text: Tensor | None = None

    @property
    def needs_text(self) -> bool:
        return True

    def refresh(self, state: EpochState) -> None:
        self.pseudo_of_proxy = state.pseudo_of_proxy
        images = state.pseudo_of_proxy[state.proxies]
        self.text = group_means(state.text[state.proxies], images, int(images.max()) + 1)

    def release(self) -> None:
        self.text = None

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        assert self.text is not None  # refreshed at the start of the epoch
        labels = self.pseudo_of_proxy[batch.proxies]
        assert batch.embeddings is not None  # the engine rejects the term if the model has no text encoder
        return {"text": text_alignment(batch.embeddings, self.text, labels, self.smoothing)}
