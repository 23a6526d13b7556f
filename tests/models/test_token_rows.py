"""Files that hold the embeddings of some tokens only."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from ccafl_plugin.models.pretrained import read_weights
from ccafl_plugin.models.token_rows import KEPT_KEY, SIZE_KEY, TABLE_KEY, keep_rows, restore_rows
from ccafl_plugin.utils.errors import CCAFLError

ROWS = torch.tensor([0, 3, 7, 19])


@pytest.fixture
def state():
    return {TABLE_KEY: torch.randn(20, 6), "visual.conv1.weight": torch.randn(2, 2)}


def test_kept_rows_come_back_and_the_others_are_drawn_always_alike(state):
    before = state[TABLE_KEY].clone()
    small = keep_rows(state, ROWS)
    assert small[TABLE_KEY].shape == (4, 6)
    torch.manual_seed(1)
    first = restore_rows(small, "file")
    torch.manual_seed(2)
    second = restore_rows(small, "file")
    assert first.keys() == state.keys()
    assert first[TABLE_KEY].shape == (20, 6)
    assert torch.equal(first[TABLE_KEY], second[TABLE_KEY])
    assert torch.equal(first[TABLE_KEY][ROWS], before[ROWS])
    drawn = first[TABLE_KEY][[row for row in range(20) if row not in ROWS.tolist()]]
    assert 0.01 < drawn.std() < 0.03
    assert torch.equal(state[TABLE_KEY], before)


def test_drawing_leaves_the_global_random_state_alone(state):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    restore_rows(keep_rows(state, ROWS), "file")
    assert torch.equal(torch.rand(1), expected)


def test_other_files_are_left_as_they_are(state):
    assert restore_rows(state, "file") is state


def test_files_are_restored_when_read(state, tmp_path):
    path = tmp_path / "small.safetensors"
    save_file({key: value.half() if value.ndim > 1 else value for key, value in keep_rows(state, ROWS).items()}, path)
    read, said = read_weights(path)
    assert said == ""
    assert read.keys() == state.keys()
    torch.testing.assert_close(read[TABLE_KEY][ROWS], state[TABLE_KEY][ROWS], atol=2e-3, rtol=0)


@pytest.mark.parametrize(
    "damage",
    [
        {KEPT_KEY: torch.tensor([0, 3, 7])},
        {KEPT_KEY: torch.tensor([0, 3, 7, 7])},
        {KEPT_KEY: torch.tensor([0, 3, 7, 20])},
        {KEPT_KEY: torch.tensor([-1, 3, 7, 19])},
        {TABLE_KEY: torch.zeros(4)},
        {TABLE_KEY: None},
        {SIZE_KEY: None},
    ],
)
def test_rows_that_do_not_fit_are_one_line(state, damage):
    small = {key: value for key, value in {**keep_rows(state, ROWS), **damage}.items() if value is not None}
    with pytest.raises(CCAFLError, match=r"ccafl.clip_weights: some/file is damaged") as error:
        restore_rows(small, "some/file")
    assert "\n" not in str(error.value)
