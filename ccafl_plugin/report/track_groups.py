"""Identities across cameras that ``associate.py`` found: sizes of groups, and which links are least certain."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ccafl_plugin.data.crop_choice import spread
from ccafl_plugin.features.associate_command import FEATURES
from ccafl_plugin.features.feature_set import FeatureSet
from ccafl_plugin.features.identity_files import LINKS, TRACKS
from ccafl_plugin.report.drawing import COLOURS, as_drawing, figure
from ccafl_plugin.report.page_blocks import Custom, Drawing, Panel
from ccafl_plugin.report.pictures import Pictures
from ccafl_plugin.report.recorded_run import RecordedRun
from ccafl_plugin.utils.errors import CCAFLError

SHOWN = 10
"""Links, and groups."""
PER_TRACK = 2
"""Images of a track."""
TRACKS_OF_GROUP = 6
NEEDED = {
    TRACKS: ("camera", "track", "identity", "tracks"),
    LINKS: ("camera_1", "track_1", "camera_2", "track_2", "confidence"),
}
"""Columns of the tables."""

LEAD = (
    "What associate.py made of the tracks of all cameras. A link joins two tracks of different cameras; its confidence "
    "is above 0 where the two are, on balance, each other's best match."
)
Track = tuple[str, str]


def folders_with_identities(run: RecordedRun, given: str = "") -> list[Path]:
    """Folders with the tables of ``associate.py``: the one that is given, else the run's and those inside it.

    Raises:
        CCAFLError: the folder that is given has none.
    """
    if given:
        folder = Path(given).expanduser()
        if not all((folder / name).is_file() for name in NEEDED):
            raise CCAFLError(f"--identities: {given!r} has no {TRACKS} and {LINKS}, which associate.py writes.")
        return [folder]
    inside = sorted(each for each in run.path.iterdir() if each.is_dir())
    return [each for each in (run.path, *inside) if all((each / name).is_file() for name in NEEDED)]


def add_groups(panel: Panel, folder: Path, pictures: Pictures) -> None:
    """Puts what is in a folder of ``associate.py`` into a run's panel.

    Raises:
        CCAFLError: a table can't be read, or has other columns.
    """
    tracks, links = (read_table(folder / name) for name in (TRACKS, LINKS))
    panel.blocks += [sizes_drawing(tracks), *confidence_drawings(links)]
    try:
        images = images_of_tracks(folder)
    except CCAFLError as error:
        images = {}
        panel.missing.append(f"Tracks are shown without pictures: {error}")
    members: dict[str, list[Track]] = {}
    for row in tracks:
        members.setdefault(row["identity"], []).append((row["camera"], row["track"]))
    weakest = _weakest(links, {track: identity for identity, found in members.items() for track in found})
    rows = []
    for row in links[:SHOWN]:
        ends = [(row["camera_1"], row["track_1"]), (row["camera_2"], row["track_2"])]
        rows.append(_row(f"confidence {row['confidence']}", ends, images, pictures))
    if rows:
        panel.blocks.append(
            Custom("tracks", {"title": f"Least certain links, {len(rows)} of {len(links):,}", "rows": rows})
        )
    groups = sorted(
        (identity for identity in members if len(members[identity]) > 1), key=lambda each: weakest.get(each, 9)
    )
    rows = [
        _row(
            f"{len(members[each])} tracks, weakest link {weakest.get(each, float('nan')):.3f}",
            members[each],
            images,
            pictures,
        )
        for each in spread(groups, SHOWN)
    ]
    if rows:
        title = f"Groups, {len(rows)} of {len(groups):,}, spread from the least to the most certain"
        panel.blocks.append(Custom("tracks", {"title": title, "rows": rows}))


def read_table(file: Path) -> list[dict[str, str]]:
    """The rows of one of the tables.

    Raises:
        CCAFLError: it can't be read, or a column is missing.
    """
    try:
        with open(file, encoding="utf-8", newline="") as opened:
            reader = csv.DictReader(opened)
            rows = [{key: value or "" for key, value in row.items() if key} for row in reader]
            missing = [name for name in NEEDED[file.name] if name not in (reader.fieldnames or ())]
    except (OSError, ValueError, csv.Error) as error:
        raise CCAFLError(f"{file} can't be read ({error}).") from error
    if missing:
        raise CCAFLError(f"{file} has no column {missing[0]!r}; associate.py writes it.")
    return rows


def images_of_tracks(folder: Path) -> dict[Track, list[str]]:
    """(camera, track) -> paths of its images, from the features that ``associate.py --weights`` keeps beside.

    Raises:
        CCAFLError: they are not there, or do not say the camera and the track.
    """
    if not (folder / FEATURES).is_file():
        raise CCAFLError(f"{FEATURES} is not beside the tables; associate.py --weights writes it.")
    columns = FeatureSet.load(folder / FEATURES).columns
    who = next((name for name in ("track", "id") if name in columns), "")
    if "camera" not in columns or not who:
        raise CCAFLError(f"{FEATURES} says no camera or track of its images.")
    found: dict[Track, list[str]] = {}
    for camera, track, path in zip(columns["camera"], columns[who], columns["path"], strict=True):
        found.setdefault((camera, track), []).append(path)
    return found


def sizes_drawing(tracks: Sequence[Mapping[str, str]]) -> Drawing:
    """How many identities have how many tracks."""
    sizes = Counter(Counter(row["identity"] for row in tracks).values())
    with figure() as (made, axes):
        axes.bar(
            [str(size) for size in sorted(sizes)], [sizes[size] for size in sorted(sizes)], color=COLOURS[0], width=0.6
        )
        axes.grid(False, axis="x")
        axes.set_xlabel("tracks of an identity")
        axes.set_title("identities by size")
        return as_drawing(
            made, "Identities by size: " + ", ".join(f"{sizes[size]} of {size}" for size in sorted(sizes))
        )


def confidence_drawings(links: Sequence[Mapping[str, str]]) -> list[Drawing]:
    """Histogram of the links' confidences."""
    values = [value for row in links if (value := _number(row["confidence"])) is not None]
    if not values:
        return []
    with figure() as (made, axes):
        axes.hist(values, bins=40, color=COLOURS[0])
        axes.axvline(0, color="#222222", linewidth=0.8, linestyle=(0, (3, 2)))
        axes.set_xlabel("confidence")
        axes.set_title("links by confidence")
        below = sum(value < 0 for value in values)
        return [as_drawing(made, f"Confidence of {len(values)} links, {below} of them below 0")]


def _row(
    title: str, tracks: Sequence[Track], images: Mapping[Track, Sequence[str]], pictures: Pictures
) -> dict[str, Any]:
    shown = [
        {
            "said": f"{camera}: {track}",
            "pictures": [
                {"uri": pictures.read(path), "name": Path(path).name}
                for path in spread(images.get((camera, track), []), PER_TRACK)
            ],
        }
        for camera, track in tracks[:TRACKS_OF_GROUP]
    ]
    more = f"and {len(tracks) - TRACKS_OF_GROUP} more" if len(tracks) > TRACKS_OF_GROUP else ""
    return {"title": title, "tracks": shown, "more": more}


def _weakest(links: Sequence[Mapping[str, str]], identity: Mapping[Track, str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for row in links:
        value, of = _number(row["confidence"]), identity.get((row["camera_1"], row["track_1"]))
        if value is not None and of is not None:
            found[of] = min(found.get(of, value), value)
    return found


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
