"""The module that is exported: from pixels to features of length 1, with whatever normalisation is wanted inside."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ccafl_plugin.models.described_model import encode
from ccafl_plugin.models.weights_description import IMAGENET_MEAN, IMAGENET_STD, Channels, WeightsDescription
from ccafl_plugin.utils.errors import unknown_name

INPUT_FORMS = ("pixels", "normalised", "imagenet")
"""What the caller has done with pixels in [0, 1]: nothing, the model's own normalisation, or ImageNet's."""


class FeatureGraph(nn.Module):
    """(B, 3, height, width) float32 images to (B, D) float32 features, rows of length 1.

    Args:
        model: in eval mode, as :func:`~ccafl_plugin.models.described_model.build_described` builds it.
        description: of its weights.
        input_form: one of :data:`INPUT_FORMS`.

    Attributes:
        input_mean: what the caller subtracts from pixels in [0, 1], of red, green and blue.
        input_std: by what the caller divides then.

    Raises:
        CCAFLError: an unknown input form.
    """

    def __init__(self, model: nn.Module, description: WeightsDescription, input_form: str = "pixels") -> None:
        super().__init__()
        if input_form not in INPUT_FORMS:
            raise unknown_name("input", input_form, INPUT_FORMS)
        own = (description.norm_mean, description.norm_std)
        forms: dict[str, tuple[Channels, Channels]] = {
            "pixels": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
            "normalised": own,
            "imagenet": (IMAGENET_MEAN, IMAGENET_STD),
        }
        self.input_mean, self.input_std = forms[input_form]
        self.model = model
        self.description = description
        mean, std, own_mean, own_std = (
            torch.tensor(numbers, dtype=torch.float64).view(1, 3, 1, 1)
            for numbers in (self.input_mean, self.input_std, *own)
        )
        # (input * std + mean - own mean) / own std
        self.is_normalised = (self.input_mean, self.input_std) == own
        self.register_buffer("scale", (std / own_std).float())
        self.register_buffer("shift", ((mean - own_mean) / own_std).float())
        self.eval()  # the model too; exporters bring both back to the mode in which they find this module

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        if not self.is_normalised:
            images = images * self.scale + self.shift  # type: ignore[operator]
        return F.normalize(encode(self.model, self.description.feature, images).float(), dim=1)
