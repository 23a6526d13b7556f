"""Checkpoint files: one folder per part in torchreid's format, and a manifest that is written last."""

from __future__ import annotations

import functools
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ccafl_plugin.engine.manifests import (
    CONTENTS,
    MANIFEST,
    DamagedCheckpoint,
    check_files,
    epoch_of,
    files_of,
    manifests,
    read,
    write,
)
from ccafl_plugin.models.checkpoint_file import read_part
from ccafl_plugin.models.state_dicts import tensors_of
from ccafl_plugin.utils.digests import FileFacts, write_verified
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.files import write_whole


class Checkpoint(NamedTuple):
    """What :func:`open_checkpoint` read.

    Attributes:
        file: its manifest's file.
        manifest: the manifest's entries.
        parts: the state of every part, on the CPU.
    """

    file: Path
    manifest: dict[str, Any]
    parts: dict[str, dict[str, Any]]


def save(
    save_dir: str | Path,
    parts: dict[str, dict[str, Any]],
    facts: dict[str, Any],
    keep: int,
    keep_epochs: Collection[int] = (),
) -> None:
    """Writes every part to ``save_dir/PART/model.pth.tar-EPOCH``, then the manifest, and then deletes old checkpoints.

    Files are written atomically and read back, so after an interruption or on a full disk the last checkpoint is still
    usable.

    Args:
        save_dir: folder of the run.
        parts: for each part a dict in torchreid's format (``state_dict``, ``epoch``, ``rank1``, ``optimizer``, ...),
            all of one epoch; ``epoch`` is the number of finished epochs.
        facts: other entries of the manifest.
        keep: number of the newest checkpoints that are kept.
        keep_epochs: numbers of finished epochs whose checkpoints are always kept.

    Raises:
        OSError: a file could not be written; older checkpoints are unchanged.
    """
    save_dir = Path(save_dir)
    epoch = next(iter(parts.values()))["epoch"]
    files, contents = {}, {}
    for name, state in parts.items():
        file = save_dir / name / f"model.pth.tar-{epoch}"
        contents[name] = _write_part(file, state).as_dict()
        files[name] = file.relative_to(save_dir).as_posix()
    manifest = save_dir / MANIFEST.format(epoch)
    write(manifest, {"epoch": epoch, "parts": files, CONTENTS: contents, **facts})
    print(f'Checkpoint saved to "{manifest}" ({", ".join(files)})')
    for old in manifests(save_dir)[:-keep]:
        if epoch_of(old) in keep_epochs or old == manifest:
            continue
        old_files = files_of(old)
        old.unlink()  # first: without a manifest there is no checkpoint, and a part alone is not taken for one
        for name in old_files.values():
            (save_dir / name).unlink(missing_ok=True)


def amend(save_dir: str | Path, epoch: int, facts: Mapping[str, Any]) -> None:
    """Replaces entries of the manifest of a checkpoint that was just written, without writing its parts again.

    Raises:
        DamagedCheckpoint, OSError: there is no such manifest, or it could not be written.
    """
    manifest = Path(save_dir) / MANIFEST.format(epoch)
    write(manifest, {**read(manifest, "data.save_dir"), **facts})


def _write_part(file: Path, state: Mapping[str, Any]) -> FileFacts:
    facts: list[FileFacts] = []
    write_whole(file, lambda path: facts.append(write_verified(path, functools.partial(torch.save, state))))
    return facts[0]


def find_manifest(path: str | Path, key: str = "model.resume") -> Path:
    """Finds the manifest of a checkpoint.

    Args:
        path: a manifest, a run's folder (its newest checkpoint), or a part's file as torchreid writes them
            (``log/model/model.pth.tar-10``).
        key: the configuration key that errors name.

    Raises:
        CCAFLError: the path does not exist, or the file belongs to no complete checkpoint.
    """
    path = Path(path)
    if path.is_dir():
        found = manifests(path)
        if not found:
            raise CCAFLError(f"{key}: there is no checkpoint in {str(path)!r}; expected {MANIFEST.format('EPOCH')}.")
        return found[-1]
    if not path.is_file():
        raise CCAFLError(f"{key}: there is no file {str(path)!r}.")
    if path.suffix == ".json":
        return path
    epoch = path.name.rpartition("-")[2]
    manifest = path.parent.parent / MANIFEST.format(epoch)
    if not manifest.is_file():
        raise CCAFLError(
            f"{key}: {str(path)!r} belongs to no complete checkpoint, because {str(manifest)!r} is missing. "
            "Name the file of another epoch, or use model.load_weights to load only the weights."
        )
    return manifest


def load(path: str | Path, key: str = "model.resume") -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The manifest and the parts of :func:`open_checkpoint`."""
    _, manifest, parts = open_checkpoint(path, key)
    return manifest, parts


def open_checkpoint(path: str | Path, key: str = "model.resume") -> Checkpoint:
    """Reads a checkpoint. Of a folder, the newest that is whole; newer ones that are damaged are named in one line.

    Args:
        path: see :func:`find_manifest`.
        key: the configuration key that errors name.

    Raises:
        CCAFLError: there is no checkpoint; the one that is named is damaged, or all in the folder are; or a manifest
            names a file of another place.
    """
    newest = find_manifest(path, key)
    if not Path(path).is_dir():
        try:
            return _open(newest, key)
        except DamagedCheckpoint as error:
            raise DamagedCheckpoint(f"{error}{_before(newest)}") from error
    found = manifests(path)[::-1]
    for manifest, before in zip(found, [*found[1:], None], strict=True):
        try:
            return _open(manifest, key)
        except DamagedCheckpoint as error:
            if before is None:
                whole = "" if len(found) == 1 else f" None of the {len(found)} checkpoints in the folder is whole."
                raise DamagedCheckpoint(f"{error}{whole}") from error
            print(f"warning: {error} The checkpoint before it is used: {before.name}.", file=sys.stderr)
    raise AssertionError("unreachable: find_manifest found one")


def _before(manifest: Path) -> str:
    """Names the checkpoint before a damaged one; empty if there is none."""
    number = manifest.stem.rpartition("-")[2]
    older = [each for each in manifests(manifest.parent) if number.isdecimal() and epoch_of(each) < int(number)]
    return f" The checkpoint before it is {str(older[-1])!r}." if older else ""


def _open(file: Path, key: str) -> Checkpoint:
    manifest = read(file, key)
    check_files(file, manifest, key)
    parts = {}
    for name, part in manifest["parts"].items():
        try:
            parts[name] = _read_part(file.parent / part, key)
        except CCAFLError as error:
            raise DamagedCheckpoint(str(error)) from error
        if parts[name].get("epoch", manifest["epoch"]) != manifest["epoch"]:
            raise DamagedCheckpoint(
                f"{key}: the checkpoint {str(file)!r} is damaged: its part {str(file.parent / part)!r} is of epoch "
                f"{parts[name]['epoch']!r}."
            )
    return Checkpoint(file, manifest, parts)


def _read_part(file: Path, key: str) -> dict[str, Any]:
    part = read_part(file, key)
    if "state_dict" not in part:
        raise CCAFLError(f"{key}: {str(file)!r} is no part of a checkpoint: it has no 'state_dict'.")
    tensors_of(part, file, key, empty=True)
    return part
