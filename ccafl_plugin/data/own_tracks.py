"""Tracks of several cameras below one folder: per camera a MOT-challenge file beside a video or a folder of frames."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ccafl_plugin.data.image_records import natural_key
from ccafl_plugin.data.own_folder import ENDINGS
from ccafl_plugin.data.picture_source import VIDEOS
from ccafl_plugin.own_settings import PRODUCTS
from ccafl_plugin.utils.errors import CCAFLError

INSIDE = ("gt/gt.txt", "tracks.txt")
"""The file of tracks in a camera's folder, in the order in which they are looked for."""

LAYOUT = (
    "NAME.txt beside a video NAME.mp4 or a folder of frames NAME, or a folder NAME with gt/gt.txt or tracks.txt and "
    "its frames in img1 or a video"
)


@dataclass(frozen=True)
class TrackedCamera:
    """Where a camera's tracks and pictures are.

    Attributes:
        name: of the camera: of its file or folder.
        tracks: MOT-challenge file.
        source: video, or folder of frames; the file of tracks where there are no pictures and none are needed.
    """

    name: str
    tracks: Path
    source: Path


def find_tracked_cameras(root: Path, needs_pictures: bool = True) -> list[TrackedCamera]:
    """The cameras below a folder, in natural order of their names.

    Args:
        root: holds per camera what :data:`LAYOUT` says.
        needs_pictures: refuse tracks without a video or frames.

    Raises:
        CCAFLError: no tracks, or tracks without pictures.
    """
    found = []
    for path in sorted(root.iterdir(), key=lambda path: natural_key(path.name)):
        if path.name.startswith(".") or path.name == PRODUCTS:
            continue
        if path.is_dir():
            tracks = next((path / name for name in INSIDE if (path / name).is_file()), None)
            source = None if tracks is None else _source_in(path)
        else:
            tracks = path if path.suffix.lower() == ".txt" else None
            source = None if tracks is None else _source_beside(path)
        if tracks is not None:
            if source is None and needs_pictures:
                raise CCAFLError(f"{tracks} has no pictures; per camera {root} needs {LAYOUT}.")
            found.append(TrackedCamera(path.name if path.is_dir() else path.stem, tracks, source or tracks))
    if not found:
        raise CCAFLError(f"data.root: {root} holds no tracks; per camera it needs {LAYOUT}.")
    names = [camera.name for camera in found]
    for name in names:
        if names.count(name) > 1:
            raise CCAFLError(f"data.root: {root} has tracks of {name!r} twice, in a file and in a folder; remove one.")
    return found


def _source_beside(tracks: Path) -> Path | None:
    """``NAME`` with frames or the video ``NAME.mp4`` beside ``NAME.txt``."""
    folder = tracks.with_suffix("")
    if _has_images(folder):
        return folder
    return next((file for file in _videos(tracks.parent) if file.stem == tracks.stem), None)


def _source_in(folder: Path) -> Path | None:
    """``img1``, images in the folder itself, or its only video."""
    for inside in (folder / "img1", folder):
        if _has_images(inside):
            return inside
    videos = _videos(folder)
    return videos[0] if len(videos) == 1 else None


def _has_images(folder: Path) -> bool:
    return folder.is_dir() and any(file.suffix.lower() in ENDINGS for file in folder.iterdir())


def _videos(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in VIDEOS)
