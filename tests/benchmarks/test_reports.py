"""The reports: what they count, and that the command they time runs under the clock."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from benchmarks import timed_training
from benchmarks.problems import crowd
from benchmarks.reports import REPORTS, association_growth, first_command, identities, images, imports
from benchmarks.timed_training import Clock
from ccafl_plugin.association import ASSOCIATIONS


@pytest.mark.parametrize("name", REPORTS)
def test_what_a_report_says(name):
    report = REPORTS[name]
    assert report.name == name
    assert set(report.sizes) == {"full", "quick"}
    assert report.devices


@pytest.fixture
def seconds(monkeypatch):
    """A clock that is moved by hand."""
    now = [0.0]
    monkeypatch.setattr(timed_training.time, "perf_counter", lambda: now[0])

    def wait(duration):
        now[0] += duration

    return wait


def test_a_part_inside_another_is_counted_once(seconds):
    def inner():
        seconds(2)
        return "result"

    def outer():
        seconds(1)
        work.inner()
        with pytest.raises(KeyError):
            work.broken()
        return work.inner()

    def broken():
        seconds(16)
        raise KeyError

    work = SimpleNamespace(inner=inner, outer=outer, broken=broken)
    clock = Clock()
    for part in ("inner", "outer", "broken"):
        clock.watch(part, work, part)
    clock.watch("around inner", work, "inner")
    assert work.outer() == "result"
    seconds(100)
    assert work.inner() == "result"
    assert clock.seconds == {"inner": 6, "outer": 1, "broken": 16, "around inner": 0}


def test_parts_and_the_rest_make_up_the_whole(monkeypatch):
    def run(command, cwd, env, **options):
        assert "OMP_NUM_THREADS" not in env
        assert command[-2:] == ["data.workers", "0"]
        Path(cwd, command[4]).write_text(json.dumps({"import": 1.0, "steps": 5.0}))

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(time, "time", iter([100.0, 110.0]).__next__)
    lines = first_command.measure(("data.workers", "0"), "cpu")
    assert lines == [
        {"part": "import", "seconds": 1.0, "share %": 10.0},
        {"part": "steps", "seconds": 5.0, "share %": 50.0},
        {"part": "rest", "seconds": 4.0, "share %": 40.0},
        {"part": "all", "seconds": 10.0, "share %": 100.0},
    ]


def test_the_fastest_import_counts_without_the_first(monkeypatch):
    printed = iter(["1", "2", "5", "9", "4", "8", "6", "7"])
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=f"{next(printed)}\n"))
    assert [line["seconds"] for line in imports.measure(3, "cpu")] == [4, 7, 3]


def test_the_import_is_timed():
    program = imports.PROGRAM.format("json")
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout
    assert float(printed) > 0


@pytest.mark.slow
def test_the_first_command_runs_under_the_clock():
    lines = first_command.measure(**first_command.REPORT.sizes["quick"], device="cpu")
    assert all(line["seconds"] > 0 for line in lines), lines


def test_identities_are_found_and_compared():
    lines = identities.measure(**identities.REPORT.sizes["quick"], device="cpu")
    assert [(line["association"], line["tracks"], line["images"]) for line in lines] == [
        ("margin", 300, 600),
        ("approximate_margin", 300, 600),
    ]
    assert all(line["F1 against margin %"] == 100 for line in lines)  # so few tracks are compared exhaustively
    assert all(50 < line["F1 %"] <= 100 and line["CPU seconds"] > 0 for line in lines)


def test_an_association_with_an_option():
    lines = identities.measure(**identities.MANY.sizes["quick"], device="cpu")
    assert [line["association"] for line in lines] == ["margin", "approximate_margin probes 128"]
    assert all(line["margin's pairs %"] == 100 for line in lines)
    problem = crowd(60, 1)
    exact = problem.person
    assert identities.share(torch.arange(60), problem, exact) == 0  # nobody was linked
    halved = torch.where(torch.arange(60) < 30, exact, torch.arange(60) + 1000)
    assert 0 < identities.share(halved, problem, exact) < 100


def test_every_association_at_every_size():
    lines = association_growth.measure(**association_growth.REPORT.sizes["quick"], device="cpu")
    assert [(line["association"], line["proxies"]) for line in lines] == [
        (name, count) for count in (100, 200) for name in sorted(ASSOCIATIONS)
    ]
    for line in lines:
        assert line["ns per pair"] == pytest.approx(
            1e9 * line["seconds"] / (line["proxies"] * (line["proxies"] - 1) / 2)
        )
        assert line["peak MB"] > 10


def test_images_are_loaded_in_four_ways():
    """The ways of the engine have an augmentation of their own, and torchreid's has not."""
    lines = list(images.measure(images=3, rounds=1, device="cpu"))
    assert [line["files"] for line in lines] == [kind.title for kind in images.KINDS for _ in range(4)]
    for line in lines:
        assert line["loading, images/s"] > 0
        assert (line["augmenting, images/s"] == "-") == line["loader"].startswith("torchreid's")
        assert 0 < line["both, images/s"] <= line["loading, images/s"]
