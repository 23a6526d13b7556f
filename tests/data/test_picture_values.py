"""More than 8 bits by their range, against the values that were written; pictures turned as their EXIF data say."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ccafl_plugin.data.image_reading import read_image
from ccafl_plugin.data.picture_values import FLOAT_RANGES, INTEGER_RANGES, SIXTEEN_BITS
from ccafl_plugin.utils.errors import CCAFLError


def png_of_16_bits(rows: np.ndarray, colours: int = 0) -> bytes:
    """A PNG written by its specification: (H, W) or (H, W, 3) uint16."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    height, width = rows.shape[:2]
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in rows)
    head = struct.pack(">IIBBBBB", width, height, 16, colours, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def read(content: bytes, folder: Path) -> np.ndarray:
    """(H, W, 3) uint8."""
    file = folder / "a.jpg"
    file.unlink(missing_ok=True)
    file.write_bytes(content)
    image = read_image(file)
    assert image.mode == "RGB"
    return np.asarray(image)


def written(image: Image.Image, form: str, **settings: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **settings)
    return buffer.getvalue()


def test_a_ramp_of_16_bits(tmp_path: Path) -> None:
    """Pillow's own conversion makes 99.6 % of it white."""
    ramp = np.arange(2**16, dtype=np.uint16).reshape(256, 256)
    found = read(png_of_16_bits(ramp), tmp_path)
    expected = [round(value * 255 / SIXTEEN_BITS) for value in range(2**16)]
    assert (found == np.array(expected, np.uint8).reshape(256, 256, 1)).all()
    assert (found == 255).mean() < 0.005


def test_colours_of_16_bits(tmp_path: Path) -> None:
    ramp = np.stack([np.arange(2**16, dtype=np.uint16).reshape(256, 256)] * 3, axis=2)
    found = read(png_of_16_bits(ramp, colours=2), tmp_path)
    assert np.abs(found.astype(int) - (ramp // 257)).max() <= 1


@given(low=st.floats(0, 1), high=st.floats(0, 1), white=st.sampled_from(FLOAT_RANGES))
def test_floats_by_their_range(low: float, high: float, white: int, tmp_path: Path) -> None:
    """The smallest range that holds the largest value, here reached exactly."""
    values = np.array([[low * white, high * white, white]], np.float32)
    found = read(written(Image.fromarray(values), "TIFF"), tmp_path)
    assert np.abs(found[0, :, 0] - np.array([low, high, 1]) * 255).max() <= 0.51


@pytest.mark.parametrize("white", INTEGER_RANGES)
def test_whole_numbers_of_32_bits_by_their_range(white: int, tmp_path: Path) -> None:
    values = np.array([[0, white // 2, white]], np.int32)
    found = read(written(Image.fromarray(values), "TIFF"), tmp_path)
    assert found[0, :, 0].tolist() in ([0, 127, 255], [0, 128, 255])


def test_a_tiff_of_16_bits_is_not_brightened(tmp_path: Path) -> None:
    """A dark picture stays dark: its type has a range, whatever its largest value is."""
    values = np.full((2, 2), 257, np.uint16)
    assert (read(written(Image.fromarray(values), "TIFF"), tmp_path) == 1).all()


@pytest.mark.parametrize("values", [[-1.0, 0.5], [0.0, float("nan")], [0.0, float("inf")], [0.0, 70_000.0]])
def test_values_of_no_range(values: list[float], tmp_path: Path) -> None:
    content = written(Image.fromarray(np.array([values], np.float32)), "TIFF")
    with pytest.raises(CCAFLError, match=r"a\.jpg can't be read as an image: its values go from [^\n]*\.$"):
        read(content, tmp_path)


CORNERS = np.zeros((24, 16, 3), np.uint8)
CORNERS[:12, :8] = (250, 0, 0)
CORNERS[:12, 8:] = (0, 250, 0)
CORNERS[12:, :8] = (0, 0, 250)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_as_their_exif_data_say(orientation: int, form: str, tmp_path: Path) -> None:
    """Each is stored as a camera that was held so would store it, and comes out upright."""
    stored = {
        1: CORNERS,
        2: CORNERS[:, ::-1],
        3: CORNERS[::-1, ::-1],
        4: CORNERS[::-1],
        5: CORNERS.transpose(1, 0, 2),
        6: np.rot90(CORNERS, 1),
        7: CORNERS[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(CORNERS, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    lossless = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}.get(form, {})
    content = written(Image.fromarray(np.ascontiguousarray(stored)), form, exif=exif.tobytes(), **lossless)
    found = read(content, tmp_path)
    assert found.shape == CORNERS.shape
    assert np.abs(found.astype(int) - CORNERS).max() < 30


def test_damaged_exif_data_leave_the_picture_as_it_is(tmp_path: Path) -> None:
    for damaged in (b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"):
        content = written(Image.fromarray(CORNERS), "PNG", exif=damaged)
        assert (read(content, tmp_path) == CORNERS).all()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_other_modes_are_read_as_before(mode: str, tmp_path: Path) -> None:
    picture = Image.fromarray(CORNERS).convert(mode)
    form = "TIFF" if mode in ("CMYK", "YCbCr") else "PNG"
    content = written(picture, form)
    with Image.open(io.BytesIO(content)) as plain:
        assert (read(content, tmp_path) == np.asarray(plain.convert("RGB"))).all()
