"""What the training command makes of the environment that ``torchrun`` sets: the group, GPUs, threads."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
import torch

import ccafl_train
from ccafl_plugin.config import default_config
from ccafl_plugin.runs import building, torchrun, train_command
from ccafl_plugin.suites import suite_command
from ccafl_plugin.utils.errors import CCAFLError
from tests.runs.small_commands import train


@pytest.mark.parametrize("wrong", ["a port that is taken", "no address"])
def test_a_group_that_cannot_be_made_is_one_line(
    wrong: str, few_pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_USE_AGENT_STORE"):
        monkeypatch.delenv(name, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        given = {"RANK": "0", "WORLD_SIZE": "2"}
        if wrong == "a port that is taken":
            given |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(server.getsockname()[1])}
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        assert train(few_pictures, tmp_path / "log") == 1
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert line.startswith(
        "error: the environment says that this is process 0 of 2 (RANK, WORLD_SIZE), but their group"
    )
    assert ("EADDRINUSE" if wrong == "a port that is taken" else "MASTER_ADDR expected") in line
    assert line.endswith("with another --master_port if its port is taken, or unset both to train in one process.")


def test_more_processes_than_gpus_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    config = default_config()
    config.loss.name = "ccafl"
    for name, value in {"num_processes": lambda: 4, "check_alike": lambda _: None}.items():
        monkeypatch.setattr(torchrun, name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "0")
    torchrun.check_processes(config)
    for given in ({"LOCAL_WORLD_SIZE": "3"}, {"LOCAL_RANK": "2"}):
        with monkeypatch.context() as patched:
            for name, value in given.items():
                patched.setenv(name, value)
            with pytest.raises(CCAFLError, match=r"there are 3 processes on this machine, more than its .*_node=2, or"):
                torchrun.check_processes(config)
            config.use_gpu = False
            torchrun.check_processes(config)
            config.use_gpu = True


@pytest.mark.parametrize(("here", "device"), [(2, [1]), (1, [])])  # with a single GPU: refused later, in one line
def test_a_process_takes_the_gpu_of_its_number(here: int, device: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[Any] = []
    for name, value in {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: here)
    monkeypatch.setattr(torch.cuda, "set_device", called.append)
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda backend, **_: called.append(backend))
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: called.append("end"))
    assert torchrun.run_in_group(lambda: called.append("run") or 0) == 0
    assert called == [*device, "cpu:gloo,cuda:nccl", "run", "end"]


@pytest.mark.parametrize(
    ("processes", "given", "threads"), [(2, {}, 3), (1, {}, 7), (2, {"OMP_NUM_THREADS": "1"}, None)]
)
def test_processes_of_a_machine_share_its_cores(
    processes: int, given: dict[str, str], threads: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    for name, value in {"LOCAL_WORLD_SIZE": "2", **given}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torchrun, "num_processes", lambda: processes)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    found: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", found.append)
    torchrun.use_threads(workers=1)
    assert found == ([] if threads is None else [threads])


def test_other_commands_are_refused_under_torchrun(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ccafl_train, "SECONDS_FOR_A_LINE", 0.0)
    monkeypatch.setattr(train_command, "main", lambda: 7)
    monkeypatch.setattr(suite_command, "main", lambda: 8)
    assert (ccafl_train.main(), ccafl_train.suite()) == (7, 8)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in range(2):
        monkeypatch.setenv("RANK", str(rank))
        assert (ccafl_train.main(), ccafl_train.suite()) == (7, 2)
    assert capsys.readouterr().err == f"{ccafl_train.ALONE}\n"


def test_one_process_says_how_to_use_all_gpus(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    building.print_other_gpus(torch.device("cuda"))
    assert capsys.readouterr().out.startswith("3 GPUs are visible, and this run uses one. To use all: torchrun --nproc")
    building.print_other_gpus(torch.device("cpu"))
    monkeypatch.setattr(building, "num_processes", lambda: 3)
    building.print_other_gpus(torch.device("cuda"))
    assert capsys.readouterr().out == ""
