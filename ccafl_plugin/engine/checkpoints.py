"""Checkpoint files: one folder per part in torchreid's format, and a manifest that is written last."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from ccafl_plugin.models.checkpoint_file import read_part
from ccafl_plugin.models.state_dicts import tensors_of
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.files import write_text_whole, write_whole

MANIFEST = "checkpoint-{}.json"
ASIDE = "earlier-{}"


def save(
    save_dir: str | Path,
    parts: dict[str, dict[str, Any]],
    facts: dict[str, Any],
    keep: int,
    keep_epochs: Collection[int] = (),
) -> None:
    """Writes every part to ``save_dir/PART/model.pth.tar-EPOCH``, then the manifest, and then deletes old checkpoints.

    Files are written atomically, so after an interruption the last checkpoint is still usable.

    Args:
        save_dir: folder of the run.
        parts: for each part a dict in torchreid's format (``state_dict``, ``epoch``, ``rank1``, ``optimizer``, ...),
            all of one epoch; ``epoch`` is the number of finished epochs.
        facts: other entries of the manifest.
        keep: number of the newest checkpoints that are kept.
        keep_epochs: numbers of finished epochs whose checkpoints are always kept.
    """
    save_dir = Path(save_dir)
    epoch = next(iter(parts.values()))["epoch"]
    files = {}
    for name, state in parts.items():
        file = save_dir / name / f"model.pth.tar-{epoch}"
        write_whole(file, functools.partial(torch.save, state))
        files[name] = file.relative_to(save_dir).as_posix()
    manifest = save_dir / MANIFEST.format(epoch)
    is_new = not manifest.exists()  # after the last test it is written again, with the scores
    write_text_whole(manifest, json.dumps({"epoch": epoch, "parts": files, **facts}, indent=2) + "\n")
    if is_new:
        print(f'Checkpoint saved to "{manifest}" ({", ".join(files)})')
    for old in manifests(save_dir)[:-keep]:
        if epoch_of(old) in keep_epochs:
            continue
        for name in _files_of(old).values():
            (save_dir / name).unlink(missing_ok=True)
        old.unlink()


def set_aside(save_dir: str | Path, behind: int = -1) -> Path | None:
    """Moves old checkpoints out of the folder of a run that starts now, so that it cannot resume from them.

    Args:
        save_dir: folder of the run.
        behind: checkpoints of epochs after this one are moved; -1 moves all.

    Returns:
        The new folder of the checkpoints; None if there were none.
    """
    save_dir = Path(save_dir)
    found = [manifest for manifest in manifests(save_dir) if epoch_of(manifest) > behind]
    if not found:
        return None
    files = {manifest: _files_of(manifest) for manifest in found}  # all are checked before any is moved
    number = 1
    while (aside := save_dir / ASIDE.format(number)).exists():
        number += 1
    for manifest in found:
        for file in (manifest.name, *files[manifest].values()):  # the manifest first: without it there is no checkpoint
            if (save_dir / file).is_file():
                (aside / file).parent.mkdir(parents=True, exist_ok=True)
                os.replace(save_dir / file, aside / file)
    return aside


def manifests(save_dir: str | Path) -> list[Path]:
    """The manifests in a folder, oldest epoch first."""
    found = Path(save_dir).glob(MANIFEST.format("*"))
    return sorted((path for path in found if path.stem.removeprefix("checkpoint-").isdecimal()), key=epoch_of)


def _files_of(manifest: Path, key: str = "data.save_dir") -> dict[str, str]:
    """The parts' files, relative to the run's folder; empty if :func:`save` did not write the manifest.

    Raises:
        CCAFLError: it names a file of another place, see :func:`_check_place`.
    """
    try:
        parts = dict(json.loads(manifest.read_text(encoding="utf-8"))["parts"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    for part, file in parts.items():
        _check_place(manifest, part, file, key)
    return parts


def _check_place(manifest: Path, part: Any, file: Any, key: str) -> None:
    """Refuses a file that is not where :func:`save` puts a part: ``PART/model.pth.tar-EPOCH`` in the run's folder.

    A manifest may come from anywhere, and what it names is opened, moved and deleted.

    Raises:
        CCAFLError: the file is called otherwise, or a link takes it out of the folder.
    """
    folder = manifest.parent
    epoch = manifest.stem.rpartition("-")[2]  # a user may have given the manifest another name
    beginning = f"{part}/model.pth.tar"
    named = isinstance(part, str) and part not in ("", ".", "..") and not set(part) & set("/\\\0")
    own = isinstance(file, str) and file.rpartition("-")[0] == beginning
    own = own and (not epoch.isdecimal() or file == f"{beginning}-{epoch}")
    if not (named and own and (folder / file).resolve().is_relative_to(folder.resolve())):
        raise CCAFLError(
            f"{key}: the manifest {str(manifest)!r} names {file!r} as its part {part!r}, which is no file of a "
            "checkpoint in its folder; nothing was opened, moved or deleted. Remove the manifest if you don't trust it."
        )


def epoch_of(manifest: Path) -> int:
    """The number of finished epochs in a manifest's name."""
    return int(manifest.stem.rpartition("-")[2])


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
    """Reads a checkpoint.

    Args:
        path: see :func:`find_manifest`.
        key: the configuration key that errors name.

    Returns:
        The manifest and the state of every part, on the CPU or on the device it was saved from.

    Raises:
        CCAFLError: the manifest could not be read, or a part's file is missing or damaged.
    """
    manifest_path = find_manifest(path, key)
    try:
        manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
        files = dict(manifest["parts"])
        manifest["epoch"] = int(manifest["epoch"])
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        reason = " ".join(str(error).split())[:80]
        raise CCAFLError(f"{key}: {str(manifest_path)!r} is not the manifest of a checkpoint ({reason}).") from error
    for name, file in files.items():
        _check_place(manifest_path, name, file, key)
        part = manifest_path.parent / file
        if not part.is_file():
            raise CCAFLError(f"{key}: the part {name!r} of the checkpoint is missing: {str(part)!r}.")
    return manifest, {name: _read_part(manifest_path.parent / file, key) for name, file in files.items()}


def _read_part(file: Path, key: str) -> dict[str, Any]:
    part = read_part(file, key)
    if "state_dict" not in part:
        raise CCAFLError(f"{key}: {str(file)!r} is no part of a checkpoint: it has no 'state_dict'.")
    tensors_of(part, file, key, empty=True)
    return part
