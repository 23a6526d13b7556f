"""The other files in a run's folder: its log, its configuration, and a report on the system."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torchreid
from yacs.config import CfgNode

from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.files import write_text_whole
from ccafl_plugin.utils.folder_lock import locked

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
        file = folder / (name + time.strftime("-%Y-%m-%d-%H-%M-%S"))
        log = open(file, "w", encoding="utf-8", buffering=1)  # noqa: SIM115  # by line: a kill loses nothing
    except OSError as error:
        raise CCAFLError(f"data.save_dir: could not write {str(folder)!r}: {error.strerror or error}.") from error
    sys.stdout = _Tee(console, log)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        sys.stdout = console
        with contextlib.suppress(OSError):  # a full disk: what could be written is there, and has been reported
            log.close()


@contextmanager
def locked_folder(config: CfgNode) -> Iterator[None]:
    """Holds the lock of ``data.save_dir``; a run that only tests needs none.

    Raises:
        CCAFLError: another run is writing into the folder, or it could not be written.
    """
    folder = config.data.save_dir
    with contextlib.ExitStack() as stack:
        if not config.test.evaluate:
            try:
                stack.enter_context(locked(folder))
            except CCAFLError as error:
                raise CCAFLError(f"data.save_dir: {error}") from error
            except OSError as error:
                raise CCAFLError(f"data.save_dir: could not write {folder!r}: {error.strerror or error}.") from error
        yield


class _Tee:
    """Writes to the console and to a file. torchreid's ``Logger`` closes the console with the file.

    A console that nobody reads any more, as behind ``| head``, does not end the run: the log has everything.
    """

    def __init__(self, console: Any, file: Any) -> None:
        self.streams = [file, console]
        self.console = console

    def write(self, text: str) -> None:
        for stream in list(self.streams):
            self._try(stream, functools.partial(stream.write, text))

    def flush(self) -> None:
        for stream in list(self.streams):
            self._try(stream, stream.flush)

    def isatty(self) -> bool:
        return False

    def _try(self, stream: Any, do: Callable[[], object]) -> None:
        try:
            do()
        except BrokenPipeError:
            if stream is not self.console:
                raise
            self.streams.remove(stream)
            to_nowhere(stream)
            print(f"note: nobody reads the output any more; it goes on in {self.streams[0].name}", file=sys.stderr)


def to_nowhere(stream: Any) -> None:
    """Lets what is still in a closed pipe's buffer vanish, which would be an error at the program's end."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def file_names(config: CfgNode) -> tuple[str, str]:
    """The names of the files that :func:`write_config_and_system` writes."""
    before = OF_A_TEST * config.test.evaluate
    return before + CONFIG_FILE, before + SYSTEM_FILE


def write_config_and_system(config: CfgNode) -> None:
    """Writes the whole configuration and torch's report on the system into the run's folder.

    It is called when it is clear that the run goes on: a run that refuses to be resumed with other settings leaves the
    configuration with which it was trained.
    """
    texts = [config.dump(), torchreid.utils.collect_env_info().strip() + "\n"]
    for name, text in zip(file_names(config), texts, strict=True):
        write_text_whole(Path(config.data.save_dir) / name, text)
