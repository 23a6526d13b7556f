"""The manifest of a checkpoint: which files belong to it, their sizes and digests, and facts about the run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ccafl_plugin.utils.digests import FileFacts, digest_of_text, facts_of_file
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.files import write_text_whole

MANIFEST = "checkpoint-{}.json"
CONTENTS = "contents"
"""Key of the sizes and digests of the parts' files; a manifest of version 0.1.0 has none."""
OWN_DIGEST = "sha256"
"""Key of the digest of the manifest's other entries."""


class DamagedCheckpoint(CCAFLError):
    """A checkpoint is not what was written; the one before it can be used."""


def write(manifest: Path, content: Mapping[str, Any]) -> None:
    """Writes a manifest atomically, with a digest of itself."""
    whole = {**content, OWN_DIGEST: _own_digest(content)}
    write_text_whole(manifest, json.dumps(whole, indent=2) + "\n")


def read(manifest: Path, key: str) -> dict[str, Any]:
    """Reads a manifest.

    Args:
        manifest: its file.
        key: the setting that errors name.

    Returns:
        Its entries; ``epoch`` (int) and ``parts`` (part -> file, relative to its folder) are always there.

    Raises:
        DamagedCheckpoint: it cannot be read, was changed, or is another epoch's.
        CCAFLError: it names a file of another place, see :func:`check_place`.
    """
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
        files = dict(content["parts"])
        epoch = int(content["epoch"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        reason = " ".join(str(error).split())[:80]
        empty = manifest.is_file() and not manifest.stat().st_size
        reason = "it is empty" if empty else reason
        raise DamagedCheckpoint(f"{key}: {str(manifest)!r} is not the manifest of a checkpoint ({reason}).") from error
    for part, file in files.items():
        check_place(manifest, part, file, key)
    number = manifest.stem.rpartition("-")[2]
    if number.isdecimal() and int(number) != epoch:
        raise DamagedCheckpoint(f"{key}: {str(manifest)!r} is the manifest of epoch {epoch}, not of {number}.")
    own = content.pop(OWN_DIGEST, None)
    if own != (_own_digest(content) if own is not None or CONTENTS in content else None):
        raise DamagedCheckpoint(f"{key}: {str(manifest)!r} is damaged: its content does not agree with its digest.")
    return {**content, "epoch": epoch, "parts": files}


def check_files(manifest: Path, content: Mapping[str, Any], key: str) -> None:
    """Compares the files of a checkpoint with the sizes and digests in its manifest.

    Args:
        manifest: its file.
        content: its entries, see :func:`read`.
        key: the setting that errors name.

    Raises:
        DamagedCheckpoint: a file is missing, empty, shorter or longer, or has other content.
    """
    contents = content.get(CONTENTS) or {}
    for part, file in content["parts"].items():
        path = manifest.parent / file
        if not path.is_file():
            raise DamagedCheckpoint(f"{key}: the part {part!r} of the checkpoint is missing: {str(path)!r}.")
        expected = FileFacts.of(contents.get(part))
        if expected is None:
            continue
        size = path.stat().st_size
        if size != expected.bytes:
            found = "is empty" if not size else f"has {size:,} bytes, not {expected.bytes:,}"
        elif facts_of_file(path) != expected:
            found = "has other content than was written"
        else:
            continue
        raise DamagedCheckpoint(f"{key}: the checkpoint {str(manifest)!r} is damaged: its part {str(path)!r} {found}.")


def manifests(save_dir: str | Path) -> list[Path]:
    """The manifests in a folder, oldest epoch first."""
    found = Path(save_dir).glob(MANIFEST.format("*"))
    return sorted((path for path in found if path.stem.removeprefix("checkpoint-").isdecimal()), key=epoch_of)


def epoch_of(manifest: Path) -> int:
    """The number of finished epochs in a manifest's name."""
    return int(manifest.stem.rpartition("-")[2])


def files_of(manifest: Path, key: str = "data.save_dir") -> dict[str, str]:
    """The parts' files, relative to the run's folder; empty if this package did not write the manifest.

    Raises:
        CCAFLError: it names a file of another place, see :func:`check_place`.
    """
    try:
        parts = dict(json.loads(manifest.read_text(encoding="utf-8"))["parts"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    for part, file in parts.items():
        check_place(manifest, part, file, key)
    return parts


def check_place(manifest: Path, part: Any, file: Any, key: str) -> None:
    """Refuses a file that is not where a part belongs: ``PART/model.pth.tar-EPOCH`` in the run's folder.

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


def _own_digest(content: Mapping[str, Any]) -> str:
    return digest_of_text(json.dumps(content, sort_keys=True))
