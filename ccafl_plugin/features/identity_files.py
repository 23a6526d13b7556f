"""Identities across cameras as files: tables of tracks and links, and MOT files with the identities as ids."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ccafl_plugin.data.mot_file import read_mot_file
from ccafl_plugin.data.own_tracks import TrackedCamera
from ccafl_plugin.features.identities import Identities
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.files import write_text_whole
from ccafl_plugin.utils.progress import watched

TRACKS, LINKS, MOT = "identities.csv", "links.csv", "mot"
_SECOND_CELL = re.compile(r"^(\s*[^,;\s]+(?:\s*[,;]\s*|\s+))([^,;\s]+)(.*)$", re.DOTALL)


def write_tables(folder: Path, identities: Identities) -> list[str]:
    """Writes ``identities.csv``, a row per track, and ``links.csv``, a row per link, the least certain first.

    Args:
        folder: made if it is missing.
        identities: what to write.

    Returns:
        The names of the files.
    """
    tracks, links = identities.tracks, identities.links
    rows = [
        (camera, name, identity, size, len(images), _number(confidence))
        for camera, name, identity, size, images, confidence in zip(
            tracks.cameras,
            tracks.names,
            identities.identity.tolist(),
            identities.size.tolist(),
            tracks.images,
            links.of_proxy.tolist(),
            strict=True,
        )
    ]
    write_text_whole(folder / TRACKS, _csv(["camera", "track", "identity", "tracks", "images", "confidence"], rows))
    identity = identities.identity.tolist()
    link_rows = []
    for place in np.argsort(links.confidence, kind="stable").tolist():
        a, b = int(links.first[place]), int(links.second[place])
        ends = (tracks.cameras[a], tracks.names[a], tracks.cameras[b], tracks.names[b])
        link_rows.append((identity[a], *ends, _number(links.confidence[place]), _number(links.cosine[place])))
    head = ["identity", "camera_1", "track_1", "camera_2", "track_2", "confidence", "cosine"]
    write_text_whole(folder / LINKS, _csv(head, link_rows))
    return [TRACKS, LINKS]


def write_mot_files(
    folder: Path, identities: Identities, cameras: Sequence[TrackedCamera]
) -> tuple[list[str], list[str]]:
    """Writes each camera's MOT file again, with identities in the place of tracks; all else stays as it is.

    Tracks of which there is no feature (all their boxes were left out) get identities of their own. Lines with the
    track -1 stay.

    Args:
        folder: that gets a folder ``mot``.
        identities: of tracks that are called as in the files.
        cameras: with their files; named as in the tracks.

    Returns:
        The names of the files, and lines that say what is worth knowing.

    Raises:
        CCAFLError: a camera of the tracks has no file, or a file can't be read.
    """
    tracks = identities.tracks
    keys = zip(tracks.cameras, tracks.names, strict=True)
    known = dict(zip(keys, identities.identity.tolist(), strict=True))
    missing = sorted(set(tracks.cameras) - {camera.name for camera in cameras})
    if missing:
        raise CCAFLError(
            f"the camera {missing[0]!r} has no MOT file; there are those of "
            f"{', '.join(repr(camera.name) for camera in cameras)}."
        )
    following = int(identities.identity.max()) + 1
    written, notes, fresh = [], [], 0
    for camera in watched(cameras, len(cameras), "cameras", "Writing MOT files"):
        read_mot_file(camera.tracks)  # names the line that is wrong, if one is
        text = camera.tracks.read_text(encoding="utf-8-sig")
        lines, seen, twice = [], set(), 0
        for line in text.splitlines():
            match = _SECOND_CELL.match(line)
            if match is None or float(match[2]) == -1:
                lines.append(line)
                continue
            key = (camera.name, str(int(float(match[2]))))
            if key not in known:
                known[key] = following + fresh
                fresh += 1
            place = (float(re.split(r"[,;\s]+", line.strip())[0]), known[key])
            twice += place in seen
            seen.add(place)
            lines.append(f"{match[1]}{known[key]}{match[3]}")
        name = f"{camera.name}.txt"
        write_text_whole(folder / MOT / name, "\n".join(lines) + "\n")
        written.append(f"{MOT}/{name}")
        if twice:
            notes.append(
                f"warning: {camera.name}: {twice} boxes have the identity of another box of their frame; the "
                "association margin never gives one identity to two tracks of a camera"
            )
    if fresh:
        notes.append(f"tracks of the MOT files without any image: {fresh}; each has an identity of its own")
    return written, notes


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.4f}"


def _csv(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue()
