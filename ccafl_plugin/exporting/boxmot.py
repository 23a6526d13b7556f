"""What BoxMOT, a public tracker, wants of an ONNX file in its place for re-identification.

Read in its releases 16 to 25 and tried with 16.0.11, 22.0.0 and 25.0.0. Its ONNX backend gives the graph's first input
(batch, 3, height, width) float32 crops in RGB, resized bilinearly, in [0, 1] and normalised with ImageNet's mean and
standard deviation, and takes the first output, whose rows it brings to length 1. From release 23 on, height and width
are the graph's, and the file may have any name. Before, crops are 256 x 128, and the name must hold that of one of its
own models (of which it builds an unused one), but not ``clip``, ``veri`` or ``vehicleid``, which change the input.
"""

from __future__ import annotations

INPUT_FORM = "imagenet"
NAME = "osnet_x0_25_ccafl"
"""Of the file, without ending: ``osnet_x0_25`` is the smallest of BoxMOT's own models."""
SIZE = (256, 128)
"""Height and width before release 23."""


def doubts(name: str, height: int, width: int) -> list[str]:
    """What older releases of BoxMOT would stumble over, in lines; empty if nothing.

    Args:
        name: of the file.
        height: of the graph's input.
        width: of the graph's input.
    """
    found = []
    if not name.startswith("osnet_x0_25") or any(word in name for word in ("clip", "veri", "vehicleid")):
        found.append(f"before BoxMOT 23 the file's name has to begin with osnet_x0_25, as {NAME}.onnx does")
    if (height, width) != SIZE:
        found.append(f"before BoxMOT 23 crops are {SIZE[0]} x {SIZE[1]}, and this model takes {height} x {width}")
    return found
