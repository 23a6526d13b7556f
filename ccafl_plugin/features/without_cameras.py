"""Features without what their cameras add (camera-wise normalisation), in an index and in what it is searched by."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from ccafl_plugin.features.feature_set import SUFFIX, WITHOUT_CAMERAS, FeatureSet, kind_of
from ccafl_plugin.metrics import CameraStatistics
from ccafl_plugin.metrics.camera_normalization import UnknownCameraWarning
from ccafl_plugin.utils.errors import CCAFLError

OPTION, FILE_OPTION, CAMERA_OPTION = "--camera-normalization", "--camera-statistics", "--image-camera"


def without_cameras(features: FeatureSet, mode: str) -> tuple[FeatureSet, CameraStatistics]:
    """Takes out of features what their cameras add, by the statistics of these features.

    Args:
        features: as an extractor made them, with the camera of each.
        mode: ``mean``, ``mean_std`` or ``erase``.

    Returns:
        The features, whose description names the statistics so that they are compared with their like only, and the
        statistics.

    Raises:
        CCAFLError: it was done before, or the camera of an image is not known.
    """
    if features.description.get(WITHOUT_CAMERAS):
        raise CCAFLError(f"{OPTION}: these features are {kind_of(features.description)} already; name raw ones.")
    cameras = _cameras_of(features, OPTION)
    statistics = CameraStatistics.of(features.features, cameras, mode, fingerprint=features.weights)
    described = {**features.description, WITHOUT_CAMERAS: name_of(statistics)}
    changed = statistics.apply(features.features, cameras)
    return dataclasses.replace(features, features=changed, description=described), statistics


def name_of(statistics: CameraStatistics) -> str:
    """The mode, and digits that change with every number of the statistics."""
    tensors, metadata = statistics.to_tensors()
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(tensors[name].contiguous().numpy().tobytes())
    return f"{statistics.mode} {digest.hexdigest()[:12]}"


def file_beside(address: str, collection: str) -> Path:
    """Where the statistics of an index are kept: beside it, or for a Milvus server in the current folder.

    Args:
        address: of the index.
        collection: of Milvus.
    """
    if "://" in address:
        return Path(f"{collection}.cameras{SUFFIX}")
    path = Path(address).expanduser()
    if path.suffix == ".db":
        return path.with_name(f"{path.stem}-{collection}.cameras{SUFFIX}")
    return path.with_name(f"{path.name.removesuffix(SUFFIX)}.cameras{SUFFIX}")


def statistics_of_index(description: Mapping[str, Any], given: str, beside: Path) -> CameraStatistics | None:
    """The statistics by which the features of an index were made.

    Args:
        description: of the index.
        given: a file that the user names; empty: none.
        beside: the file in which they are kept if none is named.

    Returns:
        None for an index of features as extractors make them.

    Raises:
        CCAFLError: a file for an index that needs none, no file, or another one's statistics.
    """
    expected = description.get(WITHOUT_CAMERAS)
    if not expected:
        if given:
            raise CCAFLError(f"{FILE_OPTION}: the index was built without {OPTION}; leave it away, or build it anew.")
        return None
    file = Path(given).expanduser() if given else beside
    if not file.is_file():
        raise CCAFLError(
            f"{FILE_OPTION}: there is no file {str(file)!r} with the statistics of the index's cameras; name it, or "
            "build the index anew."
        )
    statistics = CameraStatistics.load(file, FILE_OPTION)
    if name_of(statistics) != expected:
        raise CCAFLError(
            f"{FILE_OPTION}: {str(file)!r} holds other statistics ({name_of(statistics)}) than those of the index "
            f"({expected}); name theirs, or build the index anew."
        )
    return statistics


def queries_without_cameras(statistics: CameraStatistics, features: Tensor, camera: str) -> Tensor:
    """Features of images, (n, D), that one camera took, without what it adds.

    Args:
        statistics: of the index.
        features: (n, D) float32.
        camera: its name; not needed in mode ``erase``.

    Raises:
        CCAFLError: no camera.
    """
    if not camera and statistics.mode != "erase":
        raise CCAFLError(
            f"{CAMERA_OPTION}: the index's features are without what their cameras add ({statistics.mode}); name the "
            "camera of the images that you search by."
        )
    return _applied(statistics, features, [camera] * len(features))


def set_without_cameras(statistics: CameraStatistics, features: FeatureSet, name: str) -> FeatureSet:
    """A set of features to search by, without what their cameras add.

    Args:
        statistics: of the index.
        features: as an extractor made them.
        name: of the set, for messages.

    Raises:
        CCAFLError: they are of another length, or the camera of an image is not known.
    """
    statistics.check(features.features.shape[1], what=name)
    cameras = None if statistics.mode == "erase" else _cameras_of(features, name)
    described = {**features.description, WITHOUT_CAMERAS: name_of(statistics)}
    changed = _applied(statistics, features.features, cameras)
    return dataclasses.replace(features, features=changed, description=described)


def _cameras_of(features: FeatureSet, what: str) -> list[str]:
    cameras: list[str] = features.columns.get("camera", [""] * len(features))
    unknown = sum(not name for name in cameras)
    if unknown:
        raise CCAFLError(
            f"{what}: the camera of {unknown} of {len(cameras)} images is not known; extract them with --pattern, "
            "--table or --tracks that tell the camera."
        )
    return cameras


def _applied(statistics: CameraStatistics, features: Tensor, cameras: Sequence[str] | None) -> Tensor:
    """The features; a camera without statistics is a printed line."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UnknownCameraWarning)
        changed = statistics.apply(features, cameras)
    for warning in caught:
        print(f"warning: {warning.message}")
    return changed
