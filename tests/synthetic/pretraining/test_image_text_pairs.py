from __future__ import annotations

import torch

from ccafl_plugin.synthetic.pretraining import image_text_pairs as pairs_module
from ccafl_plugin.synthetic.pretraining.image_text_pairs import render_pairs
from ccafl_plugin.synthetic.pretraining.training_cameras import draw_cameras
from ccafl_plugin.synthetic.renderer.camera import CAMERAS
from ccafl_plugin.synthetic.renderer.dice import Dice
from ccafl_plugin.synthetic.renderer.identity import draw_identities

PERSONS = draw_identities(3, Dice(1), set())


def test_pictures_and_owners():
    pairs = render_pairs(PERSONS, CAMERAS, 2, (96, 48), seed=1, purpose="test", workers=1)
    assert pairs.images.shape == (6, 3, 96, 48)
    assert pairs.images.dtype == torch.uint8
    assert pairs.owners.tolist() == [0, 0, 1, 1, 2, 2]
    assert [numbers.tolist() for numbers in pairs.of_each()] == [[0, 1], [2, 3], [4, 5]]
    assert pairs.images.float().std(dim=(1, 2, 3)).min() > 5
    assert torch.unique(pairs.images.flatten(1), dim=0).shape[0] == 6


def test_equal_arguments_give_equal_pictures_in_any_number_of_processes(monkeypatch):
    one = render_pairs(PERSONS, CAMERAS, 2, (48, 24), seed=1, purpose="test", workers=1)
    monkeypatch.setattr(pairs_module, "FEW", 0)
    two = render_pairs(PERSONS, CAMERAS, 2, (48, 24), seed=1, purpose="test", workers=2)
    other = render_pairs(PERSONS, CAMERAS, 2, (48, 24), seed=1, purpose="another", workers=1)
    assert torch.equal(one.images, two.images)
    assert not torch.equal(one.images, other.images)


def test_a_person_may_be_seen_more_often_than_there_are_cameras():
    assert len(render_pairs(PERSONS[:1], CAMERAS[:2], 5, (48, 24), seed=1, purpose="test", workers=1).images) == 5


def test_random_cameras_are_none_of_the_benchmark():
    cameras = draw_cameras(40, seed=1)
    assert cameras == draw_cameras(40, seed=1) != draw_cameras(40, seed=2)
    assert len(set(cameras)) == 40
    assert not set(cameras) & set(CAMERAS)
    assert {camera.scene for camera in cameras} == {camera.scene for camera in CAMERAS}
    assert all(50 <= gain <= 150 for camera in cameras for gain in camera.balance)
