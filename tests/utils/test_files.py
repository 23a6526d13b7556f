"""What a command has written."""

from __future__ import annotations

import os
from pathlib import Path

from ccafl_plugin.utils.files import FolderWatch, written_line


def test_new_and_changed_files_are_written(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert FolderWatch(folder).written() == []
    (folder / "old").mkdir(parents=True)
    for name in ("kept", "changed", "old/kept", "old/gone"):
        (folder / name).write_text("")
        os.utime(folder / name, (1, 1))
    watch = FolderWatch(folder)
    (folder / "changed").write_text("x")
    (folder / "new" / "deep").mkdir(parents=True)
    (folder / "new" / "deep" / "file").write_text("")
    (folder / "old" / "gone").unlink()
    (folder / "empty").mkdir()
    assert watch.written() == ["changed", "new/"]
    assert written_line(folder, watch.written()) == f"Written to {folder}: changed, new/"
    assert written_line(folder, []) == f"Written to {folder}: nothing"
