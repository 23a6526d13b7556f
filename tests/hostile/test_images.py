"""Images by an allow-list of formats, told by the content; what is no file is never opened."""

from __future__ import annotations

import io
import os
import re
import socket
import struct
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from ccafl_plugin.data.image_reading import FORMATS, formats, read_image
from ccafl_plugin.utils.errors import CCAFLError
from tests.hostile.watching import watched


def image(form: str, size: tuple[int, int] = (4, 6)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (10, 200, 30)).save(buffer, form)
    return buffer.getvalue()


EPS = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n"
    b"(code-has-run) (w) file closefile\nshowpage\n%%EOF\n"
)


def png_of(width: int, height: int) -> bytes:
    """A PNG that says to have this size, in 60 bytes."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


NOT_OF_THE_LIST = "its content is none of JPEG, PNG, "
HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "PostScript": (lambda: EPS, NOT_OF_THE_LIST),
    "PostScript of Pillow": (lambda: image("EPS"), NOT_OF_THE_LIST),
    "PostScript behind a DOS header": (
        lambda: b"\xc5\xd0\xd3\xc6" + struct.pack("<6IH", 32, len(EPS), 0, 0, 0, 0, 0xFFFF) + b"\0\0" + EPS,
        NOT_OF_THE_LIST,
    ),
    "PDF": (lambda: image("PDF"), NOT_OF_THE_LIST),
    "an icon": (lambda: image("ICO", (16, 16)), NOT_OF_THE_LIST),
    "SGI": (lambda: image("SGI"), NOT_OF_THE_LIST),
    "PCX": (lambda: image("PCX"), NOT_OF_THE_LIST),
    "JPEG 2000": (lambda: image("JPEG2000"), NOT_OF_THE_LIST),
    "Targa": (lambda: image("TGA"), NOT_OF_THE_LIST),
    "SVG": (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", NOT_OF_THE_LIST),
    "a web page": (lambda: b"<!doctype html><p>gone", NOT_OF_THE_LIST),
    "an empty file": (lambda: b"", NOT_OF_THE_LIST),
    "zeros": (lambda: bytes(1000), NOT_OF_THE_LIST),
    "half a JPEG": (lambda: image("JPEG", (64, 64))[:400], "(?i)truncated"),
    "half a PNG": (lambda: image("PNG", (64, 64))[:60], "(?i)truncated|broken"),
    "a picture of 10 gigapixels": (lambda: png_of(100_000, 100_000), "exceeds limit|decompression bomb"),
    "a picture without pixels": (lambda: png_of(0, 0), "can't be read as an image: "),
}


@pytest.fixture(scope="module", autouse=True)
def warm(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is imported on first use is no event of a hostile file's."""
    folder = tmp_path_factory.mktemp("warm")
    for form in formats():
        (folder / "a").write_bytes(image(form))
        read_image(folder / "a")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_image_is_one_line_and_starts_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: Counter[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make, expected = HOSTILE[name]
    file = tmp_path / "0001_c1s1_000001_00.jpg"
    file.write_bytes(make())
    with watched() as events, pytest.raises(CCAFLError) as error:
        read_image(file)
    message = str(error.value)
    assert [event for event in events if not event.startswith("import")] == []
    assert re.search(
        rf"^{re.escape(str(file))} can't be read as an image: [^\n]+\. Replace or remove the file\.$", message
    )
    assert re.search(expected, message), message
    assert sorted(os.listdir(tmp_path)) == [file.name]
    count["images refused in one line"] += 1


@pytest.mark.parametrize("form", FORMATS)
def test_formats_are_told_by_content(form: str, tmp_path: Path) -> None:
    if form not in formats():
        pytest.skip(f"this Pillow was built without {form}")
    (tmp_path / "a.jpg").write_bytes(image(form))
    read = read_image(tmp_path / "a.jpg")
    assert (read.mode, read.size) == ("RGB", (4, 6))
    assert all(abs(a - b) < 12 for a, b in zip(read.getpixel((1, 1)), (10, 200, 30), strict=True))


SPECIAL: dict[str, tuple[Callable[[Path], object], str]] = {
    "a pipe": (lambda path: os.mkfifo(path), "it is a pipe, not a file"),
    "a folder": (Path.mkdir, "it is a folder, not a file"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "it is a device, not a file"),
    "a socket": (lambda path: socket.socket(socket.AF_UNIX).bind(str(path)), "it is a socket, not a file"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "symbolic links"),
    "nothing": (lambda path: None, "it does not exist"),
}


@pytest.mark.parametrize("name", SPECIAL)
def test_what_is_no_file_is_never_opened(name: str, tmp_path: Path, count: Counter[str]) -> None:
    make, expected = SPECIAL[name]
    make(tmp_path / "a.jpg")
    with pytest.raises(CCAFLError, match=rf"a\.jpg can't be read as an image: [^\n]*{expected}[^\n]*\.$"):
        read_image(tmp_path / "a.jpg")
    count["pipes, devices, folders and their kin refused in place of images"] += 1


def test_a_name_with_a_zero_byte(tmp_path: Path) -> None:
    with pytest.raises(CCAFLError, match="its name holds a zero byte"):
        read_image(f"{tmp_path}/a\0.jpg")
