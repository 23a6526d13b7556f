"""Every way in which a file of weights is read, with files that must not be: one line each, and nothing runs."""

from __future__ import annotations

import encodings.cp437  # noqa: F401  names in zip archives
import os
import re
import socket
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchreid
from safetensors.torch import save_file
from torch import nn

from ccafl_plugin.models.checkpoint_file import read_file, read_part
from ccafl_plugin.models.pretrained import read_weights
from ccafl_plugin.models.trained_weights import load_weights
from ccafl_plugin.utils.errors import CCAFLError
from tests.hostile.file_contents import RAN, good, nested, old_tar, saved, stream, with_pickle
from tests.hostile.watching import watched
from tests.hostile.weight_files import ALL

ROUTES: dict[str, tuple[str, Callable[[str], Any]]] = {
    "model.load_weights": ("model.load_weights", lambda path: load_weights(nn.Linear(4, 3), path)),
    "ccafl.clip_weights": ("ccafl.clip_weights", lambda path: read_weights(Path(path))),
    "torchreid's load_pretrained_weights": (
        "load_pretrained_weights",
        lambda path: torchreid.utils.load_pretrained_weights(nn.Linear(4, 3), path),
    ),
    "torchreid's resume_from_checkpoint": (
        "model.resume",
        lambda path: torchreid.utils.resume_from_checkpoint(path, nn.Linear(4, 3)),
    ),
}


@pytest.fixture(scope="module", autouse=True)
def warm(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is imported on first use is no event of a hostile file's."""
    folder = tmp_path_factory.mktemp("warm")
    save_file({"weight": torch.zeros(3, 4), "bias": torch.zeros(3)}, folder / "a.safetensors")
    (folder / "a.tar").write_bytes(old_tar())
    (folder / "a.stream").write_bytes(stream(good()))
    (folder / "a.pth").write_bytes(saved(good()))
    for file in folder.iterdir():
        for _, route in list(ROUTES.values())[:3]:
            route(str(file))
    assert len(list(folder.iterdir())) == 4


def refused(path: Path | str, expected: str) -> list[str]:
    """The messages of all routes; each is one line that names key and file, without a word of torch's."""
    messages = []
    for key, route in ROUTES.values():
        with watched() as events, pytest.raises(CCAFLError) as error:
            route(str(path))
        message = str(error.value)
        assert events == [], events
        assert not Path(RAN).exists()
        assert re.match(rf"{re.escape(key)}: ", message), message
        assert re.search(expected, message), message
        assert "\n" not in message and "weights_only" not in message and len(message) < 500, message
        messages.append(message)
    return messages


@pytest.mark.parametrize("name", ALL)
def test_a_hostile_file_is_one_line_and_runs_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: Counter[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make, expected = ALL[name]
    file = tmp_path / "weights.pth"
    file.write_bytes(make())
    for message in refused(file, expected):
        assert str(file) in message
    count[f"files of weights refused in one line by {len(ROUTES)} readers ({name.partition(':')[0]})"] += 1


def test_the_files_are_as_bad_as_they_are_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's own loader without its protection runs the code: the test would see a reader that does."""
    monkeypatch.chdir(tmp_path)
    for name in ("in torch.save's archive", "in torch.save's old stream", "in the oldest layout"):
        (tmp_path / "weights.pth").write_bytes(ALL[f"code: {name}"][0]())
        torch.load(tmp_path / "weights.pth", weights_only=False)
        assert Path(RAN).exists(), name
        Path(RAN).unlink()


def test_deep_nesting_is_refused_or_read(tmp_path: Path) -> None:
    (tmp_path / "deep.pth").write_bytes(with_pickle(nested(200_000)))
    refused(tmp_path / "deep.pth", "it (holds|is) a list|damaged|nested")


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    socket.socket(socket.AF_UNIX).bind(str(path))


SPECIAL: dict[str, tuple[Callable[[Path], object], str]] = {
    "a folder": (Path.mkdir, "it is a folder, not a file"),
    "a pipe": (make_pipe, "it is a pipe, not a file"),
    "a socket": (make_socket, "it is a socket, not a file"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "it is a device, not a file"),
    "a link to nothing": (lambda path: path.symlink_to("nowhere"), "it does not exist|there is no file"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "symbolic links|there is no file"),
    "nothing": (lambda path: None, "it does not exist|there is no file"),
}


@pytest.mark.parametrize("name", SPECIAL)
def test_what_is_no_file_is_never_opened(name: str, tmp_path: Path, count: Counter[str]) -> None:
    """A pipe would be waited for, a device read for ever."""
    make, expected = SPECIAL[name]
    make(tmp_path / "w")
    refused(tmp_path / "w", expected)
    count["pipes, devices, folders and their kin refused in place of weights"] += 1


def test_a_name_with_a_zero_byte(tmp_path: Path) -> None:
    for _, route in ROUTES.values():
        with pytest.raises(CCAFLError, match=r"zero byte|there is no file"):
            route(f"{tmp_path}/a\0b")


def test_the_four_layouts_are_read_alike(tmp_path: Path) -> None:
    for name, content in (("zip", saved(good())), ("stream", stream(good())), ("tar", old_tar())):
        (tmp_path / name).write_bytes(content)
        read = read_part(tmp_path / name, "key")
        assert list(read) == ["weight", "bias"]
        assert torch.equal(read["weight"], good()["weight"])
    oldest = torch.load(tmp_path / "tar", weights_only=False)
    assert all(torch.equal(oldest[key], value) for key, value in read.items())
    save_file(good(), tmp_path / "safetensors")
    assert torch.equal(read_file(tmp_path / "safetensors", "key").value["weight"], good()["weight"])
