"""The random crop of the paper's augmentation, which torchreid does not have."""

from __future__ import annotations

from PIL import Image
from torch import Tensor, nn, randint
from torchvision.transforms import functional

from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.paper_values import CROP_PADDING


class PadCrop(nn.Module):
    """Pads an image with black on all sides, and crops a region of the given size at a random place.

    In the paper's order it comes after the flip and before the conversion to a tensor: bicubic resize to 256 x 128,
    horizontal flip, pad by 10 and crop, to tensor, normalise, random erasing. It draws from torch's global generator,
    like torchvision's transforms.

    Args:
        height: height of the crop, in pixels.
        width: width of the crop, in pixels.
        padding: pixels added on each side; 10 in the paper.

    Raises:
        CCAFLError: a size below 1, or a negative padding.
    """

    def __init__(self, height: int, width: int, padding: int = CROP_PADDING) -> None:
        super().__init__()
        if height < 1 or width < 1 or padding < 0:
            raise CCAFLError(
                f"pad_crop: height {height} and width {width} must be at least 1, and padding {padding} at least 0."
            )
        self.height, self.width, self.padding = height, width, padding

    def forward(self, image: Image.Image | Tensor) -> Image.Image | Tensor:
        """A random crop of the padded ``image``.

        Args:
            image: PIL image, or (C, H, W) tensor; with padding it must be at least as large as the crop.

        Returns:
            An image of the same type, ``height`` x ``width``.
        """
        padded = functional.pad(image, [self.padding] * 4)
        _, height, width = functional.get_dimensions(padded)
        if height < self.height or width < self.width:
            raise CCAFLError(
                f"pad_crop: an image of {height}x{width} pixels, including padding, is smaller than the crop of "
                f"{self.height}x{self.width}. Resize it first."
            )
        top = int(randint(height - self.height + 1, ()))
        left = int(randint(width - self.width + 1, ()))
        return functional.crop(padded, top, left, self.height, self.width)

    def extra_repr(self) -> str:
        return f"height={self.height}, width={self.width}, padding={self.padding}"
