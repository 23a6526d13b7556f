"""Whether the images of a run can be read, found out before hours of training and not after them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from ccafl_plugin.data.image_reading import read_image
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.file_kinds import not_a_file
from ccafl_plugin.utils.progress import watched

THREADS = 8
"""Most of the time is spent waiting for the disk."""

_JPEG, _END_OF_JPEG = b"\xff\xd8\xff", b"\xff\xd9"
_PNG, _END_OF_PNG = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"


def check_readable(paths: Sequence[str], dataset: str) -> None:
    """Checks that every file exists and is a whole image.

    JPEG and PNG files are judged by their first and last bytes, which finds what is cut off and what is something
    else; a file that looks odd, or is of another format, is decoded. 20 000 files take about a second.

    Args:
        paths: of the images; each is looked at once.
        dataset: for messages.

    Raises:
        CCAFLError: some can't be read; the first one by name is named, with the reason.
    """
    files = sorted(set(paths))
    with ThreadPoolExecutor(THREADS) as pool:
        looked_at = watched(pool.map(_problem, files), len(files), "images", "Checking")
        problems = [problem for problem in looked_at if problem]
    if not problems:
        return
    more = f" ({len(problems)} of {len(files)} images can't be read; this is the first.)" if problems[1:] else ""
    if 2 * sum(not os.path.exists(path) for path in files) > len(files):
        more += " Most do not exist: if the dataset's folder has a splits*.json of another place, delete it."
    raise CCAFLError(f"{dataset}: {problems[0]}{more}")


def _problem(path: str) -> str:
    """Why a file can't be read; empty if it can."""
    if not _looks_whole(path):
        try:
            read_image(path)
        except CCAFLError as error:
            return str(error)
    return ""


def _looks_whole(path: str) -> bool:
    if not_a_file(path) is not None:  # a pipe would be waited for
        return False
    try:
        with open(path, "rb") as file:
            start = file.read(len(_PNG))
            file.seek(-min(len(_END_OF_PNG), os.fstat(file.fileno()).st_size), os.SEEK_END)
            end = file.read()
    except OSError:
        return False
    return (start.startswith(_JPEG) and end.endswith(_END_OF_JPEG)) or (start == _PNG and end == _END_OF_PNG)
