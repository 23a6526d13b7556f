"""What earlier runs left in a run's folder: it is moved into ``earlier-N``, listed, and removed on request."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from ccafl_plugin.engine.manifests import epoch_of, files_of, manifests
from ccafl_plugin.models.weights_description import FILE as WEIGHTS
from ccafl_plugin.utils.errors import CCAFLError

ASIDE = "earlier-{}"
RESULTS = "results.json"
OF_A_FINISHED_RUN = (RESULTS, WEIGHTS)
"""Scores and weights of a finished run; they move with its checkpoints."""
_OWN = re.compile(
    r"(results\.json|weights\.safetensors|checkpoint-\d+\.json|[^/]+/model\.pth\.tar-\d+)(\.\d+\.partial)?"
)
_PARTIAL = re.compile(
    r"(results\.json|weights\.safetensors|checkpoint-\d+\.json|model\.pth\.tar-\d+|\w+\.yaml|\w+\.txt)\.\d+\.partial"
)


def set_aside(save_dir: str | Path, behind: int = -1, with_results: bool = True) -> Path | None:
    """Moves old checkpoints and results out of the folder of a run that starts now.

    So it cannot resume from them, and its folder never holds results of another run beside its own checkpoints.

    Args:
        save_dir: folder of the run.
        behind: checkpoints of epochs after this one are moved; -1 moves all.
        with_results: whether ``results.json`` and ``weights.safetensors`` are moved, too.

    Returns:
        The new folder of the checkpoints; None if there was nothing to move.
    """
    save_dir = Path(save_dir)
    found = [manifest for manifest in manifests(save_dir) if epoch_of(manifest) > behind]
    files = {manifest: files_of(manifest) for manifest in found}  # all are checked before any is moved
    # The manifest first: without it there is no checkpoint.
    moved = [file for manifest in found for file in (manifest.name, *files[manifest].values())]
    moved += OF_A_FINISHED_RUN * with_results
    if not (found or any((save_dir / file).is_file() for file in moved)):
        return None
    number = 1
    while (aside := save_dir / ASIDE.format(number)).exists():
        number += 1
    for file in moved:
        if (save_dir / file).is_file():
            (aside / file).parent.mkdir(parents=True, exist_ok=True)
            os.replace(save_dir / file, aside / file)
    return aside


def earlier_runs(save_dir: str | Path) -> list[Path]:
    """The folders ``earlier-N`` in a run's folder, by their number."""
    found = [path for path in Path(save_dir).glob(ASIDE.format("*")) if path.is_dir() and not path.is_symlink()]
    numbered = [(int(path.name.removeprefix("earlier-")), path) for path in found if path.name[8:].isdecimal()]
    return [path for _, path in sorted(numbered)]


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(file.lstat().st_size for file in folder.rglob("*") if not file.is_dir())


def remove_earlier_run(folder: Path) -> int:
    """Removes a folder ``earlier-N``.

    Returns:
        The bytes that it took.

    Raises:
        CCAFLError: there is something in it that :func:`set_aside` did not put there; nothing is removed then.
    """
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if file.is_symlink() or not (file.is_dir() or _OWN.fullmatch(name)):
            raise CCAFLError(f"{folder} was not removed: {name} in it is not of a checkpoint. Move it elsewhere first.")
    freed = size_of(folder)
    shutil.rmtree(folder)
    return freed


def remove_partial_files(save_dir: str | Path) -> list[Path]:
    """Removes what a killed process left half written; only the process that holds the folder's lock may call it.

    Returns:
        The files that were removed.
    """
    places = [path for pattern in ("*.partial", "*/*.partial") for path in Path(save_dir).glob(pattern)]
    found = sorted(path for path in places if _PARTIAL.fullmatch(path.name) and path.is_file())
    for path in found:
        path.unlink()
    return found


def described(folder: Path) -> str:
    """One line about a folder ``earlier-N``: epochs and size."""
    epochs = [epoch_of(manifest) for manifest in manifests(folder)]
    what = f"checkpoints after epochs {', '.join(map(str, epochs))}" if epochs else "results"
    return f"{folder.name}: {what}, {size_of(folder) / 2**20:.1f} MB"
