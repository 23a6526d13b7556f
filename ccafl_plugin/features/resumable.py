"""Features of many images, kept part by part, so that a command that was stopped goes on where it was."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ccafl_plugin.data.image_reading import read_image
from ccafl_plugin.features.extractor import Extractor
from ccafl_plugin.features.feature_set import FeatureSet
from ccafl_plugin.features.image_list import ImageList
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.files import write_text_whole, write_whole
from ccafl_plugin.utils.progress import Progress

PART = 2048
"""Images of a part: at most the work of so many is lost when a command is stopped."""

PARTS_FORMAT = "1"


@dataclass(frozen=True)
class Extraction:
    """What came of it.

    Attributes:
        features: of the images that could be read.
        broken: path -> why it could not be read.
        kept: images whose features an earlier run had made.
    """

    features: FeatureSet
    broken: dict[str, str]
    kept: int


def extract_images(extractor: Extractor, images: ImageList, parts: Path, size: int = PART) -> Extraction:
    """Features of images. Parts that an earlier call has finished are used, if their images are still the same files.

    Args:
        extractor: makes the features.
        images: whose features are wanted.
        parts: folder of the parts; :func:`remove_parts` takes it away when the features are saved.
        size: images of a part.

    Raises:
        CCAFLError: the folder holds features of other weights, it can't be written, or no image can be read.
    """
    described = description_of(extractor)
    _start(parts, extractor.digest, described)
    features = torch.empty(len(images), extractor.feature_dim)
    rows: list[int] = []
    broken: dict[str, str] = {}
    kept = 0
    with Progress(len(images), "images") as progress:
        for first in range(0, len(images), size):
            paths = images.paths[first : first + size]
            file = parts / f"{_name(paths)}.safetensors"
            found = _read_part(file, paths, extractor.feature_dim)
            if found is None:
                found = _make_part(extractor, paths, progress)
                _write_part(file, *found)
            else:
                kept += len(paths)
                progress.add(len(paths))
            made, problems = found
            broken |= problems
            features[len(rows) : len(rows) + len(made)] = made
            rows += [first + place for place, path in enumerate(paths) if path not in problems]
    if not rows:
        raise CCAFLError(f"none of {len(images)} images can be read, e.g. {next(iter(broken.values()))}")
    columns = {name: [values[row] for row in rows] for name, values in images.columns.items()}
    made_set = FeatureSet(features[: len(rows)], columns, extractor.digest, described)
    return Extraction(made_set, broken, kept)


def remove_parts(parts: Path) -> None:
    """Takes the folder of the parts away."""
    shutil.rmtree(parts, ignore_errors=True)


def description_of(extractor: Extractor) -> dict[str, Any]:
    """The description of an extractor's weights with plain values, as JSON gives them back."""
    described: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(extractor.description)))
    return described


def _start(parts: Path, digest: str, described: dict[str, Any]) -> None:
    """Makes the folder, or finds that it is of the same weights."""
    file = parts / "weights.json"
    own = {"format": PARTS_FORMAT, "weights": digest, "feature": described.get("feature", "")}
    try:
        if file.is_file():
            other = json.loads(file.read_text("utf-8"))
            if other != own:
                raise CCAFLError(
                    f"{parts} holds features of other weights ({str(other.get('weights'))[:12]}, "
                    f"{other.get('feature')}) than these ({digest[:12]}, {own['feature']}); remove it, or name another "
                    "--out."
                )
        write_text_whole(file, json.dumps(own))
    except OSError as error:
        raise CCAFLError(f"{parts} can't be written: {error.strerror or error}. Name another --out.") from error
    except (json.JSONDecodeError, AttributeError) as error:
        raise CCAFLError(f"{file} is damaged; remove {parts}.") from error


def _name(paths: Sequence[str]) -> str:
    """Of a part: changes with a file's path, size or time."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            state = os.stat(path)
            digest.update(f"{path}\0{state.st_size}\0{state.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
        except OSError:
            digest.update(f"{path}\0missing\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:32]


def _make_part(extractor: Extractor, paths: Sequence[str], progress: Progress) -> tuple[Tensor, dict[str, str]]:
    """(n, D) features of the images that can be read, and why the others can't."""
    done = 0

    def run(some: Sequence[str]) -> Tensor:
        nonlocal done
        rows = []
        seen = 0
        for batch in extractor.batches(list(some)):
            rows.append(batch)
            seen += len(batch)
            progress.add(max(0, seen - done))
            done = max(done, seen)
        return torch.cat(rows) if rows else torch.empty(0, extractor.feature_dim)

    problems: dict[str, str] = {}
    try:
        made = run(paths)
    except CCAFLError:
        problems = _broken(paths)
        if not problems:
            raise
        made = run([path for path in paths if path not in problems])
    progress.add(len(paths) - done)
    return made, problems


def _broken(paths: Sequence[str]) -> dict[str, str]:
    def problem(path: str) -> str:
        try:
            read_image(path)
        except CCAFLError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return {path: text for path, text in zip(paths, pool.map(problem, paths), strict=True) if text}


def _write_part(file: Path, features: Tensor, problems: dict[str, str]) -> None:
    from safetensors.torch import save_file

    metadata = {"broken": json.dumps(problems)}
    try:
        write_whole(file, lambda partial: save_file({"features": features.contiguous()}, partial, metadata))
    except OSError as error:
        raise CCAFLError(f"{file} can't be written: {error.strerror or error}. What is finished is kept.") from error


def _read_part(file: Path, paths: Sequence[str], dim: int) -> tuple[Tensor, dict[str, str]] | None:
    """None where there is no whole one; it is made again then."""
    from safetensors import SafetensorError, safe_open

    if not file.is_file():
        return None
    try:
        with safe_open(file, framework="pt") as opened:
            problems = json.loads(opened.metadata()["broken"])
            features: Tensor = opened.get_tensor("features")
    except (SafetensorError, OSError, KeyError, ValueError):
        return None
    return (features, problems) if features.shape == (len(paths) - len(problems), dim) else None
