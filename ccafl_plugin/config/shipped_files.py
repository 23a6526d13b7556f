"""Paths of the configurations that come with the package."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent


def configs_folder() -> Path:
    """The folder ``configs``: inside the package in an installed wheel, next to the package in a checkout."""
    installed = PACKAGE / "configs"
    return installed if installed.is_dir() else PACKAGE.parent / "configs"


def config_file(name: str) -> Path:
    """The file of a configuration's name: a path from the working folder, or a file in the package's ``configs``."""
    parts = Path(name).parts
    shipped = configs_folder().joinpath(*parts[1:] if parts[:1] == ("configs",) else parts)
    return shipped if not Path(name).exists() and shipped.exists() else Path(name)


def config_name(file: Path) -> str:
    """The name by which :func:`config_file` finds a file from any working folder."""
    file, folder = file.resolve(), configs_folder().resolve()
    return str(file.relative_to(folder) if file.is_relative_to(folder) else file)
