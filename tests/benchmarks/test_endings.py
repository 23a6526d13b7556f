"""Reports that are ended: every line is kept, and the step is named in which they were."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import children, machine, run, steps
from benchmarks.run import main


def child_that_runs(function):
    """Instead of :func:`benchmarks.children.start`: a forked process in a session of its own."""

    def started(arguments, environment, folder):
        def be():
            os.setsid()
            function(json.loads(arguments[-1]), folder)

        child = multiprocessing.get_context("fork").Process(target=be)
        child.start()
        return child

    return started


def write(folder, lines):
    part = folder / "part"
    part.write_text(json.dumps(lines))
    part.replace(folder / "measured.json")


@pytest.fixture
def measure_by(monkeypatch):
    monkeypatch.setattr(run.children, "start_importing", lambda environment: None)
    return lambda function: monkeypatch.setattr(run.children, "start", child_that_runs(function))


def test_at_its_limit(tmp_path, measure_by, monkeypatch, capsys):
    def hang(changes, folder):
        write(folder, [{"work": changes}])
        steps.note(folder / steps.NAME, "model")
        other = os.fork()
        if other:
            (tmp_path / "other").write_text(str(other))
        time.sleep(600)

    measure_by(hang)
    monkeypatch.setattr(children, "SECONDS_TO_END", 0.3)
    file = tmp_path / "results.json"
    given = ["--quick", "--only", "stage2", "--set", "iterations=7", 'switches=["fp16"]', "--save", str(file)]
    began = time.monotonic()
    assert main([*given, "--limit", "1"]) == 1
    assert time.monotonic() - began < 20
    (ended,) = json.loads(file.read_text())["reports"]
    assert ended["figures"] == [{"work": {"iterations": 7, "switches": ["fp16"]}}]
    assert [name for name, _ in ended["steps"]] == ["import", "model"]
    assert " Here iterations 7, switches ['fp16']. Ended after 1 s, in 'model' for " in ended["explained"]
    assert " s; before it, in s: shorter steps 0." in ended["explained"]
    assert ended["explained"] in capsys.readouterr().out
    time.sleep(0.2)
    state = Path("/proc", (tmp_path / "other").read_text(), "stat")
    assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"  # nobody waits for it


def test_a_failure(tmp_path, measure_by, capsys):
    measure_by(lambda changes, folder: os._exit(3))
    assert main(["--quick", "--only", "stage2"]) == 1
    assert " It failed (exit status 3), in 'import' for " in capsys.readouterr().out


def test_lines_are_there_before_the_end(tmp_path, measure_by):
    """Whoever kills the command finds what it has measured."""
    file = tmp_path / "results.json"

    def wait_until_saved(changes, folder):
        write(folder, [{"line": 1}])
        ends = time.monotonic() + 20
        while time.monotonic() < ends:
            if file.exists() and json.loads(file.read_text() or "{}").get("reports", [{}])[0].get("figures"):
                os._exit(0)
            time.sleep(0.05)
        os._exit(1)

    measure_by(wait_until_saved)
    assert main(["--quick", "--only", "stage2", "--save", str(file)]) == 0


def test_by_a_signal(tmp_path, measure_by, monkeypatch, capsys):
    """Which is a SystemExit while it waits: lines that nobody had collected are saved, and the table is printed."""

    def two_lines(changes, folder):
        write(folder, [{"line": "first"}, {"line": "second"}])
        time.sleep(600)

    def collect_later(entry, folder, collect=run.collect):
        if not (folder / "measured.json").exists():
            return False
        monkeypatch.setattr(run, "collect", collect)
        raise SystemExit(143)

    measure_by(two_lines)
    monkeypatch.setattr(run, "collect", collect_later)
    file = tmp_path / "results.json"
    with pytest.raises(SystemExit):
        main(["--quick", "--only", "stage2", "--save", str(file)])
    (ended,) = json.loads(file.read_text())["reports"]
    assert ended["figures"] == [{"line": "first"}, {"line": "second"}]
    assert " It was ended by a signal, in 'import' for " in ended["explained"]
    assert "| second |" in capsys.readouterr().out


def test_order_and_time(measure_by, monkeypatch, capsys):
    """Reports run in the order in which they are named, each within its own limit and what is left of the whole."""
    asked = []

    def measure_report(report, size, options, changes, limit, results):
        asked.append((report.name, limit))

    measure_by(None)
    with monkeypatch.context() as patched:
        patched.setattr(run, "measure_report", measure_report)
        assert main(["--quick", "--only", "stage2", "images", "loading", "--limit", "images=7", "5"]) == 0
        assert asked == [("stage2", 5), ("images", 7), ("loading", 5)]
        main(["--quick", "--only", "stage2", "--within", "60"])
        assert 0 < asked[-1][1] <= 60 - run.SECONDS_TO_END
    assert main(["--quick", "--only", "stage2", "--within", "1"]) == 1
    assert "Not started: no time was left." in capsys.readouterr().out


def test_mistakes(measure_by):
    with pytest.raises(
        SystemExit, match=r"--set: 'itrations' is no entry of a chosen report's size: cameras, config, "
    ):
        main(["--only", "stage2", "--set", "itrations=7"])
    with pytest.raises(SystemExit, match=r"--set iterations: 'many' is not JSON\."):
        main(["--only", "stage2", "--set", "iterations=many"])
    with pytest.raises(SystemExit, match=r"--limit: 'images' is not a chosen report: stage2\."):
        main(["--only", "stage2", "--limit", "images=7"])
    with pytest.raises(SystemExit, match=r"--limit: 'soon' is no number of seconds\."):
        main(["--only", "stage2", "--limit", "soon"])


def test_steps(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(steps.time, "time", lambda: now[0])
    monkeypatch.setattr(steps, "_files", [])
    steps.step("nobody follows")
    assert steps.where(steps.read(tmp_path / "steps")) == ""
    steps.follow(tmp_path / "steps")
    for name, seconds in (("files", 0.25), ("import", 9.0), ("labels", 0.25), ("a model, whole", 2.5)):
        steps.step(name)
        now[0] += seconds
    assert steps.read(tmp_path / "steps")[1:] == [("import", 9.0), ("labels", 0.25), ("a model, whole", 2.5)]
    assert (
        steps.where(steps.read(tmp_path / "steps", 113.5))
        == "in 'a model, whole' for 4.0 s; before it, in s: import 9.0, shorter steps 0.5"
    )


def test_the_name_of_a_gpu(tmp_path, monkeypatch):
    """From the driver's command, because a context in this process would take memory and seconds."""
    command = tmp_path / "nvidia-smi"
    command.write_text("#!/bin/sh\necho H100\necho H100\n")
    command.chmod(0o755)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "as torch says")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.gpu() == "H100"
    command.unlink()
    assert machine.gpu() == "as torch says"


@pytest.mark.slow  # imports everything, twice
def test_the_command_is_ended(tmp_path):
    """Reports are forked behind the imports, and SIGTERM to the command leaves their lines."""
    file = tmp_path / "results.json"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--threads", "1", "--only", "images", "stage2"]
    started = subprocess.Popen(
        [*command, "--save", str(file)], cwd=children.ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        ends = time.monotonic() + 150
        while time.monotonic() < ends:
            time.sleep(0.05)
            reports = json.loads((file.read_text() if file.exists() else "") or "{}").get("reports", [])
            if len(reports) == 2 and reports[1]["figures"]:
                break
        started.send_signal(signal.SIGTERM)
        printed = started.communicate(timeout=20)[0]
    finally:
        started.kill()
    assert "encoder alone, 8 images, cpu" in printed
    images, stage2 = json.loads(file.read_text())["reports"]
    assert "passed" not in images and len(images["figures"]) == 8
    assert dict(stage2["steps"])["import"] < 3  # the first report has paid for it
    assert "It was ended by a signal, in " in stage2["explained"]
