"""Features of many images: broken ones are left out, a stopped run goes on, weights are never mixed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from ccafl_plugin.features.image_list import list_images
from ccafl_plugin.features.resumable import extract_images, remove_parts
from ccafl_plugin.utils.errors import CCAFLError
from tests.children import in_child
from tests.data.own_pictures import write
from tests.features.stand_in import Colours

NAMES = [f"{camera}/{person}/{n}.png" for camera in ("hall", "yard") for person in "ab" for n in range(3)]


def test_every_image_has_its_feature(tmp_path: Path) -> None:
    images = list_images(write(tmp_path / "own", *NAMES), "tree")
    model = Colours()
    made = extract_images(model, images, tmp_path / "parts", size=5)
    assert made.features.columns == images.columns and not made.broken and made.kept == 0
    one_by_one = torch.cat([Colours()([path]) for path in images.paths])
    assert torch.equal(made.features.features, one_by_one)
    assert made.features.weights == model.digest
    assert made.features.description == {"model": "colours", "feature": "retrieval", "norm_mean": [0.5, 0.5, 0.5]}
    assert model.read == images.paths  # each once
    remove_parts(tmp_path / "parts")
    assert not (tmp_path / "parts").exists()


def test_broken_images_are_named_and_left_out(tmp_path: Path) -> None:
    root = write(tmp_path / "own", *NAMES)
    for name in (NAMES[0], NAMES[7]):
        (root / name).write_bytes(b"no picture")
    images = list_images(root, "tree")
    made = extract_images(Colours(), images, tmp_path / "parts", size=5)
    assert list(made.broken) == [str(root / NAMES[0]), str(root / NAMES[7])]
    assert all("can't be read as an image" in text for text in made.broken.values())
    left = [path for path in images.paths if path not in made.broken]
    assert made.features.columns["path"] == left
    assert made.features.columns["id"] == [path.split("/")[-2] for path in left]
    assert torch.equal(made.features.features, torch.cat([Colours()([path]) for path in left]))
    again = extract_images(Colours(), images, tmp_path / "parts", size=5)  # what is broken is kept, too
    assert again.kept == 12 and again.broken == made.broken and again.features.columns == made.features.columns
    for name in NAMES:
        (root / name).write_bytes(b"no picture")
    with pytest.raises(CCAFLError, match=r"none of 12 images can be read, e\.g\. "):
        extract_images(Colours(), images, tmp_path / "other", size=5)


def test_a_fault_that_is_no_image_s_is_not_hidden(tmp_path: Path) -> None:
    class Faulty(Colours):
        def _feature(self, path: str) -> torch.Tensor:
            raise CCAFLError("the model is broken")

    with pytest.raises(CCAFLError, match="the model is broken"):
        extract_images(Faulty(), list_images(write(tmp_path / "own", *NAMES)), tmp_path / "parts")


def test_killed_in_the_middle(tmp_path: Path) -> None:
    """A process that dies without a word in its third part: the two before are used, and the result is the same."""
    images = list_images(write(tmp_path / "own", *NAMES))

    class Dies(Colours):
        def _feature(self, path: str) -> torch.Tensor:
            if len(self.read) == 9:
                __import__("os")._exit(0)
            return super()._feature(path)

    in_child(lambda: print(extract_images(Dies(), images, tmp_path / "parts", size=4)))
    model = Colours()
    made = extract_images(model, images, tmp_path / "parts", size=4)
    assert made.kept == 8 and model.read == images.paths[8:]
    whole = extract_images(Colours(), images, tmp_path / "whole", size=4)
    assert torch.equal(made.features.features, whole.features.features) and whole.kept == 0


def test_changed_files_and_damaged_parts_are_made_again(tmp_path: Path) -> None:
    root = write(tmp_path / "own", *NAMES)
    images = list_images(root)
    extract_images(Colours(), images, tmp_path / "parts", size=4)
    write(root, NAMES[0], first=77)
    part = sorted((tmp_path / "parts").glob("*.safetensors"))
    assert len(part) == 3
    made = extract_images(Colours(), images, tmp_path / "parts", size=4)
    assert made.kept == 8
    assert torch.equal(made.features.features[:1], Colours()([images.paths[0]]))
    for file in (tmp_path / "parts").glob("*.safetensors"):
        file.write_bytes(file.read_bytes()[:-3])
    assert extract_images(Colours(), images, tmp_path / "parts", size=4).kept == 0


def test_weights_are_not_mixed(tmp_path: Path) -> None:
    images, parts = list_images(write(tmp_path / "own", *NAMES)), tmp_path / "parts"
    extract_images(Colours(), images, parts)
    with pytest.raises(CCAFLError, match=r"parts holds features of other weights \(5e5e5e5e5e5e, retrieval\) than"):
        extract_images(Colours("77" * 32), images, parts)
    with pytest.raises(CCAFLError, match=r"than these \(5e5e5e5e5e5e, embedding\); remove it, or name another --out"):
        extract_images(Colours(feature="embedding"), images, parts)
    (parts / "weights.json").write_text("{")
    with pytest.raises(CCAFLError, match="is damaged; remove"):
        extract_images(Colours(), images, parts)
    shutil.rmtree(parts)
    parts.write_text(json.dumps({}))
    with pytest.raises(CCAFLError, match="can't be written: "):
        extract_images(Colours(), images, parts)
