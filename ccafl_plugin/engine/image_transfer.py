"""Brings images to the device while it computes."""

from __future__ import annotations

import torch
from torch import Tensor


class ImageTransfer:
    """Copies images to a device; on a GPU beside the work that is queued there, so that it need not wait for them.

    Args:
        device: where images go.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def __call__(self, images: Tensor) -> Tensor:
        """The images on the device; what is queued there from now on finds them whole."""
        if self._stream is None:
            return images.to(self.device, non_blocking=True)
        with torch.cuda.stream(self._stream):
            images = images.to(self.device, non_blocking=True)  # at once if the loader pins its memory
        computing = torch.cuda.current_stream(self.device)
        computing.wait_stream(self._stream)
        images.record_stream(computing)  # their memory is free only when the work that reads them is done
        return images
