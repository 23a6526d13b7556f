"""Where the configurations lie that come with the package."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def configs_folder() -> Path:
    """The folder ``configs``: package data in an installed wheel, beside the package in a checkout."""
    installed = PACKAGE / "configs"
    return installed if installed.is_dir() else PACKAGE.parent / "configs"
