"""The other files in a run's folder: its log, its configuration, and a report on the system."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torchreid
from yacs.config import CfgNode

from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.files import write_text_whole

CONFIG_FILE = "config.yaml"
"""The whole configuration of the last training in a folder; ``--config-file`` can read it."""
SYSTEM_FILE = "system.txt"
"""torch's report on the system."""
OF_A_TEST = "test_"
"""Prefix of both names for a run that only tests, so that it does not overwrite the files of the training."""


@contextmanager
def log_to_file(config: CfgNode) -> Iterator[None]:
    """Copies what is printed into ``data.save_dir``, as torchreid's main script does.

    Raises:
        CCAFLError: the folder could not be written.
    """
    name = "test.log" if config.test.evaluate else "train.log"
    folder = Path(config.data.save_dir)
    console = sys.stdout
    try:
        folder.mkdir(parents=True, exist_ok=True)
        log = open(folder / (name + time.strftime("-%Y-%m-%d-%H-%M-%S")), "w", encoding="utf-8")  # noqa: SIM115
    except OSError as error:
        raise CCAFLError(f"data.save_dir: could not write {str(folder)!r}: {error.strerror or error}.") from error
    with log as file:
        sys.stdout = _Tee(console, file)
        try:
            yield
        finally:
            sys.stdout = console


class _Tee:
    """Writes to the console and to a file. torchreid's ``Logger`` closes the console with the file."""

    def __init__(self, *streams: Any) -> None:
        self.streams = streams

    def write(self, text: str) -> None:
        for stream in self.streams:
            stream.write(text)

    def flush(self) -> None:
        for stream in self.streams:
            stream.flush()

    def isatty(self) -> bool:
        return False


def config_and_system_files(config: CfgNode) -> tuple[str, str]:
    """Writes the whole configuration and torch's report on the system into the run's folder.

    Returns:
        The names of the two files.
    """
    folder = Path(config.data.save_dir)
    names = [OF_A_TEST * config.test.evaluate + name for name in (CONFIG_FILE, SYSTEM_FILE)]
    texts = [config.dump(), torchreid.utils.collect_env_info().strip() + "\n"]
    for name, text in zip(names, texts, strict=True):
        write_text_whole(folder / name, text)
    return names[0], names[1]
