"""The command that finds one identity across cameras, for ``tools/associate.py`` and ``ccafl-associate``."""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ccafl_plugin.association import ASSOCIATIONS, check_options
from ccafl_plugin.data.own_tracks import find_tracked_cameras
from ccafl_plugin.features.feature_set import FeatureSet, joined
from ccafl_plugin.features.identities import compare, identify
from ccafl_plugin.features.identity_files import TRACKS, write_mot_files, write_tables
from ccafl_plugin.features.identity_page import PAGE, write_page
from ccafl_plugin.features.track_features import labels_of, notes_on, tracks_of
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.files import check_writable, written_line
from ccafl_plugin.utils.ranges import check_argument


def parser() -> argparse.ArgumentParser:
    """The arguments of the command."""
    made = argparse.ArgumentParser(description="One identity across cameras for the tracks of several cameras.")
    made.add_argument("features", nargs="+", help="files that extract.py wrote, all of one file of weights")
    made.add_argument("--out", default="identities", metavar="FOLDER", help="(default: %(default)s)")
    made.add_argument("--association", default="margin", metavar="NAME", help="(default: %(default)s)")
    made.add_argument(
        "--set",
        nargs=2,
        action="append",
        default=[],
        dest="options",
        metavar=("OPTION", "VALUE"),
        help="an option of the association, such as: --set best 4; may be repeated",
    )
    made.add_argument(
        "--whitening", type=float, default=0.0, metavar="X", help="shrinkage of the whitening; 0: none (the default)"
    )
    made.add_argument("--track", default="", metavar="COLUMN", help="who is who in a camera (default: track or id)")
    made.add_argument("--truth", default="", metavar="COLUMN", help="of labels that hold across cameras, to score by")
    made.add_argument("--mot", default="", metavar="FOLDER", help="of MOT files, to be written with the new ids")
    made.add_argument("--groups", type=int, default=40, metavar="N", help="on the page (default: %(default)s)")
    made.add_argument("--links", type=int, default=40, metavar="N", help="on the page (default: %(default)s)")
    made.add_argument("--no-page", dest="page", action="store_false", help="write no page of pictures")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command. Returns 0, or 2 after it has printed one line about what is wrong."""
    given = parser().parse_args(argv)
    try:
        run(given)
    except CCAFLError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


def run(given: argparse.Namespace) -> None:
    """Does what the arguments say.

    Raises:
        CCAFLError: an argument, the features or a file is not as it has to be.
    """
    options = parsed_options(given.association, given.options)
    check_argument("whitening", given.whitening)
    out = Path(given.out).expanduser()
    check_writable(out / TRACKS)
    cameras = find_tracked_cameras(_folder(given.mot), needs_pictures=False) if given.mot else None
    images = read_features(given.features)
    tracks = tracks_of(images, given.track, given.whitening)
    labels = labels_of(tracks, images, given.truth) if given.truth else None
    lines = notes_on(tracks)
    print("\n".join(lines), flush=True)
    identities = identify(tracks, given.association, **options)
    settings = "".join(f", {name} {value}" for name, value in options.items())
    said = [f"{given.association}{settings}: {identities}"]
    if labels is not None:
        said += compare(identities, labels).lines(given.truth, len(tracks))
    print("\n".join(said), flush=True)
    try:
        written = write_tables(out, identities)
        if cameras is not None:
            files, notes = write_mot_files(out, identities, cameras)
            written += files
            print("\n".join(notes), end="\n" if notes else "")
        if given.page:
            paths = [str(path) for path in images.columns["path"]]
            unread = write_page(out / PAGE, identities, paths, lines + said, given.groups, given.links)
            written.append(PAGE)
            if unread:
                print(f"note: {unread} pictures of the page can't be read any more; they are empty boxes")
    except OSError as error:
        raise CCAFLError(f"--out: {out} can't be written: {error.strerror or error}. Name another one.") from error
    print(written_line(out, written))


def read_features(files: Sequence[str]) -> FeatureSet:
    """One feature set of one file or several.

    Raises:
        CCAFLError: a file can't be read, or they are of different weights.
    """
    return joined([FeatureSet.load(file) for file in files], list(files))


def parsed_options(association: str, given: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Options of an association from text, by the types of their defaults.

    Raises:
        CCAFLError: an unknown association or option, or a text of another type.
    """
    try:
        check_options(association, [name for name, _ in given])
    except CCAFLError as error:
        raise CCAFLError(str(error).replace("association:", "--association:", 1)) from error
    parameters = inspect.signature(ASSOCIATIONS[association]).parameters
    found: dict[str, Any] = {}
    for name, text in given:
        kind = type(parameters[name].default)
        try:
            found[name] = text.lower() in ("true", "1", "yes") if kind is bool else kind(text)
        except ValueError as error:
            raise CCAFLError(f"--set {name}: {text!r} is not of the type {kind.__name__}.") from error
    return found


def _folder(name: str) -> Path:
    folder = Path(name).expanduser()
    if not folder.is_dir():
        raise CCAFLError(f"--mot: {name} is no folder; name the one with the cameras' MOT files.")
    return folder
