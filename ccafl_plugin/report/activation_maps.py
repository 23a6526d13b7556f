"""Where in an image the last feature map is strong, before and after training."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from ccafl_plugin.data.image_reading import read_image
from ccafl_plugin.report.page_blocks import Custom
from ccafl_plugin.report.pictures import SIZE, Pictures
from ccafl_plugin.report.rebuilt_run import RebuiltRun
from ccafl_plugin.report.sampled_people import Sample
from ccafl_plugin.utils.distributed import unwrap
from ccafl_plugin.utils.errors import CCAFLError

SHOWN = 8
"""People, one image each."""
STRENGTH = 0.6
"""Of the map over the image in grey."""

LEAD = (
    "The squares of the last feature map, summed over its channels and scaled to its own range in each image (as in "
    "torchreid's visualize_actmap). Bright is strong. Such a map shows where the encoder responds, not why two images "
    "are taken for one person."
)


def feature_map_strength(model: nn.Module, images: Tensor) -> Tensor:
    """Sums of squares of the last feature map over its channels.

    Args:
        model: in eval mode; one of the plugin's, or of torchreid's if it shows its feature maps.
        images: (B, 3, height, width) float, normalised as the model wants them.

    Returns:
        (B, h, w) float32, not negative.

    Raises:
        CCAFLError: the model does not show its feature maps.
    """
    target: Any = unwrap(model)
    if "return_featuremaps" in inspect.signature(target.forward).parameters:
        maps = target(images, return_featuremaps=True)
    elif hasattr(target, "featuremaps"):
        maps = target.featuremaps(images)
    else:
        raise CCAFLError(f"{type(target).__name__} does not show its feature maps.")
    if not isinstance(maps, Tensor) or maps.ndim != 4:
        raise CCAFLError(f"the feature maps of {type(target).__name__} are not (B, C, h, w).")
    return maps.float().square().sum(dim=1)


@torch.no_grad()
def maps_of(run: RebuiltRun, paths: Sequence[str]) -> NDArray[np.float32]:
    """(n, h, w) maps in [0, 1] of images, by the model with the weights that it has now.

    Raises:
        CCAFLError: the model does not show its feature maps, or an image can't be read.
    """
    run.model.eval()
    maps = torch.cat(
        [feature_map_strength(run.model, batch["img"].to(run.device)).cpu() for batch in run.loader(paths)]
    )
    low, high = maps.amin(dim=(1, 2), keepdim=True), maps.amax(dim=(1, 2), keepdim=True)
    scaled: NDArray[np.float32] = ((maps - low) / (high - low).clamp_min(1e-12)).numpy()
    return scaled


def shown_images(sample: Sample, seed: int = 1) -> list[int]:
    """Places in the sample: one image of each of some people, of cameras in turn."""
    few, rng = sample.few(seed), np.random.default_rng(seed)
    cameras = np.unique(sample.cameras[few])
    found = []
    for number, person in enumerate(rng.permutation(np.unique(sample.persons[few]))[:SHOWN].tolist()):
        own = few[sample.persons[few] == person]
        wanted = own[sample.cameras[own] == cameras[number % len(cameras)]]
        found.append(int((wanted if len(wanted) else own)[0]))
    return found


def maps_block(
    run: RebuiltRun,
    sample: Sample,
    places: Sequence[int],
    maps: Sequence[tuple[str, NDArray[np.float32]]],
    pictures: Pictures,
) -> Custom:
    """Each image beside its maps.

    Args:
        run: for the names of cameras.
        sample: of images.
        places: of those that are shown.
        maps: (when, (n, h, w) maps of these images).
        pictures: of the page.
    """
    rows = []
    for number, place in enumerate(places):
        path = sample.paths[place]
        try:
            picture = read_image(path).resize(SIZE, Image.Resampling.LANCZOS)
        except CCAFLError:
            pictures.unreadable += 1
            continue
        drawn = [{"uri": pictures.keep(overlaid(picture, found[number])), "name": when} for when, found in maps]
        rows.append(
            {
                "camera": run.camera_name(int(sample.cameras[place])),
                "pictures": [{"uri": pictures.keep(picture), "name": "image"}, *drawn],
            }
        )
    return Custom("maps", {"rows": rows, "heads": ["image", *(when for when, _ in maps)]})


def overlaid(picture: Image.Image, strength: NDArray[np.float32]) -> Image.Image:
    """A map in colours over an image in grey.

    Args:
        picture: any size.
        strength: (h, w) in [0, 1], enlarged to the picture's size.
    """
    from matplotlib import colormaps

    width, height = picture.size
    large = F.interpolate(torch.from_numpy(strength)[None, None], (height, width), mode="bilinear")[0, 0].numpy()
    grey = np.asarray(picture.convert("L"), dtype=np.float64)[..., None] / 255
    mixed = (1 - STRENGTH) * grey + STRENGTH * colormaps["inferno"](large)[..., :3]
    return Image.fromarray((255 * mixed).round().astype(np.uint8))
