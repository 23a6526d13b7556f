"""The command that finds one identity across cameras, for ``tools/associate.py`` and ``ccafl-associate``."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ccafl_plugin.association import ASSOCIATIONS, check_options
from ccafl_plugin.data.own_tracks import TrackedCamera, find_tracked_cameras
from ccafl_plugin.features import extract_command
from ccafl_plugin.features.feature_set import load_joined
from ccafl_plugin.features.identities import compare, identify
from ccafl_plugin.features.identity_files import TRACKS, write_mot_files, write_tables
from ccafl_plugin.features.identity_page import PAGE, write_page
from ccafl_plugin.features.track_features import labels_of, notes_on, tracks_of
from ccafl_plugin.utils.commands import exit_code
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.files import check_writable, written_line
from ccafl_plugin.utils.ranges import check_argument

FEATURES = "features.safetensors"
"""The file of features that are made here, in the folder of the results."""


def parser() -> argparse.ArgumentParser:
    """The arguments of the command."""
    made = argparse.ArgumentParser(description="One identity across cameras for the tracks of several cameras.")
    made.add_argument(
        "features",
        nargs="+",
        help="files that extract.py wrote, of the same weights; with --weights one folder of images",
    )
    made.add_argument(
        "--weights", default="", metavar="FILE", help="make the features of the images in the folder first"
    )
    made.add_argument("--pattern", default="", help="of the folder's images, as extract.py takes it")
    made.add_argument("--table", default="", metavar="CSV", help="of the folder's images, as extract.py takes it")
    made.add_argument("--tracks", action="store_true", help="the folder holds videos or frames, with MOT files")
    made.add_argument("--device", default="", help="such as cuda (default: the GPU if there is one)")
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
    made.add_argument(
        "--mot",
        default="",
        metavar="FOLDER",
        help="of MOT files, to be written with the new ids (default: with --tracks the folder)",
    )
    made.add_argument("--groups", type=int, default=40, metavar="N", help="on the page (default: %(default)s)")
    made.add_argument("--links", type=int, default=40, metavar="N", help="on the page (default: %(default)s)")
    made.add_argument("--no-page", dest="page", action="store_false", help="write no page of pictures")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command. Returns 0, or 2 after it has printed one line about what is wrong."""
    return exit_code(run, parser().parse_args(argv))


def run(given: argparse.Namespace) -> None:
    """Does what the arguments say.

    Raises:
        CCAFLError: an argument, the features or a file is not as it has to be.
    """
    options = parsed_options(given.association, given.options)
    check_argument("whitening", given.whitening)
    for name in ("groups", "links"):
        if (count := getattr(given, name)) < 0:
            raise CCAFLError(f"--{name}: {count} can't be shown; expected is a number from 0.")
    out = Path(given.out).expanduser()
    check_writable(out / TRACKS)
    mot = given.mot or (given.features[0] if given.tracks else "")
    cameras = _cameras(Path(mot).expanduser()) if mot else None
    files = made_features(given, out) if given.weights else _no_folders(given)
    images = load_joined(files)
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
        written = [FEATURES] if given.weights else []
        written += write_tables(out, identities)
        if cameras is not None:
            mot_files, notes = write_mot_files(out, identities, cameras)
            written += mot_files
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


def made_features(given: argparse.Namespace, out: Path) -> list[str]:
    """Makes the features of the images in a folder, as ``extract.py`` does. Gives the file.

    Raises:
        CCAFLError: more than one folder, or what is wrong with images or weights.
    """
    if len(given.features) > 1:
        raise CCAFLError("--weights: name one folder of images, in which all cameras are; or files of features alone.")
    file = str(out / FEATURES)
    words = [given.features[0], "--weights", given.weights, "--out", file]
    for name in ("pattern", "table", "device"):
        words += [f"--{name}", getattr(given, name)] if getattr(given, name) else []
    extract_command.run(extract_command.parser().parse_args([*words, *(["--tracks"] if given.tracks else [])]))
    return [file]


def _no_folders(given: argparse.Namespace) -> list[str]:
    """The files of features.

    Raises:
        CCAFLError: a folder, or options of one, without weights.
    """
    of_folder = [f"--{name}" for name in ("pattern", "table", "tracks") if getattr(given, name)]
    folders = [name for name in given.features if Path(name).expanduser().is_dir()]
    for name in (*of_folder, *folders):
        raise CCAFLError(f"{name}: images need weights to get features by; name them with --weights FILE.")
    files: list[str] = given.features
    return files


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


def _cameras(folder: Path) -> list[TrackedCamera]:
    """The cameras whose MOT files are in a folder."""
    if not folder.is_dir():
        raise CCAFLError(f"{folder} is no folder; name the one with the cameras' MOT files.")
    try:
        return find_tracked_cameras(folder, needs_pictures=False)
    except CCAFLError as error:
        raise CCAFLError(str(error).replace("data.root: ", "")) from error
