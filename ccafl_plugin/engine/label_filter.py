"""Judges labels by features: some images are left out, some get another label of their camera.

See :mod:`ccafl_plugin.data.label_agreement` and :mod:`ccafl_plugin.data.label_repair`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ccafl_plugin.data.label_agreement import MOST_WRONG, doubtful_labels
from ccafl_plugin.data.label_repair import repaired_labels
from ccafl_plugin.data.proxies import ProxyLabels
from ccafl_plugin.data.proxy_batches import ProxyBatchSampler


class Judged(NamedTuple):
    """The images of an epoch and their labels.

    Attributes:
        kept: (M,) bool, the images that are used.
        proxies: (K,) int64, the proxies of those images.
    """

    kept: Tensor
    proxies: Tensor


class LabelFilter:
    """The images of an epoch that memories, association and losses use, and their labels.

    They are found anew from the features of every epoch's start, so a checkpoint needs nothing of it.

    Args:
        paths: (M,) path of every training image, in the order of ``labels.path_order``.
        labels: labels of the training list.
        device: device of the features.
        sampler: draws the batches. One of this package's samplers draws by the new labels; another one draws any
            image, and those left out are dropped from its batches.
        right: (M,) int64, the proxies to which the images belong, where labels were damaged on purpose; it is only
            compared with what was decided. None: nobody knows.

    Attributes:
        wrong_share: estimated share of wrong labels.
    """

    def __init__(
        self,
        paths: Sequence[str],
        labels: ProxyLabels,
        device: torch.device,
        sampler: object = None,
        right: Tensor | None = None,
    ) -> None:
        self._labels = labels
        self._proxies = labels.proxy_of_image[labels.path_order].to(device)
        self._camera_of_proxy = labels.camera_of_proxy.to(device)
        self._images = list(zip(paths, self._proxies.tolist(), strict=True))
        self._sampler = sampler if isinstance(sampler, ProxyBatchSampler) else None
        self._changed: dict[tuple[str, int], int] = {}
        self._counts = {"left_out": 0, "relabelled": 0}
        self._right = None if right is None else right.to(device)
        self.wrong_share = 0.0

    def look(self, features: Tensor, moment: str) -> Judged:
        """Decides which images to use, and with which labels.

        Args:
            features: (M, D) float, unit rows.
            moment: what the printed line begins with, such as ``Epoch 3``.

        Returns:
            The images; every proxy keeps one of its own.
        """
        trusted, self.wrong_share = doubtful_labels(features, self._proxies, self._camera_of_proxy)
        proxies = repaired_labels(features, self._proxies, self._camera_of_proxy, trusted)
        judged = proxies.tolist()
        self._changed = {image: new for image, new in zip(self._images, judged, strict=True) if new != image[1]}
        left_out = sum(new < 0 for new in self._changed.values())
        self._counts = {"left_out": left_out, "relabelled": len(self._changed) - left_out}
        print(
            f"=> {moment}: {left_out} of {len(judged)} images left out, {self._counts['relabelled']} relabelled "
            f"(by the features, {100 * self.wrong_share:.1f} % of the labels are wrong)"
        )
        if self._right is not None:
            print(f"   {how_right(self._proxies, proxies, trusted, self._right)}")
        if self.wrong_share >= MOST_WRONG:
            warnings.warn(
                f"{moment}: features and labels contradict each other in {100 * self.wrong_share:.0f} % of the images, "
                "so all are used. The features of this encoder are too poor to find wrong labels.",
                stacklevel=2,
            )
        if self._sampler is not None:
            of_image = torch.empty_like(self._labels.proxy_of_image)
            of_image[self._labels.path_order] = proxies.cpu()
            self._sampler.use(self._labels.relabelled(of_image))
        kept = proxies >= 0
        return Judged(kept, proxies[kept])

    def facts(self) -> dict[str, float]:
        """The numbers of an epoch, for TensorBoard."""
        return {**self._counts, "wrong_share": self.wrong_share}

    def of_batch(self, paths: Sequence[str], proxies: Tensor) -> tuple[Tensor | None, Tensor]:
        """Which images of a batch to use, and their labels.

        Args:
            paths: (B,) path of every image of the batch.
            proxies: (B,) int64, on the host, as the training list labels them.

        Returns:
            (n,) int64, the places of those images in the batch, None for all; (n,) int64, their proxies.
        """
        judged = [self._changed.get(image, image[1]) for image in zip(paths, proxies.tolist(), strict=True)]
        found = torch.tensor(judged, dtype=torch.int64)
        if min(judged, default=0) >= 0:
            return None, found
        rows = (found >= 0).nonzero()[:, 0]
        return rows, found[rows]


def how_right(listed: Tensor, judged: Tensor, trusted: Tensor, right: Tensor) -> str:
    """A line that compares decisions about labels with the right labels.

    Args:
        listed: (M,) int64, proxies by the labels.
        judged: (M,) int64, by the decisions; -1 for images that are left out.
        trusted: (M,) bool, the labels that are taken as they are.
        right: (M,) int64, proxies to which the images belong.
    """
    doubted, new, used = ~trusted, ~trusted & (judged >= 0), judged >= 0
    wrong = listed != right
    return (
        f"in truth {_share(wrong)} of the labels are wrong, {_share(wrong[doubted])} of the {int(doubted.sum())} that "
        f"are not trusted, and {_share(judged[used] != right[used])} of those that are used; "
        f"{_share(judged[new] == right[new])} of the new labels are right"
    )


def _share(which: Tensor) -> str:
    return f"{100 * float(which.double().mean()):.1f} %" if len(which) else "none"
