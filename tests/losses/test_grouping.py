"""Means of rows that share a label."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ccafl_plugin.losses import group_means, unit_group_means
from ccafl_plugin.utils.errors import CCAFLError
from tests.losses.problems import assert_untouched, labels, unit_rows


@given(rows=st.integers(0, 12), groups=st.integers(1, 4), seed=st.integers(0, 2**31))
def test_equals_loops(rows: int, groups: int, seed: int) -> None:
    names = torch.cat([torch.arange(groups), labels(rows, groups, seed, lowest=-1)]).flip(0)
    features = unit_rows(len(names), 3, seed=seed)
    for k, (mean, unit) in enumerate(
        zip(group_means(features, names, groups), unit_group_means(features, names, groups), strict=True)
    ):
        own = [row for row, name in zip(features, names.tolist(), strict=True) if name == k]
        torch.testing.assert_close(mean, sum(own) / len(own))
        torch.testing.assert_close(unit, mean / mean.norm())


def test_half_precision_is_added_up_in_float32() -> None:
    features = torch.full((5000, 1), 0.1, dtype=torch.float16)
    mean = group_means(features, torch.zeros(5000, dtype=torch.int64), 1)
    assert mean.dtype == torch.float32
    assert mean.item() == pytest.approx(features[0].item(), rel=1e-5)


def test_no_gradient_and_inputs_untouched() -> None:
    features, names = unit_rows(4, 3).requires_grad_(), torch.tensor([0, 1, 1, -1])
    assert not group_means(features, names, 2).requires_grad
    assert_untouched(lambda f, n: group_means(f, n, 2), features.detach(), names)


def test_errors() -> None:
    with pytest.raises(CCAFLError, match="group 1 of 2 has no row"):
        group_means(unit_rows(2, 3), torch.tensor([0, -1]), 2)
    with pytest.raises(CCAFLError, match=r"labels must lie in \[-1, 2\), got 0 to 2"):
        group_means(unit_rows(2, 3), torch.tensor([0, 2]), 2)
    with pytest.raises(CCAFLError, match="group 0 of 1 has no row"):
        group_means(unit_rows(0, 3), torch.zeros(0, dtype=torch.int64), 1)
