"""Inter-camera adversarial learning (ICAL): it penalises features that reveal their camera."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ccafl_plugin.losses.proxy_classifier import similarity_to_rows
from ccafl_plugin.utils.dtypes import full_precision, widen
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.paper_values import ARCFACE_MARGIN, HARDNESS, ICAL_SMOOTHING, SCALE


def positive_proxies(proxies: Tensor, camera_of_proxy: Tensor, pseudo_of_proxy: Tensor) -> Tensor:
    """P(i): the image's own proxy and the proxies of its pseudo identity in other cameras (docs/method.md (21)).

    Args:
        proxies: (B,) int64, the images' proxies.
        camera_of_proxy: (N,) int64.
        pseudo_of_proxy: (N,) int64, -1 for a proxy without partner; two such proxies are never positives of each other.

    Returns:
        (B, N) bool.
    """
    pseudo = pseudo_of_proxy[proxies][:, None]
    partners = (pseudo == pseudo_of_proxy) & (pseudo >= 0) & (camera_of_proxy[proxies][:, None] != camera_of_proxy)
    return partners.scatter_(1, proxies[:, None], True)


def clamp_cosines(cosines: Tensor) -> Tensor:
    """Clamps to [-1, 1] (docs/method.md (22)); the gradient passes inside the interval and at both ends.

    ``torch.clamp`` is not used because its gradient at the ends depends on torch's version.
    """
    return torch.where(cosines.abs() <= 1, cosines, cosines.detach().clamp(-1, 1))


def additive_margin(cosines: Tensor, margin: float) -> Tensor:
    """cos(theta + margin) as in ArcFace (docs/method.md (22)), with finite gradients at cosines of exactly 1 and -1.

    Beyond theta = pi - margin the cosine of the sum would rise again, so cos - margin * sin(margin) replaces it.
    """
    sines = (1 - cosines.square()).clamp(min=1e-6).sqrt()
    shifted = cosines * math.cos(margin) - sines * math.sin(margin)
    return torch.where(cosines > math.cos(math.pi - margin), shifted, cosines - margin * math.sin(margin))


class ICALLoss(nn.Module):
    """L_ICAL (docs/method.md (21) to (24); paper, Sec. III-E).

    It trains the encoder to place a feature as near to the same person's proxies in other cameras as to its own proxy.

    The loss makes the own camera's other proxies harder negatives and the own proxy a harder positive. It spreads part
    of the target over the person's proxies in other cameras. It reads the weight of a
    :class:`~ccafl_plugin.losses.proxy_classifier.ProxyClassifier`, which needs its own optimizer. That optimizer's step
    comes before this loss in every iteration.

    Args:
        scale: factor from similarities to logits; 16 in the released settings.
        margin: ArcFace margin of the own proxy, radians; 0.7 for Market-1501, 0.3 DukeMTMC-reID, 0.5 MSMT17.
        hardness: h (the paper's t): cosines with the own camera's other proxies become (1 + h) cos + h; 0.2.
        smoothing: share of the target that is spread evenly over P(i); 0.8 in the released settings.
    """

    def __init__(
        self,
        scale: float = SCALE,
        margin: float = ARCFACE_MARGIN,
        hardness: float = HARDNESS,
        smoothing: float = ICAL_SMOOTHING,
    ) -> None:
        super().__init__()
        if not 0 <= smoothing <= 1:
            raise CCAFLError(f"ICALLoss: smoothing must lie in [0, 1], got {smoothing}.")
        if not 0 <= margin < math.pi:
            raise CCAFLError(f"ICALLoss: margin must lie in [0, pi), got {margin}.")
        self.scale = scale
        self.margin = margin
        self.hardness = hardness
        self.smoothing = smoothing

    @full_precision
    def forward(
        self, features: Tensor, weight: Tensor, proxies: Tensor, camera_of_proxy: Tensor, pseudo_of_proxy: Tensor
    ) -> Tensor:
        """Mean over the images whose proxy has a pseudo identity.

        Args:
            features: (B, D) float, unit rows, not normalised again; the only input that gets a gradient.
            weight: (N, D) float, the classifier's weight; rows are normalised in use.
            proxies: (B,) int64 in [0, N). All labels are best on the features' device; otherwise they are copied there.
            camera_of_proxy: (N,) int64.
            pseudo_of_proxy: (N,) int64, -1 for none; images of such proxies are left out.

        Returns:
            () float32 or wider; if no image is left, a zero that still has a graph.
        """
        features, weight = widen(features, weight.detach())
        proxies, camera_of_proxy, pseudo_of_proxy = (
            labels.to(features.device) for labels in (proxies, camera_of_proxy, pseudo_of_proxy)
        )
        cosines = clamp_cosines(similarity_to_rows(features, weight))
        own = proxies[:, None]
        own_camera = camera_of_proxy[proxies][:, None] == camera_of_proxy
        similarity = torch.where(own_camera, (1 + self.hardness) * cosines + self.hardness, cosines)
        similarity = similarity.scatter(1, own, additive_margin(cosines.gather(1, own), self.margin))
        logits = self.scale * similarity

        positive = positive_proxies(proxies, camera_of_proxy, pseudo_of_proxy)
        # The mask is finite: without negatives the sum is 0, its logarithm the lowest number, loss and gradient are 0.
        negatives = logits.masked_fill(positive, torch.finfo(logits.dtype).min).logsumexp(1, keepdim=True)
        log_probability = F.logsigmoid(logits - negatives)
        target = positive.to(logits.dtype) * (self.smoothing / positive.sum(1, keepdim=True).to(logits.dtype))
        target = target.scatter_add(1, own, torch.full_like(logits[:, :1], 1 - self.smoothing))
        loss = -(target * log_probability).sum(1)

        kept = pseudo_of_proxy[proxies] >= 0
        return torch.where(kept, loss, 0.0).sum() / kept.sum().clamp(min=1)
