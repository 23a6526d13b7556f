"""The reports on training run on a CPU and say what they measured; a GPU's figures need one."""

from __future__ import annotations

import math

import pytest
import torch

from benchmarks import training
from benchmarks.reports import loading, stage2, stage2_memory
from benchmarks.training import make_data, make_engine, plain_step, timed, windows
from ccafl_plugin.config.shipped_files import configs_folder

SMALL = ("train.batch_size", "8", "sampler.num_instances", "4", "data.height", "64", "data.width", "32")
TINY = "synthetic/ccafl_tiny.yaml"


def test_the_plain_loop_does_the_same_as_the_engine():
    """The first iteration reports the same losses, and the weights end where the engine's do."""
    float32 = ("ccafl.amp", "False", "ccafl.channels_last", "False")
    outcomes = []
    for plain in (False, True):
        engine, config = make_engine(TINY, 12, 3, "cpu", (*SMALL, *float32))
        data = make_data(engine, config)
        engine.active_terms = windows(engine, config.train.max_epoch)[-1]
        if plain:
            optimizer = torch.optim.Adam(engine.optimizer.param_groups, lr=config.train.lr, weight_decay=5e-4)
            report = plain_step(engine, optimizer, data)
        else:
            report = engine.forward_backward(data)
            assert report.pop("loss") > 0
        outcomes.append((report, torch.cat([p.detach().flatten() for p in engine.model.parameters()])))
    (report, weights), (plain_report, plain_weights) = outcomes
    assert report == pytest.approx(plain_report)
    torch.testing.assert_close(weights, plain_weights)


def test_batches_and_windows():
    engine, config = make_engine(TINY, 12, 3, "cpu", SMALL)
    data = make_data(engine, config)
    proxies = engine.labels.proxies_of(data["dsetid"], data["camid"], data["pid"])
    assert proxies.unique(return_counts=True)[1].tolist() == [4, 4]
    assert data["img"].shape == (8, 3, 64, 32)
    names = [{term.name for term in active} for active in windows(engine, config.train.max_epoch)]
    assert names[0] == {"proxy_classifier", "icdl"}
    assert names[-1] == {"proxy_classifier", "inter", "alignment", "ical"}
    assert len(names) == 4


def test_long_steps_are_timed_less_often(monkeypatch):
    """By the last one of the warm-up, not by the first, in which libraries choose their kernels."""
    now, calls = [0.0], []
    monkeypatch.setattr(training.time, "perf_counter", lambda: now[0])

    def step():
        calls.append(1)
        now[0] += 50.0 if len(calls) == 1 else 0.5

    assert timed(step, "cpu", iterations=30, warm_up=2).seconds == 0.5
    assert len(calls) == 2 + 5


def test_a_step_is_timed_after_its_warm_up():
    calls = []
    timing = timed(lambda: calls.append(1), "cpu", iterations=3, warm_up=2)
    assert len(calls) == 5
    assert timing.seconds > 0 and timing.peak_mb is None
    assert training.waits(lambda: calls.append(1), "cpu") is None


def test_steps_and_extraction():
    small = {**stage2.REPORT.sizes["quick"], "cpu": SMALL}
    lines = list(stage2.measure(**small, device="cpu"))
    works = ["step: icdl, 8 images, cpu", "step: alignment, ical, inter, 8 images, cpu", "extraction, 8 images, cpu"]
    works = ["encoder alone, 8 images, cpu", *works]
    expected = [("fp32", work) for work in works] + [("plain loop, fp32", work) for work in works[1:]]
    expected += [
        (name, work) for name in ("fp32, gradient_checkpointing", "fp32, accumulation 4") for work in works[:3]
    ]
    assert [(line["setting"], line["work"]) for line in lines] == expected
    for line in lines:
        assert list(line) == list(lines[0])
        assert math.isclose(line["images/s"], 8000 / line["ms"])
        assert (line["waits"], line["peak MB"]) == ("-", "-")
        assert (line["outside the encoder %"] == "-") == ("plain" in line["setting"] or "step" not in line["work"])


def test_every_shipped_configuration_is_measured():
    names = stage2_memory.shipped()
    assert {"market1501/ccafl_rn50.yaml", "msmt17/ccafl_vit_b16.yaml", "dukemtmcreid/ccafl_rn50.yaml"} <= set(names)
    assert all((configs_folder() / name).is_file() for name in names)
    assert not any("synthetic" in name or "base" in name for name in names)


def test_memory_runs_through():
    (line,) = stage2_memory.measure([TINY], 1, SMALL, "cpu")
    assert line == {"configuration": TINY, **{f"{switch} MB": "-" for switch in stage2_memory.SWITCHES}}


def test_loading():
    lines = list(loading.measure(**loading.REPORT.sizes["quick"], device="cpu"))
    assert [(line["epoch"], line["memory"]) for line in lines[::2]] == [(1, "2048 MB"), (2, "2048 MB"), (1, "0 MB")]
    assert [line["work"] for line in lines] == ["epoch's start", "steps"] * 3
    assert all(0 < line["waiting for images %"] < 100 for line in lines[1::2])
    assert all(line["images/s"] > 0 for line in lines)
