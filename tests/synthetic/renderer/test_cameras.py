"""Benchmarks with more cameras than six."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import Counter

import numpy as np
import pytest

from ccafl_plugin.config import load_config
from ccafl_plugin.data.datasets import read_market_folder
from ccafl_plugin.synthetic.pretraining.training_cameras import draw_cameras
from ccafl_plugin.synthetic.render_command import main
from ccafl_plugin.synthetic.renderer import SIZES, Size, folder_of, generate
from ccafl_plugin.synthetic.renderer.camera import CAMERAS
from ccafl_plugin.synthetic.renderer.cameras import FEWEST, MOST, camera_of
from ccafl_plugin.synthetic.renderer.contact_sheet import contact_sheet
from ccafl_plugin.synthetic.renderer.frame import render
from ccafl_plugin.synthetic.renderer.picture_plan import TRAIN, plan_benchmark
from ccafl_plugin.synthetic.renderer.scene import draw_scene
from ccafl_plugin.utils.errors import CCAFLError

TEN = plan_benchmark(SIZES["small"], 1, cameras=10)
FURTHER = "f58411c67ecb16c255f4ddfa97a75ce35854129ef9cdc8772c6f1ad81f0a5f76"
OF_PRETRAINING = "a79d958db08d14f89972aad263cd6aa8b2df3fc93567580cabdd193aa0348d43"


def digest(cameras):
    return hashlib.sha256(repr(cameras).encode()).hexdigest()


def test_the_six_and_drawn_ones():
    assert tuple(camera_of(number) for number in range(6)) == CAMERAS
    cameras = [camera_of(number) for number in range(MOST)]
    assert len(set(cameras)) == MOST
    assert len({(camera.scene, camera.place) for camera in cameras}) == MOST
    assert all(24 <= camera.crowd <= 74 for camera in cameras)


def test_the_same_cameras_on_every_machine():
    """A change of these is a change of what is rendered, and of what the shipped weights were trained on."""
    assert digest([camera_of(number) for number in range(6, 12)]) == FURTHER
    assert digest(draw_cameras(40, seed=1)) == OF_PRETRAINING


def test_cameras_of_one_kind_have_backgrounds_of_their_own():
    numbers = [number for number in range(MOST) if camera_of(number).scene == "park"][:3]
    scenes = [draw_scene("park", 1, camera_of(number).place) for number in numbers]
    for one, other in itertools.combinations(scenes, 2):
        assert not np.array_equal(one, other)


def test_who_is_seen_where():
    usual = plan_benchmark(SIZES["small"], 1)
    assert usual == plan_benchmark(SIZES["small"], 1, cameras=6)
    assert TEN.persons == usual.persons
    seen = {(picture.name[:4], picture.frame.camera) for picture in TEN.pictures if picture.folder == TRAIN}
    assert {camera for _, camera in seen} == set(range(10))
    assert set(Counter(Counter(pid for pid, _ in seen).values())) == {1, 2, 3, 4, 5}
    assert all(f"_c{picture.frame.camera + 1}s" in picture.name for picture in TEN.pictures)
    drawn = [picture.frame for picture in TEN.pictures if picture.frame.camera == 9][:2]
    assert not np.array_equal(*map(render, drawn))
    assert contact_sheet(TEN, persons=1, per_camera=1).size == (10 * 68, 130)


def test_files(tmp_path):
    size = Size(4, 3, 1)
    folder = generate(tmp_path / "twelve", size, seed=3, workers=1, cameras=12)
    read = read_market_folder(folder / "bounding_box_train")
    expected = {picture.frame.camera for picture in plan_benchmark(size, 3, 12).pictures if picture.folder == TRAIN}
    assert {camera for _, _, camera in read} == expected
    assert max(expected) > 5
    cameras = json.loads((folder / "cameras.json").read_text())
    assert list(cameras) == [str(number) for number in range(1, 13)]
    assert cameras["12"]["scene"] == camera_of(11).scene


def test_folders_tell_them_apart(tmp_path):
    assert folder_of(tmp_path, "tiny", 1) == folder_of(tmp_path, "tiny", 1, 6)
    assert folder_of(tmp_path, "tiny", 1, 6).name == "tiny_seed1_r3"
    assert folder_of(tmp_path, "tiny", 1, 8).name == "tiny_seed1_cameras8_r3"


@pytest.mark.parametrize("count", [FEWEST - 1, MOST + 1])
def test_impossible_numbers(count, tmp_path):
    with pytest.raises(CCAFLError, match=f"6 to 99 cameras, not {count}"):
        folder_of(tmp_path, "tiny", 1, count)
    with pytest.raises(CCAFLError, match=f"not {count}"):
        plan_benchmark(SIZES["tiny"], 1, count)
    with pytest.raises(CCAFLError, match=r"^ccafl\.synthetic\.cameras: .* has 6 to 99 cameras"):
        load_config(None, ["ccafl.synthetic.cameras", str(count)])


def test_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(SIZES, "tiny", Size(2, 1, 0))
    assert main(["--root", str(tmp_path), "--cameras", "8"]) == 0
    assert (folder_of(tmp_path, "tiny", 1, 8) / "query").is_dir()
    capsys.readouterr()
    assert main(["--root", str(tmp_path), "--cameras", "8", "--layout", "market1501"]) == 2
    message = capsys.readouterr().err
    assert "error: --cameras: torchreid's market1501 reads 6 cameras" in message
    assert message.count("\n") == 1
