"""Checkpoints in torchreid's layout, one folder per part, and a manifest that is written last."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
import torchreid

from ccafl_plugin.errors import CCAFLError

MANIFEST = "checkpoint-{}.json"


def save(
    save_dir: str | Path,
    parts: dict[str, dict[str, Any]],
    facts: dict[str, Any],
    keep: int,
    keep_epochs: Collection[int] = (),
) -> None:
    """Writes every part to ``save_dir/PART/model.pth.tar-EPOCH``, then the manifest; then drops what is too old.

    A file appears under its name only when it is whole, so an interruption leaves the last checkpoint usable.

    Args:
        save_dir: folder of the run.
        parts: per part a dict in torchreid's layout (``state_dict``, ``epoch``, ``rank1``, ``optimizer``, ...), all
            of one epoch; ``epoch`` counts the finished ones.
        facts: what else the manifest says.
        keep: how many of the newest checkpoints stay.
        keep_epochs: numbers of finished epochs whose checkpoint stays however old it is.
    """
    save_dir = Path(save_dir)
    epoch = next(iter(parts.values()))["epoch"]
    files = {}
    for name, state in parts.items():
        file = save_dir / name / f"model.pth.tar-{epoch}"
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(file.name + ".partial")
        torch.save(state, partial)
        os.replace(partial, file)
        files[name] = str(file.relative_to(save_dir))
    manifest = save_dir / MANIFEST.format(epoch)
    partial = manifest.with_name(manifest.name + ".partial")
    partial.write_text(json.dumps({"epoch": epoch, "parts": files, **facts}, indent=2) + "\n")
    os.replace(partial, manifest)
    print(f'Checkpoint saved to "{manifest}" ({", ".join(files)})')
    for old in manifests(save_dir)[:-keep]:
        if _epoch_of(old) in keep_epochs:
            continue
        for file in json.loads(old.read_text())["parts"].values():
            (save_dir / file).unlink(missing_ok=True)
        old.unlink()


def manifests(save_dir: str | Path) -> list[Path]:
    """The manifests in a folder, oldest epoch first."""
    found = Path(save_dir).glob(MANIFEST.format("*"))
    return sorted(found, key=_epoch_of)


def _epoch_of(manifest: Path) -> int:
    return int(manifest.stem.rpartition("-")[2])


def find_manifest(path: str | Path, key: str = "model.resume") -> Path:
    """The manifest that a user means.

    Args:
        path: a manifest, a run's folder (its newest checkpoint), or a part's file as torchreid writes them
            (``log/model/model.pth.tar-10``).
        key: the setting that errors name.

    Raises:
        CCAFLError: nothing is there, or the file belongs to no whole checkpoint.
    """
    path = Path(path)
    if path.is_dir():
        found = manifests(path)
        if not found:
            raise CCAFLError(f"{key}: no checkpoint in {str(path)!r}; expected {MANIFEST.format('EPOCH')}.")
        return found[-1]
    if not path.is_file():
        raise CCAFLError(f"{key}: no file at {str(path)!r}.")
    if path.suffix == ".json":
        return path
    epoch = path.name.rpartition("-")[2]
    manifest = path.parent.parent / MANIFEST.format(epoch)
    if not manifest.is_file():
        raise CCAFLError(
            f"{key}: {str(path)!r} belongs to no whole checkpoint, {str(manifest)!r} is missing; "
            "name another epoch's file, or use model.load_weights for the weights alone."
        )
    return manifest


def load(path: str | Path, key: str = "model.resume") -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Reads a checkpoint.

    Args:
        path: see :func:`find_manifest`.
        key: the setting that errors name.

    Returns:
        The manifest and the state of every part, on the CPU or where it was saved from.

    Raises:
        CCAFLError: the manifest can't be read or a part's file is missing.
    """
    manifest_path = find_manifest(path, key)
    try:
        manifest = json.loads(manifest_path.read_text())
        files = {name: manifest_path.parent / file for name, file in manifest["parts"].items()}
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise CCAFLError(f"{key}: {str(manifest_path)!r} is no manifest of a checkpoint ({error}).") from error
    for name, file in files.items():
        if not file.is_file():
            raise CCAFLError(f"{key}: the part {name!r} of the checkpoint is missing: {str(file)!r}.")
    return manifest, {name: torchreid.utils.load_checkpoint(str(file)) for name, file in files.items()}
