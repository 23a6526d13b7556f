from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccafl_plugin.synthetic.renderer import camera as module
from ccafl_plugin.synthetic.renderer.camera import CAMERAS, enlarge, take_picture
from ccafl_plugin.synthetic.renderer.dice import Dice
from ccafl_plugin.synthetic.renderer.scene import HEIGHT, SCENES, WIDTH, draw_scene, value_noise
from ccafl_plugin.utils.errors import CCAFLError

IDEAL = replace(CAMERAS[0], exposure=100, balance=(100, 100, 100), gamma=8, saturation=100, haze=0, blur=0, noise=0)


def picture(seed=0, height=12, width=8):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def taken(camera, light, brightness=100):
    return take_picture(light, camera, brightness, Dice("picture"))


def test_an_ideal_camera_changes_nothing():
    light = picture()
    assert np.array_equal(taken(IDEAL, light), light)


def test_light_is_not_written_into():
    light = picture()
    before = light.copy()
    taken(CAMERAS[4], light)
    assert np.array_equal(light, before)


@pytest.mark.parametrize("gamma", [4, 6, 8, 10, 12])
def test_gamma_equals_the_power(gamma):
    values = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    curved = taken(replace(IDEAL, gamma=gamma), values)
    expected = 255 * (np.arange(256) / 255) ** (gamma / 8)
    assert np.abs(curved[:, :, 1].ravel() - expected).max() <= 1.01


def test_balance_haze_and_grey():
    light = np.full((4, 4, 3), 100, dtype=np.uint8)
    assert taken(replace(IDEAL, balance=(120, 100, 50)), light)[0, 0].tolist() == [120, 100, 50]
    assert taken(replace(IDEAL, haze=40), light * 0).max() == 40
    assert taken(replace(IDEAL, haze=40), np.full_like(light, 255)).min() == 255
    grey = taken(replace(IDEAL, saturation=0), picture())
    assert (grey[:, :, 0] == grey[:, :, 1]).all()
    assert taken(IDEAL, light, brightness=130)[0, 0].tolist() == [130] * 3


def test_blur_keeps_even_areas_and_mixes_edges():
    light = np.zeros((9, 9, 3), dtype=np.uint8)
    assert (taken(replace(IDEAL, blur=3), light + 77) == 77).all()
    light[4, 4] = 200
    blurred = taken(replace(IDEAL, blur=1), light)
    assert (blurred[4, 4, 0], blurred[4, 5, 0], blurred[5, 5, 0]) == (100, 25, 0)


def test_noise_is_centred_and_bounded():
    light = np.full((64, 64, 3), 128, dtype=np.uint8)
    error = taken(replace(IDEAL, noise=16), light).astype(int) - 128
    assert abs(error.mean()) < 1
    assert 8 < np.abs(error).max() <= 16
    assert np.corrcoef(error[:, :, 0].ravel(), error[:, :, 1].ravel())[0, 1] > 0.5


def test_no_two_cameras_agree():
    light = picture(1, 32, 32)
    pictures = [taken(camera, light).astype(int) for camera in CAMERAS]
    for a, b in itertools.combinations(pictures, 2):
        assert np.abs(a.mean(axis=(0, 1)) - b.mean(axis=(0, 1))).max() > 8
    assert len(CAMERAS) == 6
    assert {camera.scene for camera in CAMERAS} == set(SCENES)


@given(height=st.integers(2, 20), width=st.integers(2, 20), seed=st.integers(0, 999))
def test_enlarge_equals_a_loop(height, width, seed):
    source = picture(seed, height, width)
    target = enlarge(source, 23, 21)
    assert target.shape == (23, 21, 3)
    for row, column in ((0, 0), (22, 20), (11, 10), (5, 17)):
        y = min(max((row + 0.5) * height / 23 - 0.5, 0), height - 1)
        x = min(max((column + 0.5) * width / 21 - 0.5, 0), width - 1)
        top, left = min(int(y), height - 2), min(int(x), width - 2)
        part = source[top : top + 2, left : left + 2].astype(float)
        weights = np.outer([1 - (y - top), y - top], [1 - (x - left), x - left])
        assert np.abs(target[row, column] - (part * weights[:, :, None]).sum(axis=(0, 1))).max() < 4


def test_enlarge_to_the_same_size():
    assert np.array_equal(enlarge(picture(), 12, 8), picture())


@given(base=st.integers(1, 255), degree=st.integers(1, 12))
def test_roots_are_exact(base, degree):
    assert module._root(base**degree, degree) == base
    assert module._root(base**degree - 1, degree) == base - 1


@pytest.mark.parametrize("name", SCENES)
def test_scenes(name):
    scene = draw_scene(name, 1)
    assert (scene.shape, scene.dtype) == ((HEIGHT, WIDTH, 3), np.uint8)
    assert scene is draw_scene(name, 1)
    assert not np.array_equal(scene, draw_scene(name, 2))
    with pytest.raises(ValueError, match="read-only"):
        scene[0] = 0


def test_an_unknown_scene():
    with pytest.raises(CCAFLError, match="Did you mean 'park'"):
        draw_scene("parc", 1)


def test_noise_of_scenes_is_smooth():
    noise = value_noise(40, 50, 16, Dice("noise"))
    assert noise.shape == (40, 50)
    assert 0 <= noise.min() < noise.max() <= 255
    assert np.abs(np.diff(noise, axis=1)).max() <= 17
