"""``ccafl-checkpoints``: lists and checks the checkpoints of a run's folder, and removes those of earlier runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ccafl_plugin.engine.earlier_runs import described, earlier_runs, remove_earlier_run
from ccafl_plugin.engine.manifests import CONTENTS, DamagedCheckpoint, check_files, epoch_of, manifests, read
from ccafl_plugin.utils.commands import print_error
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.folder_lock import locked
from ccafl_plugin.utils.provenance import version_line

KEY = "FOLDER"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        argv: arguments; None: those of the process.

    Returns:
        0; 1 if a checkpoint is damaged, or something could not be removed; 2 for a folder without any.
    """
    given = parser().parse_args(argv)
    folder = Path(given.folder)
    try:
        found, earlier = manifests(folder), earlier_runs(folder)
        if not (found or earlier):
            raise CCAFLError(f"{KEY}: there is no checkpoint in {str(folder)!r}.")
        if given.remove_earlier:
            with locked(folder):
                return _remove(earlier)
    except (CCAFLError, OSError) as error:
        print_error(error)
        return 2
    states = [_state(manifest) for manifest in found]
    for manifest, state in zip(found, states, strict=True):
        print(f"{manifest.name}: after epoch {epoch_of(manifest)}, {state or 'whole'}")
    for each in earlier:
        print(f"{described(each)}, of an earlier run")
    print("Nothing was written or removed.")
    return int(any(state not in ("", NOT_COMPARED) for state in states))


NOT_COMPARED = "all files are there; version 0.1.0 stored no digests"


def _state(manifest: Path) -> str:
    """What is wrong with a checkpoint; empty if it is whole."""
    try:
        content = read(manifest, KEY)
        check_files(manifest, content, KEY)
    except DamagedCheckpoint as error:
        return f"DAMAGED: {str(error).removeprefix(f'{KEY}: ')}"
    except CCAFLError as error:
        return f"NOT OURS: {str(error).removeprefix(f'{KEY}: ')}"
    return "" if content.get(CONTENTS) else NOT_COMPARED


def _remove(folders: Sequence[Path]) -> int:
    code = 0
    for folder in folders:
        try:
            freed = remove_earlier_run(folder)
        except (CCAFLError, OSError) as error:
            print_error(error)
            code = 1
        else:
            print(f"Removed {folder}, {freed / 2**20:.1f} MB")
    if not folders:
        print("Nothing to remove: there is no folder earlier-N.")
    return code


def parser() -> argparse.ArgumentParser:
    """The arguments of the command."""
    made = argparse.ArgumentParser(
        prog="ccafl-checkpoints",
        description="List the checkpoints in a run's folder and compare them with their digests.",
    )
    made.add_argument("--version", action="version", version=version_line())
    made.add_argument("folder", metavar=KEY, help="folder of a run (data.save_dir)")
    made.add_argument("--remove-earlier", action="store_true", help="remove the folders earlier-N of earlier runs")
    return made


if __name__ == "__main__":
    sys.exit(main())
