"""Leaves images out whose features contradict their label; see :mod:`ccafl_plugin.data.label_agreement`."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from ccafl_plugin.data.label_agreement import MOST_WRONG, doubtful_labels


class LabelFilter:
    """The images of an epoch that memories, association and losses use.

    They are found anew from the features of every epoch's start, so a checkpoint needs nothing of it.

    Args:
        paths: (M,) path of every training image.
        proxies: (M,) int64, the proxy of every training image, on the device of the features.
        camera_of_proxy: (N,) int64.

    Attributes:
        kept: (M,) bool; None before the first epoch.
        wrong_share: estimated share of wrong labels.
    """

    def __init__(self, paths: Sequence[str], proxies: Tensor, camera_of_proxy: Tensor) -> None:
        self._images = list(zip(paths, proxies.tolist(), strict=True))
        self._proxies = proxies
        self._camera_of_proxy = camera_of_proxy.to(proxies.device)
        self._left_out: frozenset[tuple[str, int]] = frozenset()
        self.kept: Tensor | None = None
        self.wrong_share = 0.0

    def look(self, features: Tensor, moment: str) -> Tensor:
        """Decides which images to use.

        Args:
            features: (M, D) float, unit rows.
            moment: what the printed line begins with, such as ``Epoch 3``.

        Returns:
            (M,) bool, :attr:`kept`; every proxy keeps an image.
        """
        self.kept, self.wrong_share = doubtful_labels(features, self._proxies, self._camera_of_proxy)
        flags = self.kept.tolist()
        self._left_out = frozenset(image for image, kept in zip(self._images, flags, strict=True) if not kept)
        print(
            f"=> {moment}: {len(self._left_out)} of {len(flags)} images left out "
            f"(by the features, {100 * self.wrong_share:.1f} % of the labels are wrong)"
        )
        if self.wrong_share >= MOST_WRONG:
            warnings.warn(
                f"{moment}: features and labels contradict each other in {100 * self.wrong_share:.0f} % of the images, "
                "so all are used. The features of this encoder are too poor to find wrong labels.",
                stacklevel=2,
            )
        return self.kept

    def facts(self) -> dict[str, float]:
        """The numbers of an epoch, for TensorBoard."""
        return {"left_out": len(self._left_out), "wrong_share": self.wrong_share}

    def rows(self, paths: Sequence[str], proxies: Tensor) -> Tensor | None:
        """(n,) int64, the places in a batch of the images to use; None: all.

        Args:
            paths: (B,) path of every image of the batch.
            proxies: (B,) int64, on the host.
        """
        kept = [image not in self._left_out for image in zip(paths, proxies.tolist(), strict=True)]
        return None if all(kept) else torch.tensor(kept).nonzero()[:, 0]
