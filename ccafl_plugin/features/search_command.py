"""The command that builds an index of features and searches it, for ``tools/search.py`` and ``ccafl-search``."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate
from torch import Tensor

from ccafl_plugin.data.time_text import seconds_of
from ccafl_plugin.features.extractor import open_extractor
from ccafl_plugin.features.feature_set import COLUMNS, FeatureSet, kind_of, load_joined
from ccafl_plugin.features.image_inputs import images_of
from ccafl_plugin.features.milvus_index import COLLECTION
from ccafl_plugin.features.resumable import description_of
from ccafl_plugin.features.search_index import Filter, Hit, SearchIndex
from ccafl_plugin.features.search_page import Found, check_page, write_page
from ccafl_plugin.features.search_targets import build_index, kind_of_target, open_index
from ccafl_plugin.features.thresholds import Thresholds, file_of
from ccafl_plugin.features.without_cameras import (
    CAMERA_OPTION,
    FILE_OPTION,
    OPTION,
    file_beside,
    queries_without_cameras,
    set_without_cameras,
    statistics_of_index,
    without_cameras,
)
from ccafl_plugin.metrics import CameraStatistics
from ccafl_plugin.utils.camera_moments import TEST_MODES
from ccafl_plugin.utils.commands import print_error
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.files import check_writable, written_line

INDEX_HELP = "a folder (faiss), FILE.safetensors (exact), http://host:19530 or FILE.db (Milvus)"


def parser() -> argparse.ArgumentParser:
    """The arguments of the command."""
    made = argparse.ArgumentParser(description="Search images by image or text, in an index of features.")
    actions = made.add_subparsers(dest="action", required=True)
    build = actions.add_parser("build", help="make an index of files of features")
    build.add_argument("index", help=INDEX_HELP)
    build.add_argument("features", nargs="+", help="files of extract.py, all of one file of weights")
    build.add_argument(
        OPTION,
        default="none",
        choices=("none", *TEST_MODES),
        help="takes what the cameras add out of the features (default: %(default)s)",
    )
    query = actions.add_parser("query", help="search an index")
    query.add_argument("index", help=INDEX_HELP)
    query.add_argument("--image", nargs="+", default=[], metavar="FILE", help="to search by; also folders of images")
    query.add_argument("--weights", default="", metavar="FILE", help="with which the index was made")
    query.add_argument("--text", nargs="+", default=[], metavar="TEXT", help="to search by, if the weights can read")
    query.add_argument("--features", default="", metavar="FILE", help="to search by: a file of extract.py")
    query.add_argument(
        CAMERA_OPTION,
        default="",
        metavar="NAME",
        help=f"that took the images of --image, for an index that was built with {OPTION}",
    )
    query.add_argument(
        FILE_OPTION, default="", metavar="FILE", help="of such an index, if the file is not beside it any more"
    )
    query.add_argument("--top", type=int, default=10, metavar="N", help="results of a query (default: %(default)s)")
    query.add_argument("--camera", nargs="+", default=[], metavar="NAME", help="only images of these cameras")
    query.add_argument("--without-camera", nargs="+", default=[], metavar="NAME", help="no images of these cameras")
    query.add_argument("--since", default="", metavar="TIME", help="only images from then on: seconds, or ISO 8601")
    query.add_argument("--until", default="", metavar="TIME", help="only images before then")
    query.add_argument("--page", default="", metavar="FILE", help="results as a picture: FILE.html or FILE.jpg")
    query.add_argument("--device", default="", help="such as cuda (default: the GPU if there is one)")
    for one in (build, query):
        one.add_argument("--collection", default=COLLECTION, metavar="NAME", help="of Milvus (default: %(default)s)")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command. Returns 0, or 2 after it has printed one line about what is wrong."""
    given = parser().parse_args(argv)
    try:
        if given.action == "build":
            build(given)
        else:
            query(given)
    except CCAFLError as error:
        print_error(error)
        return 2
    return 0


def build(given: argparse.Namespace) -> None:
    """Makes an index.

    Raises:
        CCAFLError: the features can't be read or are of different weights, or the index can't be made.
    """
    features = load_joined(given.features)
    beside = file_beside(given.index, given.collection)
    start = time.monotonic()
    names = []
    statistics = None
    if given.camera_normalization != "none":
        features, statistics = without_cameras(features, given.camera_normalization)
        check_writable(beside)
        names = [beside.name]
        print(f"Without what {len(statistics.cameras)} cameras add to their features ({statistics.mode})")
    line = build_index(features, given.index, given.collection)
    if statistics is not None:
        statistics.save(beside)  # behind the index: if that can't be made, an older one keeps its statistics
    print(f"{line} ({time.monotonic() - start:.1f} s)")
    if "://" not in given.index:
        path = Path(given.index).expanduser()
        names.insert(0, path.name + "/" * path.is_dir())
    if names:
        print(written_line(beside.parent, names))


def query(given: argparse.Namespace) -> None:
    """Searches an index and shows what was found.

    Raises:
        CCAFLError: the index or a query can't be read, or they are of different weights.
    """
    if not (given.image or given.text or given.features):
        raise CCAFLError("Nothing to search by: name --image, --text or --features.")
    if (given.image or given.text) and not given.weights:
        raise CCAFLError("--weights: images and texts need the file of weights with which the index was made.")
    if given.page:
        check_page(given.page)
    index = open_index(given.index, given.collection)
    beside = file_beside(given.index, given.collection)
    statistics = statistics_of_index(index.description, given.camera_statistics, beside)
    names, pictures, queries, by_image = _queries(given, index, statistics)
    only = Filter(
        tuple(given.camera), tuple(given.without_camera), _time(given.since, "--since"), _time(given.until, "--until")
    )
    start = time.monotonic()
    found = index.search(queries, given.top, only)
    milliseconds = 1000 * (time.monotonic() - start) / len(queries)
    thresholds = _thresholds(given.weights, index) if by_image else None
    results = [
        Found(name, picture, hits, [_mark(hit, thresholds) for hit in hits])
        for name, picture, hits in zip(names, pictures, found, strict=True)
    ]
    for result in results:
        print(f"\n{result.name}")
        print(table(result))
    count = f"{len(queries)} queries" if len(queries) > 1 else "1 query"
    kind = kind_of_target(given.index)
    print(f"\n{count} among {len(index)} images ({kind}), {milliseconds:.1f} ms each, the features not counted")
    if given.page:
        page = Path(given.page).expanduser()
        write_page(page, results)
        print(written_line(page.parent, [page.name]))


def table(result: Found) -> str:
    """What was found for a query."""
    shown = [name for name in COLUMNS if any(name in hit.facts for hit in result.hits)]
    marked = any(result.marks)
    rows = [
        [place, f"{hit.similarity:.4f}", *([mark] if marked else []), *(hit.facts.get(name, "") for name in shown)]
        for place, (hit, mark) in enumerate(zip(result.hits, result.marks, strict=True), start=1)
    ]
    if not rows:
        return "nothing: no image passes the filter"
    headers = ["", "cosine", *(["same person at"] if marked else []), *shown]
    return tabulate(rows, headers=headers, tablefmt="simple", disable_numparse=True)


def _queries(
    given: argparse.Namespace, index: SearchIndex, statistics: CameraStatistics | None
) -> tuple[list[str], list[str], Tensor, bool]:
    """(names, paths of pictures, features, whether all are features of images)."""
    if given.image_camera and (statistics is None or not given.image):
        raise CCAFLError(f"{CAMERA_OPTION}: it goes with --image, in an index that was built with {OPTION}.")
    if given.features:
        if given.image or given.text:
            raise CCAFLError("--features: search by a file of features, or by images and texts, not by both.")
        asked = FeatureSet.load(given.features)
        if statistics is not None and kind_of(asked.description) == index.feature:
            asked = set_without_cameras(statistics, asked, given.features)
        index.check_query(asked.weights, kind_of(asked.description), given.features)
        return asked.columns["path"], asked.columns["path"], asked.features, True
    if given.image and given.text:
        raise CCAFLError("--text: search by images or by texts, not by both at once.")
    extractor: Any = _extractor(given.weights, index, given.device)
    if given.text:
        return list(given.text), [""] * len(given.text), _texts(given, index, statistics, extractor), False
    paths = [str(path) for image in given.image for path in (images_of(image) if Path(image).is_dir() else [image])]
    features = extractor(paths)
    if statistics is not None:
        features = queries_without_cameras(statistics, features, given.image_camera)
    return paths, paths, features, True


def _texts(
    given: argparse.Namespace, index: SearchIndex, statistics: CameraStatistics | None, extractor: Any
) -> Tensor:
    """Features of the texts to search by."""
    if statistics is not None:
        raise CCAFLError(f"--text: a text has no camera; search an index that was built without {OPTION}.")
    if index.feature != "embedding":
        raise CCAFLError(
            "--text: the index holds features of images that no text can be compared with; extract them with "
            "--feature embedding."
        )
    if not hasattr(extractor, "encode_text"):
        raise CCAFLError(f"--text: {given.weights} has no text encoder.")
    features: Tensor = extractor.encode_text(list(given.text))
    return features


def _extractor(weights: str, index: SearchIndex, device: str) -> Any:
    """The extractor of the index's kind of feature."""
    settings = {"device": device} if device else {}
    extractor = open_extractor(weights, **settings)
    index.check_query(extractor.digest, index.kind, weights)
    if kind_of(description_of(extractor)) != index.feature:
        extractor = open_extractor(weights, feature=index.feature, **settings)
    return extractor


def _thresholds(weights: str, index: SearchIndex) -> Thresholds | None:
    """Those beside the weights, if there are any for this kind of feature."""
    if not weights or not file_of(weights).is_file():
        return None
    found = Thresholds.load(file_of(weights))
    try:
        found.check_weights(index.weights, index.kind, "the index")
    except CCAFLError as error:
        print(f"warning: {file_of(weights)} is not used. {error}")
        return None
    return found


def _time(text: str, option: str) -> float | None:
    return seconds_of(text, option) if text else None


def _mark(hit: Hit, thresholds: Thresholds | None) -> str:
    rate = None if thresholds is None else thresholds.passed(hit.similarity)
    return "" if rate is None else f"{rate:g}"
