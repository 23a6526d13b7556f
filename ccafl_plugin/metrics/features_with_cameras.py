"""Features with the camera of each, as a caller gives them: checked, and named in messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ccafl_plugin.utils.camera_moments import scaled_to_unit_length
from ccafl_plugin.utils.errors import CCAFLError

Cameras: TypeAlias = Tensor | NDArray[Any] | Sequence[int] | Sequence[str]
"""The camera of each image: whole numbers or words."""


def camera_of_each(features: Tensor, cameras: Cameras | None) -> NDArray[Any]:
    """(M,) camera names; a CCAFLError if there are none, or they and the features don't fit each other."""
    if cameras is None:
        raise CCAFLError("camera normalisation needs to know the camera of each image; give cameras, or leave it off.")
    names = camera_names(cameras)
    if features.ndim != 2 or names.shape != tuple(features.shape[:1]):
        raise CCAFLError(
            f"camera normalisation needs features (M, D) and cameras (M,), got {tuple(features.shape)} and "
            f"{names.shape}."
        )
    check_features(features)
    return names


def check_features(features: Tensor) -> None:
    """Raises a CCAFLError unless they are finite and (M, D)."""
    if features.ndim != 2:
        raise CCAFLError(f"camera normalisation needs features (M, D), got {tuple(features.shape)}.")
    if not bool(torch.isfinite(features).all()):
        raise CCAFLError("camera normalisation: some features are not finite. Check them for NaN.")


def camera_names(cameras: Cameras) -> NDArray[Any]:
    """(M,) on the CPU."""
    return np.asarray(cameras.cpu() if isinstance(cameras, Tensor) else cameras)


def unit_rows(features: Tensor, members: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(n, D) a copy of some rows, of length 1."""
    chosen = features.detach()[torch.from_numpy(members).to(features.device)]
    return scaled_to_unit_length(chosen.cpu().double().numpy())


def listed(cameras: Sequence[int] | Sequence[str]) -> str:
    """Such as camera 3, or cameras '3', '4': a number and a word are two cameras, so words are quoted."""
    return f"camera{'s' * (len(cameras) != 1)} {', '.join(map(repr, cameras))}"
