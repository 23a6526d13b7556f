"""The report on one and two processes: trainings that are equal say so, and a failure leaves the other lines."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
import torch

from benchmarks import group_training
from benchmarks.group_training import Several, write
from benchmarks.reports import processes
from benchmarks.reports.loading import write_pictures
from benchmarks.reports.processes import COLUMNS, Way, differences, is_finished, line_of, train, ways
from benchmarks.steps import note, read
from ccafl_plugin.config.shipped_files import configs_folder
from tests.children import in_child
from tests.ranks import in_ranks


def test_one_that_counts_as_several():
    one = Several(1)
    assert one != 1 and one > 1 and (one == 1) is False
    assert list(range(one)) == [0]
    assert -(-5 // one) == 5
    assert Several(2) == 2 and Several(2) > 1 and not Several(2) > 2


def finished(folder, name, losses, weights, statistics=(0.0,), processes=1, first=(0.0, 0.0)):
    for number in range(processes):
        steps = {"seconds": 2.0, "images": 64, "number": 8, "between": 0.5}
        measured = {"losses": losses, "starts": [3.0, 1.5], "steps": steps, "peak_mb": 100 + number, "seconds": 9.0}
        write(folder / f"{name}.{number}.json", measured)
    tensors = {"first": first, "last": weights, "statistics": statistics}
    torch.save({key: torch.tensor(value) for key, value in tensors.items()}, folder / f"{name}.pt")


def test_differences_of_two_trainings(tmp_path):
    finished(tmp_path, "a", [{"loss": 10.0, "part": 0.5}, {"loss": 4.0, "part": 0.25}], (3.0, 4.0))
    finished(tmp_path, "b", [{"loss": 10.1, "part": 0.5}, {"loss": 4.0, "part": 0.5}], (3.0, 4.5), (0.125,))
    assert differences(tmp_path / "a", tmp_path / "b") == {
        "losses, 1st": "1.0e-02",
        "losses, 2nd": "2.5e-01",
        "losses, all": "2.5e-01",
        "weights": "5.0e-01",
        "weights, of the way %": "10",
        "batch norms": "1.2e-01",
    }


def test_a_line(tmp_path):
    base = {"name": "one_process_fp32", "what": "one process", "precision": "fp32"}
    two = {"name": "two_fp32", "what": "two", "precision": "fp32"}
    way = Way("two", 2, "gloo", {"": ()})
    finished(tmp_path, base["name"], [{"loss": 1.0}], (3.0, 4.0))
    finished(tmp_path, two["name"], [{"loss": 1.0}], (3.0, 4.0), processes=1)
    assert not is_finished(two, way, tmp_path)
    finished(tmp_path, two["name"], [{"loss": 1.0}], (3.0, 4.0), processes=2)
    assert is_finished(two, way, tmp_path)
    line = line_of(two, way, tmp_path)
    assert list(line) == ["training", "precision", *COLUMNS]
    assert (line["ms per step"], line["images/s"], line["between steps %"]) == (250, 32, 25)
    assert (line["epochs' starts s"], line["peak MB per process"]) == ("3.00 + 1.50", "100, 101")
    assert (line["losses, all"], line["weights"], line["losses, 2nd"]) == ("0.0e+00", "0.0e+00", "-")
    (tmp_path / "two_fp32.1.error").write_text("CCAFLError: no\nmore")
    failed = line_of(two, way, tmp_path)
    assert failed["error"] == "CCAFLError: no more" and failed["images/s"] == "-" and list(failed) == list(line)


def program(job_file, environment, log):
    """Instead of :func:`benchmarks.group_training.be_process`."""
    job = json.loads(Path(job_file).read_text())
    folder = Path(job["folder"])
    for run in job["runs"]:
        name = run["name"]
        if (folder / f"{name}.0.json").exists() or list(folder.glob(f"{name}.*.error")):
            continue
        if name == "dies":
            Path(log).write_text("RuntimeError: the GPU is gone\n")
            os._exit(3)
        if name == "raises":
            (folder / "raises.0.error").write_text("ValueError: a part")
            os._exit(1)
        if name == "hangs":
            note(folder / "hangs.0.steps", "epoch 1: first iteration")
            (folder / "hanging").write_text(str(os.getpid()))
            time.sleep(600)
        steps = {"seconds": 1.0, "images": 8, "number": 1, "between": 0.0}
        write(folder / f"{name}.0.json", {"losses": [], "starts": [1.0], "steps": steps, "peak_mb": None})
    os._exit(0)


def test_a_failure_leaves_the_other_lines(tmp_path, monkeypatch):
    """A run that raises, one that ends its process, and one that hangs; those between them are measured."""
    monkeypatch.setattr(processes, "be_process", program)
    names = ["first", "raises", "second", "dies", "third", "hangs", "last"]
    runs = [{"name": name, "what": name, "precision": "fp32"} for name in names]
    began = time.monotonic()
    lines = list(train(Way("way", 0, None, {}), runs, tmp_path, "cpu", 3.0))
    assert time.monotonic() - began < 30
    assert [line["training"] for line in lines] == names
    errors = [line["error"] for line in lines]
    assert errors[:5] == ["-", "ValueError: a part", "-", "RuntimeError: the GPU is gone", "-"]
    assert errors[5].startswith("not ended after 3 s, in 'epoch 1: first iteration' for ")
    assert errors[6] == "not started"
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "hanging").read_text()), 0)


def environment_is_written(job_file, environment, log):
    Path(f"{job_file}.{environment.get('RANK', 'alone')}").write_text(json.dumps(environment))
    os._exit(0)


def test_what_processes_are_told(tmp_path, monkeypatch):
    """All are on one machine and share its one GPU; a process alone is told of no group."""
    monkeypatch.setattr(processes, "be_process", environment_is_written)
    for way in (Way("alone", 0, None, {}), Way("two", 2, "gloo", {})):
        children = processes.start(way, tmp_path / way.name, tmp_path / "log")
        for child in children:
            child.join()
        assert len(children) == max(way.processes, 1)
    assert "RANK" not in json.loads((tmp_path / "alone.alone").read_text())
    first, second = (json.loads((tmp_path / f"two.{number}").read_text()) for number in range(2))
    assert (first.pop("RANK"), second.pop("RANK")) == ("0", "1")
    assert first == second
    assert [first[name] for name in ("WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR")] == ["2", "0", "127.0.0.1"]


def test_what_is_compared():
    assert [(way.processes, way.backend) for way in ways("cpu")] == [(0, None), (2, "gloo"), (1, "gloo"), (0, None)]
    assert ways("cuda")[2].backend == "cpu:gloo,cuda:nccl"
    assert list(ways("cuda")[0].repeats) == [""]
    assert list(ways("cuda")[3].repeats) == [", again", ", other kernels"]


EPOCH = (("start of epoch", ""), ("epoch", ": first iteration"), ("epoch", ": iterations"))
STEPS = ["data of group_fp32", "model", "engine", "stage 1"]
STEPS += [f"{of} {number}{what}" for number in (1, 2) for of, what in EPOCH] + ["test"]


def test_a_group_of_one_trains_as_no_group_does(tmp_path):
    """Through DistributedDataParallel and gathering, bit by bit the same; batch norms are those of a single process."""
    write_pictures(tmp_path, people=2, images=2)
    settings = [
        "data.root",
        str(tmp_path),
        "use_gpu",
        "False",
        "model.pretrained",
        "False",
        "ccafl.iters_per_epoch",
        "2",
    ]
    settings += [*processes.BOTH_KINDS, *processes.SMALL, "train.batch_size", "8"]
    file = str(configs_folder() / "market1501" / "ccafl_rn50.yaml")
    alone, group = (processes.run_of(what, "fp32", file, settings) for what in ("one process", "group"))
    gathers = []

    def in_group(_):
        group_training.take_one_for_several()
        gather = torch.distributed.all_gather
        torch.distributed.all_gather = lambda *given, **named: gathers.append(1) or gather(*given, **named)
        group_training.train(group, tmp_path, "cpu", [str(tmp_path / "report.steps")])
        return len(gathers)

    in_child(lambda: group_training.train(alone, tmp_path, "cpu"))
    assert in_ranks(1, in_group, tmp_path / "group") != [0]
    line = line_of(group, Way("group", 1, "gloo", {}), tmp_path)
    assert line["images/s"] > 0 and line["ms per step"] > 0
    assert [line[name] for name in ("losses, all", "weights", "batch norms", "error")] == [*["0.0e+00"] * 3, "-"]
    for file in ("group_fp32.0.steps", "report.steps"):
        assert [step.name for step in read(tmp_path / file)] == STEPS
    assert not list((tmp_path / "group_fp32.run").glob("*.pt*"))
    losses = json.loads((tmp_path / "group_fp32.0.json").read_text())["losses"]
    assert len(losses) == 4
    assert {name.split("/")[0] for name in losses[0]} == {"loss", "proxy_classifier", "icdl"}
    assert {"inter", "alignment", "ical"} <= {name.split("/")[0] for name in losses[3]}


@pytest.mark.slow
def test_two_processes():
    """The whole report; on a CPU, batch norms see shares, so two processes are not equal to one."""
    lines = list(processes.measure(**processes.REPORT.sizes["quick"], device="cpu"))
    assert [line["error"] for line in lines] == ["-"] * 5
    assert [line["weights"] == "0.0e+00" for line in lines] == [True, False, True, True, False]


def test_the_group_is_taken_for_several(monkeypatch):
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda group=None: 1)
    group_training.take_one_for_several()
    assert torch.distributed.get_world_size() != 1
    assert torch.distributed.get_world_size() > 1
