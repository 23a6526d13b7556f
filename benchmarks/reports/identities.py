"""Time and memory of ``tools/associate.py``, and what ``approximate_margin`` loses."""

from __future__ import annotations

import contextlib
import csv
import io
import sys
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.peak_memory import peak, start_counting
from benchmarks.problems import Crowd, crowd
from benchmarks.report import Figures, Report
from ccafl_plugin.association import pair_scores
from ccafl_plugin.features import associate_command
from ccafl_plugin.features.feature_set import FeatureSet


def measure(cases: tuple[tuple[int, int, tuple[str, ...]], ...], device: str) -> Figures:
    """Cases are (tracks, images of a track, associations); ``margin``, if it is among them, comes first.

    An association may have options after its name: ``approximate_margin probes 128``.
    """
    lines: Figures = []
    for tracks, images, associations in cases:
        with tempfile.TemporaryDirectory() as folder:
            problem = save(tracks, images, Path(folder, "features"))
            exact: torch.Tensor | None = None
            for association in associations:
                start_counting(device)
                started, used = time.perf_counter(), time.process_time()
                name, *options = association.split()
                words = [str(Path(folder, "features")), "--association", name, "--no-page", "--out", folder]
                words += ["--set", *options] if options else []
                with contextlib.redirect_stdout(io.StringIO()):
                    assert associate_command.main(words) == 0
                seconds, used = time.perf_counter() - started, time.process_time() - used
                found = read(Path(folder, "identities.csv"), problem)
                exact = found if exact is None and association == "margin" else exact
                lines.append(
                    {
                        "association": association,
                        "tracks": tracks,
                        "images": tracks * images,
                        "seconds": seconds,
                        "CPU seconds": used,
                        "peak MB": round(peak(device) / 2**20),
                        "F1 %": percent(found, problem, problem.person),
                        "F1 against margin %": "-" if exact is None else percent(found, problem, exact),
                        "margin's pairs %": "-" if exact is None else share(found, problem, exact),
                    }
                )
                print(lines[-1], file=sys.stderr, flush=True)  # the next one may take minutes
    return lines


def save(tracks: int, images: int, file: Path) -> Crowd:
    """Writes a feature set; gives its labels, without the features."""
    problem = crowd(tracks, images)
    columns = {
        "path": [f"{image}.jpg" for image in range(len(problem.track))],
        "camera": [str(problem.camera[track]) for track in problem.track.tolist()],
        "track": [str(track) for track in problem.track.tolist()],
    }
    FeatureSet(problem.features, columns, "0" * 64).save(file)
    return problem._replace(features=torch.empty(0))


def read(file: Path, problem: Crowd) -> torch.Tensor:
    """(N,) int64: the identity of every track."""
    identity = torch.zeros(len(problem.camera), dtype=torch.int64)
    with open(file, encoding="utf-8", newline="") as opened:
        for row in csv.DictReader(opened):
            identity[int(row["track"])] = int(row["identity"])
    return identity


def share(found: torch.Tensor, problem: Crowd, exact: torch.Tensor) -> float:
    """Of the cross-camera pairs inside the identities of an exact association, those that were found too."""
    return round(100 * pair_scores(found, problem.camera, exact).recall, 1)


def percent(found: torch.Tensor, problem: Crowd, truth: torch.Tensor) -> float:
    """F1 of cross-camera pairs."""
    return round(100 * pair_scores(found, problem.camera, truth).f1, 1)


EXPLAINED = (
    "The whole command without the page of pictures: reading the features, means of tracks, association, links, "
    "tables. F1: of cross-camera pairs, against the true people of a made-up crowd, and against what margin finds. "
    "Margin's pairs: the share of the pairs inside margin's identities that are inside one here too. "
    "Peak MB: all that the process holds, its libraries and the features included. CPU seconds: of all threads; "
    "seconds are those of the clock, and longer where others use the machine."
)
REPORT = Report(
    name="identities",
    title="One identity across six cameras by tools/associate.py, features of 512 numbers",
    explained=EXPLAINED,
    sizes={
        "full": {
            "cases": (
                (20000, 4, ("margin", "approximate_margin")),
                (50000, 4, ("margin", "approximate_margin")),
            )
        },
        "quick": {"cases": ((300, 2, ("margin", "approximate_margin")),)},
    },
    measure=measure,
)
MANY = Report(
    name="many_identities",
    title="One identity across six cameras, 100 000 tracks, by tools/associate.py, features of 512 numbers",
    explained=EXPLAINED,
    sizes={
        "full": {"cases": ((100000, 4, ("margin", "approximate_margin probes 128", "approximate_margin probes 256")),)},
        "quick": {"cases": ((300, 2, ("margin", "approximate_margin probes 128")),)},
    },
    measure=measure,
)
