"""Numbers over time: resumed and branched runs, and how many iterations an epoch has."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml
from torch.utils.tensorboard import SummaryWriter

from ccafl_plugin.report.recorded_run import RecordedRun
from ccafl_plugin.report.scalars import Series, read_scalars
from ccafl_plugin.report.training_curves import binned, by_epoch, loss_groups, windows_of
from ccafl_plugin.utils.errors import CCAFLError


def logged(folder: Path, suffix: str, **values: dict[int, float]) -> None:
    with SummaryWriter(log_dir=str(folder), filename_suffix=suffix) as writer:
        for tag, points in values.items():
            for step, value in points.items():
                writer.add_scalar(tag, value, step)


def test_a_resumed_run_has_the_numbers_of_its_last_attempt(tmp_path: Path) -> None:
    logged(tmp_path, ".1", a=dict.fromkeys(range(6), 1.0), b={0: 1.0})
    first = next(tmp_path.glob("events*"))
    first.rename(first.with_name("events.out.tfevents.1000"))
    logged(tmp_path, ".2", a=dict.fromkeys(range(4, 8), 2.0) | {8: math.nan})
    found = read_scalars(tmp_path)
    assert found["a"] == Series(tuple(range(8)), (1.0,) * 4 + (2.0,) * 4)
    assert found["b"] == Series((0,), (1.0,))


def test_a_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "events.out.tfevents.1").write_bytes(b"\x18" + b"nonsense" * 50)
    try:
        assert read_scalars(tmp_path) == {}  # tensorboard stops at the first record that is broken
    except CCAFLError as error:
        assert "events.out.tfevents.1 can't be read" in str(error)


def test_windows_and_parts(finished: Path) -> None:
    run = RecordedRun.read(finished)
    assert run.missing == [] and run.is_finished and run.finished_epochs == run.epochs == 2
    assert windows_of(run) == {
        "icdl": (0, 2),
        "proxy_classifier": (0, 2),
        "alignment": (1, 2),
        "ical": (1, 2),
        "inter": (1, 2),
    }
    groups = loss_groups(run)
    assert next(iter(groups)) == "loss" and set(groups) == {"loss", *windows_of(run)}
    assert {"centroid", "instance", "total"} <= set(groups["icdl"])
    assert run.iterations() == 2


def test_a_branched_run_has_the_numbers_before_it(finished: Path, tmp_path: Path) -> None:
    branch = tmp_path / "branch"
    branch.mkdir()
    config = yaml.safe_load((finished / "config.yaml").read_text())
    config["ccafl"]["branch_from"] = str(finished / "checkpoint-1.json")
    (branch / "config.yaml").write_text(yaml.safe_dump(config))
    logged(branch, "", **{"Train/loss": {2: 7.0, 3: 8.0}, "Learning_rate/weights": {1: 0.5}})
    origin, run = read_scalars(finished), RecordedRun.read(branch)
    assert run.scalars["Train/loss"] == Series((0, 1, 2, 3), (*origin["Train/loss"].values[:2], 7.0, 8.0))
    assert run.scalars["Learning_rate/weights"].steps == (0, 1)
    assert run.scalars["Stage1/loss"] == origin["Stage1/loss"]
    assert run.scalars["Train/ical/adversarial"].steps == ()  # of the other run's own second epoch
    config["ccafl"]["branch_from"] = str(tmp_path / "gone" / "checkpoint-1.json")
    (branch / "config.yaml").write_text(yaml.safe_dump(config))
    assert any(line.startswith("Training curves before the branch") for line in RecordedRun.read(branch).missing)


@pytest.mark.parametrize("count", [1, 7, 160, 161, 1000])
def test_binned_keeps_the_mean_and_the_order(count: int) -> None:
    import numpy as np

    x, y = np.arange(count, dtype=float), np.random.default_rng(0).random(count)
    shown_x, shown_y = binned(x, y, 160)
    assert len(shown_x) == len(shown_y) == min(count, 160)
    assert (np.diff(shown_x) > 0).all()
    if count in (7, 160):
        assert shown_y.tolist() == y.tolist()
    steps = np.arange(count)
    epochs, means = by_epoch(steps, y, 4.0)
    for epoch, mean in zip(epochs, means, strict=True):
        own = [value for step, value in zip(steps, y, strict=True) if int(epoch) * 4 <= step < (int(epoch) + 1) * 4]
        assert mean == pytest.approx(sum(own) / len(own))
