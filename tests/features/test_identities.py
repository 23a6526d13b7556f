"""Identities across cameras, their files and their page."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from ccafl_plugin.data.own_tracks import find_tracked_cameras
from ccafl_plugin.features.identities import Identities, compare, identify
from ccafl_plugin.features.identity_files import write_mot_files, write_tables
from ccafl_plugin.features.identity_page import write_page
from ccafl_plugin.features.track_features import Tracks
from ccafl_plugin.utils.errors import CCAFLError
from tests.data.own_pictures import write


def people(cameras: int = 3, seen: int = 5, noise: float = 0.05) -> Tracks:
    """The same people in every camera, and at the end one more in the last; two images of each track."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((seen + 1, 24))
    rows = [centres[person] for _ in range(cameras) for person in range(seen)] + [centres[seen]]
    features = torch.from_numpy(np.array(rows) + noise * rng.standard_normal((len(rows), 24)))
    names = [f"{camera}" for camera in range(cameras) for _ in range(seen)] + [f"{cameras - 1}"]
    tracks = [str(person + 1) for _ in range(cameras) for person in range(seen)] + [str(seen + 1)]
    images = [np.array([2 * track, 2 * track + 1]) for track in range(len(rows))]
    return Tracks(torch.nn.functional.normalize(features, dim=1), names, tracks, images)


@pytest.fixture(scope="module")
def found() -> Identities:
    return identify(people())


def rows_of(file: Path) -> list[dict[str, str]]:
    with open(file, encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def test_identities(found: Identities) -> None:
    assert found.identity.tolist() == [1, 2, 3, 4, 5] * 3 + [6]
    assert found.size.tolist() == [3] * 15 + [1]
    assert found.groups == [[person, person + 5, person + 10] for person in range(5)]
    assert str(found) == "5 identities with several tracks (5 of 3); tracks that are an identity of their own: 1"
    assert len(found.links.first) == 10
    assert str(identify(people(noise=9), "nearest_pairs", rate=0.0)) == (
        "no two tracks are linked; tracks that are an identity of their own: 16"
    )


def test_tables(found: Identities, tmp_path: Path) -> None:
    assert write_tables(tmp_path / "new", found) == ["identities.csv", "links.csv"]
    tracks = rows_of(tmp_path / "new" / "identities.csv")
    assert len(tracks) == 16
    assert tracks[6] | {"confidence": ""} == {
        **{"camera": "1", "track": "2", "identity": "2", "tracks": "3", "images": "2", "confidence": ""}
    }
    assert float(tracks[6]["confidence"]) == pytest.approx(found.links.of_proxy[6], abs=5e-5)
    assert tracks[15] == {
        **{"camera": "2", "track": "6", "identity": "6", "tracks": "1", "images": "2", "confidence": ""}
    }
    links = rows_of(tmp_path / "new" / "links.csv")
    values = [float(link["confidence"]) for link in links]
    assert values == sorted(values) and len(values) == 10
    number = {(row["camera"], row["track"]): row["identity"] for row in tracks}
    for link in links:
        ends = [(link["camera_1"], link["track_1"]), (link["camera_2"], link["track_2"])]
        assert [number[end] for end in ends] == [link["identity"]] * 2


def test_scores_by_labels(found: Identities) -> None:
    """One link is wrong by these labels, and one true pair is not linked; unlabelled tracks do not count."""
    labels = [str(person) for person in range(5)] * 2 + ["0", "1", "2", "3", "other", "4"]
    report = compare(found, labels)
    assert report.scores.num_pairs == 15 and report.scores.num_true_pairs == 15
    assert report.scores.precision == pytest.approx(13 / 15) and report.scores.recall == pytest.approx(13 / 15)
    assert sum(links for *_, links, _ in report.bands) == 10
    ends = zip(found.links.first.tolist(), found.links.second.tolist(), strict=True)
    assert sum(right for *_, right in report.bands) == sum(labels[a] == labels[b] for a, b in ends) < 10
    first, *bands = report.lines("id", 16)
    assert first == "By the column 'id': precision 86.7% of 15 pairs, recall 86.7% of 15 pairs, F1 86.7%"
    assert len(bands) == len(report.bands) and all(re.match("  links of confidence (below|from|0)", b) for b in bands)
    labels[4] = labels[9] = ""
    report = compare(found, labels)
    assert report.labelled == 14 and report.scores.num_pairs == 12 and report.scores.num_true_pairs == 12
    assert report.lines("id", 16)[0].startswith("By the column 'id' (14 of 16 tracks have a label): precision 100.0%")


MOT = """1, 1, 0.5,0,9,9,1,-1,-1,-1
1 2 0 0 9 9 1

2;6;0;0;9;9;0.5
2,-1,0,0,9,9,1
3,77,1,1,9,9,1,7
4,77,1,1,9,9,1,7
"""


def test_mot_files_keep_all_but_the_ids(found: Identities, tmp_path: Path) -> None:
    for camera in "01":
        (tmp_path / f"{camera}.txt").write_text("1,3,0,0,9,9,1\n")
    (tmp_path / "2.txt").write_text(MOT)
    cameras = find_tracked_cameras(tmp_path, needs_pictures=False)
    names, notes = write_mot_files(tmp_path / "out", found, cameras)
    assert names == ["mot/0.txt", "mot/1.txt", "mot/2.txt"]
    assert (tmp_path / "out" / "mot" / "0.txt").read_text() == "1,3,0,0,9,9,1\n"
    written = (tmp_path / "out" / "mot" / "2.txt").read_text()
    assert written == MOT.replace(",77,", ",7,")  # the identity after the last; 1, 2 and 6 are called as their tracks
    assert notes == ["tracks of the MOT files without any image: 1; each has an identity of its own"]


def test_one_identity_twice_in_a_frame_is_said(tmp_path: Path) -> None:
    tracks = people()
    linked = Identities(tracks, torch.ones(16, dtype=torch.int64), torch.full((16,), 16), identify(tracks).links)
    for camera in "012":
        (tmp_path / f"{camera}.txt").write_text("1,3,0,0,9,9,1\n1,4,0,0,9,9,1\n2,4,0,0,9,9,1\n")
    _, notes = write_mot_files(tmp_path / "out", linked, find_tracked_cameras(tmp_path, needs_pictures=False))
    assert len(notes) == 3 and notes[0].startswith("warning: 0: 1 boxes have the identity of another box")


def test_wrong_mot_files(found: Identities, tmp_path: Path) -> None:
    (tmp_path / "0.txt").write_text("1,3,0,0,9,9,1\n")
    with pytest.raises(CCAFLError, match="the camera '1' has no MOT file; there are those of '0'"):
        write_mot_files(tmp_path / "out", found, find_tracked_cameras(tmp_path, needs_pictures=False))
    with pytest.raises(CCAFLError, match="has no pictures"):
        find_tracked_cameras(tmp_path)


def test_page(found: Identities, tmp_path: Path) -> None:
    write(tmp_path, *(f"{row}.png" for row in range(31)))
    paths = [str(tmp_path / f"{row}.png") for row in range(31)] + [str(tmp_path / "<gone>.png")]
    page = tmp_path / "page.html"
    assert write_page(page, found, paths, ["said & done"], groups=2, links=3) == 0
    text = page.read_text(encoding="utf-8")
    assert "said &amp; done" in text and "http" not in text
    assert "Least certain links (3 of 10)" in text and "Identities with several tracks (2 of 5" in text
    assert text.count("<img") == 2 * 2 * 3 + 2 * 2 * 3
    assert text.count('src="data:image/jpeg;base64,') == text.count("<img")
    weakest = f"confidence {found.links.confidence.min():.3f}"
    assert weakest in text and text.index(weakest) < text.index("Identities with")
    assert write_page(page, found, ["<gone>.png"] * 32, [], groups=1, links=0) == 6
    text = page.read_text(encoding="utf-8")
    assert "<i>&lt;gone&gt;.png</i>" in text and "Least certain" not in text
