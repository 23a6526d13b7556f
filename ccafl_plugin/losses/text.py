"""Images against texts: learning the prompts, and aligning the encoder with them afterwards."""

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
    """L_stage1: images and texts inside each camera, both ways (docs/method.md (5), (6); paper, Sec. III-B).

    For an image i of camera c, the texts of all images of c in the batch compete; those of images that share i's
    label are the positives, and their log-probabilities are averaged. The other way round the images compete for a
    text. Both are averaged over the camera's images and summed over the cameras present. No temperature and no
    normalisation.

    Args:
        image_features: (B, E) float, embeddings of the images; gets no gradient (the image encoder is frozen).
        text_features: (B, E) float, for each image the text feature of its proxy; gets the gradient.
        labels: (B,) int64, proxies or camera-local labels.
        cameras: (B,) int64; None compares over the whole batch, as if it came from one camera.

    Returns:
        () float32 or wider; for B = 0 a zero that still has a graph.
    """
    images, texts = widen(image_features.detach(), text_features)
    if labels.numel() == 0:
        return texts.sum()
    cameras = torch.zeros_like(labels) if cameras is None else cameras
    together = cameras[:, None] == cameras
    positive = together & (labels[:, None] == labels)
    # 1 / images of the camera makes the sum over all images a sum of means; 1 / positives averages the positives
    similarity = images @ texts.T
    weight = positive.to(similarity.dtype) / (together.sum(1, keepdim=True) * positive.sum(1, keepdim=True))
    loss = similarity.new_zeros(())
    for logits in (similarity, similarity.T):  # the masks are symmetric
        log_probability = logits.masked_fill(~together, -torch.inf).log_softmax(1)  # every row keeps itself
        loss = loss - (weight * log_probability.masked_fill(~positive, 0.0)).sum()
    return loss


@full_precision
def text_alignment(
    image_features: Tensor, text_features: Tensor, labels: Tensor, smoothing: float = LABEL_SMOOTHING
) -> Tensor:
    """L_i2tce: cross-entropy of images against fixed texts, with label smoothing (docs/method.md (14), (19)).

    Inside a camera the texts are those of its proxies and the labels camera-local; across cameras they are the mean
    texts of the pseudo identities. No temperature, no normalisation.

    Args:
        image_features: (B, E) float; the only input that gets a gradient.
        text_features: (n, E) float, one text per class.
        labels: (B,) int64 in [0, n); -1 leaves an image out.
        smoothing: label smoothing; 0.1 in the released settings.

    Returns:
        () float32 or wider, mean over the images; without any a zero that still has a graph.
    """
    images, texts = widen(image_features, text_features.detach())
    return mean_cross_entropy(images @ texts.T, labels, smoothing)
