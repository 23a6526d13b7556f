from __future__ import annotations

import random

import pytest
import torch
import torchreid
from PIL import Image

import ccafl_plugin  # noqa: F401  takes the place of torchreid's read_image
from ccafl_plugin.data.image_reading import read_image, served, start_worker
from ccafl_plugin.utils.errors import CCAFLError
from tests.layouts import write_market1501, write_noise


def fails(message: str):
    return pytest.raises(CCAFLError, match=message)


def test_reads_any_mode_as_rgb(tmp_path):
    Image.new("L", (4, 6), 30).save(tmp_path / "grey.png")
    image = read_image(str(tmp_path / "grey.png"))
    assert (image.mode, image.size, image.getpixel((0, 0))) == ("RGB", (4, 6), (30, 30, 30))


def test_unreadable_images_are_named(tmp_path):
    good = tmp_path / "good.jpg"
    write_noise(good, random.Random(1))
    data = good.read_bytes()
    Image.open(good).save(tmp_path / "good.png")
    png = (tmp_path / "good.png").read_bytes()
    broken = {
        "text.jpg": b"no picture",
        "empty.jpg": b"",
        "cut_off.jpg": data[: len(data) // 2],
        "header_only.jpg": data[:3],
        "cut_off.png": png[: len(png) // 2],
        "bent.png": png[:40] + bytes(20) + png[60:],
    }
    for name, content in broken.items():
        (tmp_path / name).write_bytes(content)
        with fails(rf"{name} can't be read as an image: .* Replace or remove the file\.") as error:
            read_image(tmp_path / name)
        assert "\n" not in str(error.value)


def test_a_missing_image_and_a_folder(tmp_path):
    with fails("gone.jpg can't be read as an image: it does not exist"):
        read_image(str(tmp_path / "gone.jpg"))
    with fails("can't be read as an image"):
        read_image(str(tmp_path))


def test_torchreids_loader_stops_at_a_broken_image(tmp_path):
    base = write_market1501(tmp_path).base
    victim = sorted((base / "query").glob("*.jpg"))[0]
    victim.write_bytes(b"no picture")
    dataset = torchreid.data.datasets.init_image_dataset("market1501", root=str(tmp_path), mode="query", verbose=False)
    with fails(victim.name):
        for index in range(len(dataset)):
            dataset[index]


def test_workers_that_are_not_forked_stop_at_a_broken_image(tmp_path):
    base = write_market1501(tmp_path).base
    for victim in (base / "query").glob("*.jpg"):
        victim.write_bytes(b"no picture")
    manager = torchreid.data.ImageDataManager(
        root=str(tmp_path), sources="market1501", height=16, width=8, batch_size_train=2, batch_size_test=2, workers=1
    )
    loaders = [manager.train_loader, *manager.test_loader["market1501"].values()]
    assert all(loader.worker_init_fn is start_worker for loader in loaders)
    query = manager.test_loader["market1501"]["query"]
    query.multiprocessing_context, query.timeout = "spawn", 120  # torchreid's own reading would never end
    with pytest.raises(CCAFLError, match="can't be read as an image"):
        next(iter(query))


def test_images_are_served_in_the_place_of_files(tmp_path):
    path = str(tmp_path / "noise.png")
    write_noise(tmp_path / "noise.png", random.Random(1))
    file = read_image(path)
    pixels = torch.arange(3 * 4 * 2, dtype=torch.uint8).view(3, 4, 2)
    with served({path: pixels, "gone.jpg": pixels}):
        for name in (path, "gone.jpg"):
            image = torchreid.utils.read_image(name)
            assert (image.mode, image.size, image.getpixel((1, 0))) == ("RGB", (2, 4), (1, 9, 17))
        image.putpixel((0, 0), (200, 0, 0))
        assert pixels[0, 0, 0] == 0
        with served({}):
            assert read_image(path) == file
        assert read_image(path) != file
    assert read_image(path) == file
    with fails("gone.jpg can't be read"):
        read_image("gone.jpg")
