"""Lists the configurations that come with the package, with a line about each."""

from __future__ import annotations

from pathlib import Path

from ccafl_plugin.config.shipped_files import configs_folder

NOT_TO_BE_RUN = ("base", "suites")
"""Folders of base files and of suites, which are not listed."""


def shipped_configurations() -> dict[str, str]:
    """Name for ``--config-file`` -> the first comment of the file, which describes it."""
    folder = configs_folder()
    files = sorted(folder.rglob("*.yaml"), key=lambda file: (len(file.relative_to(folder).parts), file))
    return {
        (Path("configs") / file.relative_to(folder)).as_posix(): _first_comment(file)
        for file in files
        if file.relative_to(folder).parts[0] not in NOT_TO_BE_RUN
    }


def list_configurations() -> str:
    """One line per configuration, by folder."""
    found = shipped_configurations()
    width = max((len(Path(name).name) for name in found), default=0)
    lines, folder = [], ""
    for name, comment in found.items():
        here = f"{Path(name).parent.as_posix()}/"
        if here != folder:
            lines.append(here)
            folder = here
        lines.append(f"  {Path(name).name:{width}}  {comment}")
    return "\n".join(lines) + "\n"


def _first_comment(file: Path) -> str:
    first = file.read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""
