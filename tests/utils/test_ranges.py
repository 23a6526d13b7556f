"""One range per argument's name, checked alike for arguments and keys."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ccafl_plugin.config import default_config
from ccafl_plugin.utils.errors import CCAFLError, WrongArgument, unknown_name
from ccafl_plugin.utils.ranges import POSITIVE, RANGES, SHARE, Range, check_argument, check_arguments
from ccafl_plugin.utils.trees import leaves


def test_bounds() -> None:
    assert [number in SHARE for number in (-0.1, 0, 1, 1.1, math.nan)] == [False, True, True, False, False]
    assert [number in POSITIVE for number in (0, 1e-9, math.inf)] == [False, True, False]
    assert 1 not in Range(0, 1, below=True)
    assert str(Range(0, 3, above=True, below=True)) == "above 0 and below 3"
    assert str(Range()) == "finite"


def test_a_key_and_an_argument_have_the_same_check() -> None:
    with pytest.raises(CCAFLError, match=r"^ccafl\.x\.rate: -1 is out of range, it must be at least 0\.$"):
        check_argument("ccafl.x.rate", -1)
    with pytest.raises(WrongArgument, match=r"^rate: -1 is out of range, it must be at least 0\.$") as caught:
        check_arguments(rate=-1)
    assert str(caught.value.with_keys({"rate": "ccafl.x.rate"})).startswith("ccafl.x.rate: -1")
    with pytest.raises(CCAFLError, match=r"^ranks: 51 is out of range"):
        check_arguments(ranks=[1, 51])
    with pytest.raises(CCAFLError, match=r"^rate: expected a number, found True"):
        check_arguments(rate=True)
    check_arguments(rate=np.float32(0.5), instances=np.int64(3))
    check_argument("ccafl.compile", "anything")  # without a range
    with pytest.raises(KeyError):
        check_arguments(rat=1)


def test_every_range_is_of_a_key() -> None:
    names = {key.rpartition(".")[2] for key, _ in leaves(default_config())}
    of_pretraining = {"steps", "learning_rate"}  # arguments of tools/pretrain_clip.py
    assert set(RANGES) - of_pretraining <= names


def test_every_default_is_in_its_range() -> None:
    for key, default in leaves(default_config()):
        check_argument(key, default)


def test_names_of_arguments_become_keys() -> None:
    error = unknown_name("{precision}", "fp8", ["fp16"])
    assert str(error).startswith("precision: 'fp8' is not available.")
    assert isinstance(error, WrongArgument)
    assert str(error.with_keys({"precision": "ccafl.precision"})).startswith("ccafl.precision: 'fp8'")
    assert not isinstance(unknown_name("model.name", "x", []), WrongArgument)
