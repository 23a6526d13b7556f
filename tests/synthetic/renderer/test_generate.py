from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torchreid
from PIL import Image

from ccafl_plugin.metrics.rank import evaluate_rank
from ccafl_plugin.synthetic.render_command import main
from ccafl_plugin.synthetic.renderer import SIZES, Size, ensure, folder_of, generate
from ccafl_plugin.synthetic.renderer.contact_sheet import contact_sheet
from ccafl_plugin.synthetic.renderer.frame import IMAGE_HEIGHT, IMAGE_WIDTH, render
from ccafl_plugin.synthetic.renderer.picture_plan import GALLERY, QUERY, TRAIN, plan_benchmark
from ccafl_plugin.utils.errors import CCAFLError

module = sys.modules[generate.__module__]  # the package's attribute of that name is the function
MINI = Size(4, 3, 1)
PIXELS = "3763e3eb80f88de8277a9e08029f90b78027eb1cde8f3c8f4d746747e7ea36cc"


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def mini(tmp_path_factory):
    return generate(tmp_path_factory.mktemp("mini") / "benchmark", MINI, seed=1, workers=1)


def test_pixels_are_the_same_on_every_machine():
    """One picture of each camera, before compression. A change of the renderer changes this and RENDERER."""
    plan = plan_benchmark(SIZES["tiny"], 1)
    pixels = hashlib.sha256()
    for camera in range(6):
        frames = [picture.frame for picture in plan.pictures if picture.frame.camera == camera]
        for frame in frames[:4]:
            pixels.update(render(frame).tobytes())
    assert (module.RENDERER, pixels.hexdigest()) == (3, PIXELS)


def test_pictures(mini):
    picture = plan_benchmark(MINI, 1).pictures[0]
    pixels = render(picture.frame)
    assert (pixels.shape, pixels.dtype) == ((IMAGE_HEIGHT, IMAGE_WIDTH, 3), np.uint8)
    with Image.open(mini / picture.folder / picture.name) as image:
        assert image.size == (64, 128)
        assert np.abs(np.asarray(image).astype(int) - pixels).mean() < 12


def test_files_are_those_of_the_plan(mini):
    plan = plan_benchmark(MINI, 1)
    expected = {f"{picture.folder}/{picture.name}" for picture in plan.pictures} | {"persons.json"}
    assert {str(path) for path in contents(mini)} == expected
    persons = json.loads((mini / "persons.json").read_text())
    assert {int(pid): entry["caption"] for pid, entry in persons.items()} == {
        pid: person.caption() for pid, (_, person) in plan.persons.items()
    }


def test_torchreids_market1501_reads_it(tmp_path, capsys):
    assert main(["--root", str(tmp_path), "--layout", "market1501", "--identities", "4", "3", "1"]) == 0
    folder = tmp_path / "market1501" / "Market-1501-v15.09.15"
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"Written to {folder}: bounding_box_test/, bounding_box_train/, persons.json, query/"
    dataset = torchreid.data.datasets.init_image_dataset("market1501", root=str(tmp_path), verbose=False)
    folders = [picture.folder for picture in plan_benchmark(MINI, 1).pictures]
    assert dataset.num_train_pids == 4
    assert [len(dataset.train), len(dataset.query), len(dataset.gallery)] == [
        folders.count(name) for name in (TRAIN, QUERY, GALLERY)
    ]


def test_processes_render_the_same_bytes(mini, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FEW", 0)
    other = generate(tmp_path / "again", MINI, seed=1, workers=2)
    assert contents(other) == contents(mini)


def test_another_seed_is_another_benchmark(mini, tmp_path):
    other = generate(tmp_path / "other", MINI, seed=2, workers=1)
    assert not set(contents(other).values()) & set(contents(mini).values())


def test_made_once(tmp_path, monkeypatch):
    monkeypatch.setitem(SIZES, "mini", MINI)
    folder = ensure(tmp_path / "new" / "root", "mini", 3)
    assert folder == folder_of(tmp_path / "new" / "root", "mini", 3)
    monkeypatch.setattr(module, "generate", None)
    assert ensure(tmp_path / "new" / "root", "mini", 3) == folder


def test_an_interruption_leaves_nothing(tmp_path, monkeypatch):
    def stop(pictures, folder, parent=None):
        (folder / TRAIN / "half.jpg").touch()
        raise KeyboardInterrupt

    monkeypatch.setitem(SIZES, "mini", MINI)
    monkeypatch.setattr(module, "_render_all", stop)
    with pytest.raises(KeyboardInterrupt):
        ensure(tmp_path, "mini", 1, workers=1)
    assert [path for path in tmp_path.rglob("*") if path.name != "synthetic_persons"] == []


def test_what_a_killed_run_left_is_removed_later(tmp_path):
    old, new, other = (tmp_path / name for name in (".x.abc.partial", ".x.def.partial", ".y.abc.partial"))
    for folder in (old, new, other):
        folder.mkdir()
    for folder in (old, other):
        os.utime(folder, (0, 0))
    generate(tmp_path / "x", Size(1, 1, 0), workers=1)
    assert (old.exists(), new.exists(), other.exists()) == (False, True, True)


def test_a_process_that_fails(tmp_path, monkeypatch):
    def fail(frame):
        os._exit(3)

    monkeypatch.setattr(module, "FEW", 0)
    monkeypatch.setattr(module, "render", fail)
    with pytest.raises(CCAFLError, match=r"could not write .*: a process that renders pictures has failed"):
        generate(tmp_path / "x", MINI, workers=2)
    assert not list(tmp_path.iterdir())


def test_no_work_for_a_run_that_is_gone(tmp_path):
    assert list(module._render_all(plan_benchmark(MINI, 1).pictures, tmp_path, parent=-1)) == []
    assert not list(tmp_path.iterdir())


def test_two_at_once(mini, tmp_path, monkeypatch):
    """Both begin before either is done; one of them moves its folder first."""
    barrier = threading.Barrier(2)
    monkeypatch.setitem(SIZES, "mini", MINI)
    move = module._move

    def wait_and_move(partial, folder):
        barrier.wait(timeout=60)
        move(partial, folder)

    monkeypatch.setattr(module, "_move", wait_and_move)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: ensure(tmp_path, "mini", 1, workers=1), range(2))
    assert first == second
    assert contents(first) == contents(mini)
    assert [path.name for path in first.parent.iterdir()] == [first.name]


def test_a_folder_that_is_there_is_not_touched(mini):
    with pytest.raises(CCAFLError, match="already exists"):
        generate(mini, MINI)


def test_a_root_that_is_a_file(tmp_path, monkeypatch):
    monkeypatch.setitem(SIZES, "mini", MINI)
    (tmp_path / "root").touch()
    with pytest.raises(CCAFLError, match="could not write"):
        ensure(tmp_path / "root", "mini")


def test_an_unknown_size(tmp_path):
    with pytest.raises(CCAFLError, match=r"synthetic_size: 'smal' is not available\. Did you mean 'small'"):
        ensure(tmp_path, "smal")


def test_no_process_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FEW", 0)
    generate(tmp_path / "x", Size(1, 1, 0), workers=2)
    assert multiprocessing.active_children() == []


# The command


def test_contact_sheet(tmp_path, capsys):
    sheet = contact_sheet(plan_benchmark(Size(6, 2, 0), 1), persons=2, per_camera=2)
    assert sheet.size == (6 * (2 * 66 + 2), 2 * 130)
    assert main(["--sheet", str(tmp_path / "sheet.png"), "--identities", "6", "2"]) == 0
    assert Image.open(tmp_path / "sheet.png").size[0] == sheet.size[0]
    assert capsys.readouterr().out == f"Written to {tmp_path}: sheet.png\n"


def test_impossible_commands_are_one_line(tmp_path, capsys):
    for arguments, fragment in {
        ("--workers", "-2"): "error: --workers: -2 is not a number of processes. Use at least 1.",
        ("--workers", "0"): "error: --workers: 0 is not a number of processes. Use at least 1.",
        ("--sheet", str(tmp_path / "sheet.unknown")): "sheet.unknown': ",
        ("--sheet", str(tmp_path / "nowhere" / "sheet.png")): "sheet.png': ",
    }.items():
        assert main(["--root", str(tmp_path / "root"), *arguments]) == 2
        printed = capsys.readouterr().err
        assert fragment in printed and printed.count("\n") == 1
    assert not (tmp_path / "root").exists()


def test_random_ranking(tmp_path, capsys):
    """Nothing is rendered, and the scores are what random distances give on average."""
    assert main(["--root", str(tmp_path), "--random-ranking"]) == 0
    assert not list(tmp_path.iterdir())
    line = capsys.readouterr().out
    parts = [[picture for picture in plan_benchmark(SIZES["tiny"], 1).pictures if picture.folder == folder]
             for folder in (QUERY, GALLERY)]  # fmt: skip
    assert f"of {len(parts[1])} gallery images for {len(parts[0])} queries" in line
    labels = [*([int(picture.name[:4]) for picture in part] for part in parts),
              *([picture.frame.camera for picture in part] for part in parts)]  # fmt: skip
    rng = np.random.default_rng(1)
    shape = [len(part) for part in parts]
    means = np.mean([evaluate_rank(rng.random(shape), *labels)[1] for _ in range(50)])
    (printed,) = re.findall(r"mAP ([\d.]+)%", line)
    assert float(printed) == pytest.approx(100 * means, abs=0.2)


def test_wrong_arguments(tmp_path, capsys):
    for arguments, message in (
        (["--identities", "3", "3"], "--identities: the dataset synthetic_persons has named sizes"),
        (["--identities", "3"], "--identities: expected two or three numbers"),
        (["--identities", "0", "3", "--layout", "market1501"], "at least one person"),
    ):
        assert main(["--root", str(tmp_path), *arguments]) == 2
        output = capsys.readouterr().err
        assert message in output
        assert output.count("\n") == 1
