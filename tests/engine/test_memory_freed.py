"""What a run no longer needs leaves the device: memories of terms, and the text encoder after stage 1."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
import torch

from ccafl_plugin.losses import ClusterMemory, HybridMemory
from ccafl_plugin.models.prompts import TextEncoder
from ccafl_plugin.terms import TERMS, Term
from tests.engine.small_runs import assert_equal, make_engine, make_terms, weights

WINDOWS = {"icdl": (0, 0), "inter": (1, 1), "proxy_classifier": (0, -1)}


def memories() -> list[type]:
    """The kinds of all memories that exist."""
    gc.collect()
    return [type(each) for each in gc.get_objects() if type(each) in (HybridMemory, ClusterMemory)]


def test_a_memory_exists_in_the_epochs_of_its_term(pictures: Path, tmp_path: Path) -> None:
    others = memories()
    engine = make_engine(pictures, terms=make_terms(WINDOWS, icdl={"weight_alignment": 0.0}))
    assert memories() == others
    found = []
    make_batch = engine.make_batch
    engine.make_batch = lambda data: found.append(memories()[len(others) :]) or make_batch(data)
    engine.run(save_dir=str(tmp_path / "whole"), max_epoch=3)
    assert found == [[HybridMemory]] * 2 + [[ClusterMemory]] * 2 + [[]] * 2

    resumed = make_engine(pictures, terms=make_terms(WINDOWS, icdl={"weight_alignment": 0.0}))
    start = resumed.resume(str(tmp_path / "whole" / "checkpoint-2.json"))
    resumed.run(save_dir=str(tmp_path / "resumed"), max_epoch=3, start_epoch=start)
    assert_equal(weights(resumed), weights(engine))
    assert memories() == others


def test_a_term_that_releases_nothing_may_stay_as_it_is() -> None:
    assert Term().release() is None
    assert {name for name, term in TERMS.items() if term.release is not Term.release} >= {"icdl", "inter", "alignment"}


def test_the_text_encoder_is_on_the_device_in_stage_1(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it does not go there in a resumed run, whose checkpoint has the text features."""
    moves: list[object] = []
    move = TextEncoder.to
    monkeypatch.setattr(TextEncoder, "to", lambda encoder, device: moves.append(device) or move(encoder, device))
    monkeypatch.setattr("ccafl_plugin.engine.text_side.learn_prompts", lambda *_: moves.append("learn"))
    terms = {"inter": (0, -1), "alignment": (0, -1)}
    engine = make_engine(pictures, terms=make_terms(terms))
    home = engine.text.encoder.device
    engine.text.device = torch.device("cpu", 0)  # equal, but told apart from where the encoder was
    assert moves == []
    engine.run(save_dir=str(tmp_path), max_epoch=1)
    assert moves == [engine.text.device, "learn", home]
    resumed = make_engine(pictures, terms=make_terms(terms))
    resumed.run(save_dir=str(tmp_path), max_epoch=2, start_epoch=resumed.resume(str(tmp_path)))
    assert len(moves) == 3
