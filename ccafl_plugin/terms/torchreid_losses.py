"""torchreid's own losses as terms, so that they can be combined with CCAFL's terms.

They read the raw feature and torchreid's labels. If a model has several classifiers or branches, they take the mean
over them, as torchreid's engines do.
"""

from __future__ import annotations

import torchreid
from torch import Tensor

from ccafl_plugin.terms.term import Batch, Setup, Term, register_term
from ccafl_plugin.utils.dtypes import zero_with_graph
from ccafl_plugin.utils.paper_values import MARGIN


@register_term
class SoftmaxTerm(Term):
    """torchreid's cross-entropy on the model's classifier.

    Args:
        weight, first_epoch, last_epoch: see :class:`Term`.
        label_smooth: whether labels are smoothed by 0.1; torchreid's default.
    """

    name = "softmax"
    needs_logits = True

    def __init__(
        self, weight: float = 1.0, first_epoch: int = 0, last_epoch: int = -1, label_smooth: bool = True
    ) -> None:
        super().__init__(weight, first_epoch, last_epoch)
        self.label_smooth = label_smooth

    def bind(self, setup: Setup) -> None:
        self.criterion = torchreid.losses.CrossEntropyLoss(
            num_classes=setup.num_classes, use_gpu=setup.device.type == "cuda", label_smooth=self.label_smooth
        )

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        return {"cross_entropy": torchreid.losses.DeepSupervision(self.criterion, batch.logits, batch.classes)}


@register_term
class TripletTerm(Term):
    """torchreid's batch-hard triplet loss on the raw feature.

    For a batch of one class it is 0; torchreid's loss fails there.

    Args:
        weight, first_epoch, last_epoch: see :class:`Term`.
        margin: 0.3, torchreid's default.
    """

    name = "triplet"

    def __init__(self, weight: float = 1.0, first_epoch: int = 0, last_epoch: int = -1, margin: float = MARGIN) -> None:
        super().__init__(weight, first_epoch, last_epoch)
        self.criterion = torchreid.losses.TripletLoss(margin=margin)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        if bool((batch.classes == batch.classes[0]).all()):
            return {"batch_hard": zero_with_graph(batch.features)}
        return {"batch_hard": torchreid.losses.DeepSupervision(self.criterion, batch.raw, batch.classes)}
