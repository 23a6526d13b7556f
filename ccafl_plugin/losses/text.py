"""Losses between images and texts: L_stage1 learns the prompts, L_i2tce later aligns the image encoder with them."""

from __future__ import annotations

import torch
from torch import Tensor

from ccafl_plugin.losses.cross_entropy import mean_cross_entropy
from ccafl_plugin.utils.dtypes import full_precision, widen
from ccafl_plugin.utils.paper_values import LABEL_SMOOTHING


@full_precision
def prompt_contrast(
    image_features: Tensor, text_features: Tensor, labels: Tensor, cameras: Tensor | None = None
) -> Tensor:
    """L_stage1: images and texts inside each camera, in both directions (docs/method.md (5), (6); paper, Sec. III-B).

    For an image i of camera c, the texts of all images of c in the batch are the candidates. The texts of images that
    share i's label are the positives, and their log-probabilities are averaged. In the other direction the images are
    the candidates for a text. Both directions are averaged over the camera's images and summed over the cameras
    present. There is no temperature and no normalisation.

    Args:
        image_features: (B, E) float, embeddings of the images; gets no gradient (the image encoder is frozen).
        text_features: (B, E) float, the text feature of each image's proxy; gets the gradient.
        labels: (B,) int64, proxies or camera-local labels.
        cameras: (B,) int64; None compares over the whole batch, as if all images came from one camera.

    Returns:
        () float32 or wider; for B = 0 a zero that still has a graph.
    """
    images, texts = widen(image_features.detach(), text_features)
    if labels.numel() == 0:
        return texts.sum()
    cameras = torch.zeros_like(labels) if cameras is None else cameras
    together = cameras[:, None] == cameras
    positive = together & (labels[:, None] == labels)
    # 1 / images of the camera turns the sum over all images into a sum of means; 1 / positives averages the positives.
    similarity = images @ texts.T
    weight = positive.to(similarity.dtype) / (together.sum(1, keepdim=True) * positive.sum(1, keepdim=True))
    loss = similarity.new_zeros(())
    for logits in (similarity, similarity.T):  # the masks are symmetric
        log_probability = logits.masked_fill(~together, -torch.inf).log_softmax(1)  # every row keeps its own entry
        loss = loss - (weight * log_probability.masked_fill(~positive, 0.0)).sum()
    return loss


@full_precision
def text_alignment(
    image_features: Tensor, text_features: Tensor, labels: Tensor, smoothing: float = LABEL_SMOOTHING
) -> Tensor:
    """L_i2tce: cross-entropy of images against fixed texts, with label smoothing (docs/method.md (14), (19)).

    Inside a camera, the texts are those of its proxies and the labels are camera-local. Across cameras, the texts are
    the mean texts of the pseudo identities. There is no temperature and no normalisation.

    Args:
        image_features: (B, E) float; the only input that gets a gradient.
        text_features: (n, E) float, one text per class.
        labels: (B,) int64 in [0, n); -1 leaves an image out.
        smoothing: label smoothing; 0.1 in the released settings.

    Returns:
        () float32 or wider, mean over the images; without any image, a zero that still has a graph.
    """
    images, texts = widen(image_features, text_features.detach())
    return mean_cross_entropy(images @ texts.T, labels, smoothing)
