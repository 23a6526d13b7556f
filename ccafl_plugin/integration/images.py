"""Changes in reading and transforming images: bicubic resizing, padding with a random crop, errors for broken files."""

from __future__ import annotations

import contextlib
import difflib
import functools
import io
import re
import warnings
from typing import Any

from torchvision.transforms import Compose, InterpolationMode, RandomHorizontalFlip, Resize

from ccafl_plugin.data.image_reading import read_image
from ccafl_plugin.data.transforms import PadCrop
from ccafl_plugin.integration.changes import Change, replace_everywhere
from ccafl_plugin.integration.torchreid_layout import IncompatibleTorchreid, attribute, require_parameters
from ccafl_plugin.options import options
from ccafl_plugin.utils.errors import CCAFLError

# torchreid has no list of its transforms: it checks for each name and silently ignores unknown names.
TORCHREID_TRANSFORMS = ("random_flip", "random_crop", "random_patch", "color_jitter", "random_erase")
PLUGIN_TRANSFORMS = ("bicubic_resize", "pad_crop")
TRANSFORMS = (*TORCHREID_TRANSFORMS, *PLUGIN_TRANSFORMS)


def bicubic(transform: Compose) -> Compose:
    """The same steps, but ``Resize`` is bicubic instead of bilinear.

    Raises:
        IncompatibleTorchreid: there is no ``Resize`` in it.
    """
    steps = list(transform.transforms)
    places = [place for place, step in enumerate(steps) if isinstance(step, Resize)]
    if not places:
        raise IncompatibleTorchreid("its transforms do not resize by torchvision's Resize")
    for place in places:
        steps[place] = Resize(steps[place].size, interpolation=InterpolationMode.BICUBIC)
    return Compose(steps)


def with_pad_crop(transform: Compose, crop: PadCrop) -> Compose:
    """The same steps with ``crop`` after the horizontal flip, or after ``Resize`` if there is no flip."""
    steps = list(transform.transforms)
    places = [place for place, step in enumerate(steps) if isinstance(step, (Resize, RandomHorizontalFlip))]
    if not places:
        raise IncompatibleTorchreid("its transforms do not resize by torchvision's Resize")
    steps.insert(places[-1] + 1, crop)
    return Compose(steps)


def with_crop_line(report: str, crop: PadCrop) -> str:
    """torchreid's printed list of transforms, with a line for ``crop`` after the flip."""
    line = f"+ random crop of {crop.height}x{crop.width} from the image padded by {crop.padding} pixels\n"
    lines = report.splitlines(keepends=True)
    before = [place for place, each in enumerate(lines) if each.startswith(("+ resize", "+ random flip"))]
    of_test = next((place for place, each in enumerate(lines) if "test transforms" in each), len(lines))
    place = max((place for place in before if place < of_test), default=len(lines) - 1) + 1
    return "".join([*lines[:place], line, *lines[place:]])


def transform_changes() -> list[Change]:
    """``bicubic_resize`` (training and test) and ``pad_crop`` (training) in ``build_transforms``."""
    original = attribute("data.transforms", "build_transforms")
    signature = require_parameters(original, "height", "width", "transforms", "norm_mean", "norm_std")

    @functools.wraps(original)
    def build_transforms(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs)
        given.apply_defaults()
        values = given.arguments
        names = [values["transforms"]] if isinstance(values["transforms"], str) else values["transforms"]
        names = [str(name).lower() for name in names] if isinstance(names, (list, tuple)) else []
        warn_of_unknown(names)
        if not set(names) & set(PLUGIN_TRANSFORMS):
            return original(*args, **kwargs)
        if "pad_crop" in names and "random_crop" in names:
            raise CCAFLError("transforms: pad_crop and random_crop both crop randomly. Choose one of the two.")
        values["transforms"] = [name for name in names if name not in PLUGIN_TRANSFORMS]
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            train, test = original(*given.args, **given.kwargs)
        report = printed.getvalue()
        if "bicubic_resize" in names:
            train, test = bicubic(train), bicubic(test)
            report = re.sub(r"^(\+ resize to .*)$", r"\1, bicubic", report, flags=re.MULTILINE)
        if "pad_crop" in names:
            crop = PadCrop(values["height"], values["width"], options.crop_padding)
            train = with_pad_crop(train, crop)
            report = with_crop_line(report, crop)
        print(report, end="")
        return train, test

    return replace_everywhere(original, build_transforms, "data.transforms", "data.datamanager")


def warn_of_unknown(names: list[str]) -> None:
    """Warns of unknown names, which torchreid silently ignores; it is no error, so that existing programs still run."""
    for name in names:
        if name not in TRANSFORMS:
            near = difflib.get_close_matches(name, TRANSFORMS, n=1, cutoff=0.5)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            warnings.warn(f"transforms: {name!r} is not known and does nothing.{hint}", stacklevel=3)


def reading_changes() -> list[Change]:
    """``read_image`` raises an error that names an unreadable file; torchreid retries it forever."""
    return replace_everywhere(
        attribute("utils.tools", "read_image"), read_image, "utils.tools", "data.datasets.dataset"
    )
