"""The command that finds one identity across cameras."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ccafl_plugin.features import associate_command, extract_command
from ccafl_plugin.features.feature_set import FeatureSet
from tests.data.own_pictures import picture, write
from tests.features.stand_in import Colours

CAMERAS = ("hall", "yard", "gate")


def save(folder: Path, name: str = "features", weights: str = "ab" * 32, **changed: list[str]) -> str:
    """Features of four people, each with two images in three cameras, and a file beside them."""
    people = torch.randn(4, 16, generator=torch.Generator().manual_seed(0))
    columns: dict[str, list[str]] = {"path": [], "camera": [], "track": [], "id": []}
    rows = []
    for place, camera in enumerate(CAMERAS):
        for person in range(4):
            for image in range(2):
                noise = torch.randn(16, generator=torch.Generator().manual_seed(100 * place + 10 * person + image))
                rows.append(people[person] + 0.1 * noise)
                track = str((person + place) % 4 + 1)
                path = folder / camera / f"{track}-{image}.png"
                found = {"path": str(path), "camera": camera, "track": track, "id": f"person {person}"}
                for column, value in found.items():
                    columns[column].append(value)
    columns |= changed
    FeatureSet(torch.stack(rows), columns, weights).save(folder / name)
    return str(folder / f"{name}.safetensors")


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = associate_command.main(list(words))
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_the_whole_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(
        tmp_path, *(f"{camera}/{track}-{image}.png" for camera in CAMERAS for track in range(1, 5) for image in (0, 1))
    )
    mot = tmp_path / "mot"
    mot.mkdir()
    for camera in CAMERAS:
        (mot / f"{camera}.txt").write_text("1,1,0,0,9,9,1\n1,2,0,0,9,9,1\n2,3,0,0,9,9,1\n")
    out = tmp_path / "out"
    code, said, error = run(
        capsys, save(tmp_path), "--truth", "id", "--mot", str(mot), "--out", str(out), "--set", "best", "2"
    )
    assert (code, error) == (0, "")
    lines = said.splitlines()
    assert lines[0] == "12 tracks of 3 cameras, 24 images: 2 to 2 of a track, median 2"
    assert lines[1].startswith("margin, best 2: 4 identities with several tracks (4 of 3)")
    assert lines[2] == "By the column 'id': precision 100.0% of 12 pairs, recall 100.0% of 12 pairs, F1 100.0%"
    assert lines[-1] == (
        f"Written to {out}: identities.csv, links.csv, mot/gate.txt, mot/hall.txt, mot/yard.txt, page.html"
    )
    rows = [line.split(",")[:3] for line in (out / "identities.csv").read_text().splitlines()[1:]]
    identity = {(camera, track): number for camera, track, number in rows}
    assert identity["hall", "1"] == identity["yard", "2"] == identity["gate", "3"]
    assert (out / "mot" / "yard.txt").read_text().splitlines()[1] == f"1,{identity['yard', '2']},0,0,9,9,1"
    assert lines[1] in (out / "page.html").read_text()


def test_several_files_and_no_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One file per camera gives what one file of all gives; without labels nothing is said of precision."""
    whole = FeatureSet.load(save(tmp_path))
    files = []
    for camera in CAMERAS:
        rows = [row for row, name in enumerate(whole.columns["camera"]) if name == camera]
        files.append(str(whole.select(rows).save(tmp_path / camera)[0]))
    out = tmp_path / "out"
    code, said, _ = run(capsys, *files, "--out", str(out), "--no-page")
    assert code == 0 and "precision" not in said and said.endswith("identities.csv, links.csv\n")
    parts = (out / "identities.csv").read_text()
    assert run(capsys, str(tmp_path / "features"), "--out", str(out), "--no-page")[0] == 0
    assert (out / "identities.csv").read_text() == parts
    code, said, _ = run(capsys, str(tmp_path / "features"), "--out", str(out), "--association", "nearest_pairs")
    assert code == 0 and "nearest_pairs: 4 identities" in said
    assert "pictures of the page can't be read any more" in said  # there were none


def save_frames(root: Path) -> Path:
    """Three frames per camera, in which four people stand side by side, each in another place in each camera."""
    for place, camera in enumerate(CAMERAS):
        (root / camera).mkdir(parents=True)
        lines = []
        for frame in (1, 2, 3):
            shown = np.full((80, 200, 3), 90, np.uint8)
            for person in range(4):
                track = (person + place) % 4 + 1
                shown[8:72, 40 * track : 40 * track + 32] = picture(person)
                lines.append(f"{frame},{track},{40 * track},8,32,64,1")
            Image.fromarray(shown).save(root / camera / f"{frame:06d}.png")
        (root / f"{camera}.txt").write_text("\n".join(lines) + "\n")
    return root


def test_from_tracks_and_from_a_tree(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extract_command, "open_extractor", lambda *_, **__: Colours())
    root, out = save_frames(tmp_path / "videos"), tmp_path / "out"
    code, said, error = run(capsys, str(root), "--weights", "any", "--tracks", "--out", str(out))
    assert code == 0, error
    assert "12 tracks of 3 cameras, 36 images: 3 to 3 of a track, median 3" in said
    assert "margin: 4 identities with several tracks (4 of 3)" in said
    assert said.splitlines()[-1].startswith(f"Written to {out}: features.safetensors, identities.csv, links.csv, mot/")
    rows = [line.split(",")[:3] for line in (out / "identities.csv").read_text().splitlines()[1:]]
    identity = {(camera, track): number for camera, track, number in rows}
    assert identity["hall", "1"] == identity["yard", "2"] == identity["gate", "3"]  # person 0
    line = (out / "mot" / "gate.txt").read_text().splitlines()[0]
    assert line == f"1,{identity['gate', '3']},120,8,32,64,1"
    assert "<img" in (out / "page.html").read_text()
    again = tmp_path / "again"
    assert run(capsys, str(out / "features"), "--out", str(again), "--no-page")[0] == 0
    assert (again / "identities.csv").read_text() == (out / "identities.csv").read_text()

    for place, camera in enumerate(CAMERAS):
        for person in range(4):
            folder = tmp_path / "tree" / camera / str((person + place) % 4 + 1)
            folder.mkdir(parents=True)
            for image in (1, 2):
                Image.fromarray(picture(person)).save(folder / f"{image}.png")
    tree = [str(tmp_path / "tree"), "--weights", "any", "--pattern", "tree", "--out", str(again), "--no-page"]
    code, said, error = run(capsys, *tree)
    assert code == 0, error
    kept = [line.split(",")[:3] for line in (again / "identities.csv").read_text().splitlines()]
    assert kept == [line.split(",")[:3] for line in (out / "identities.csv").read_text().splitlines()]


def test_wrong_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "out")]
    for words, message in (
        ([str(tmp_path)], f"{tmp_path}: images need weights to get features by; name them with --weights FILE."),
        ([save(tmp_path), "--pattern", "tree"], "--pattern: images need weights"),
        (["a", "b", "--weights", "w"], "--weights: name one folder of images"),
        ([str(tmp_path / "no"), "--weights", "w"], f"{tmp_path / 'no'} is no folder; name the one with the images."),
        ([str(tmp_path), "--weights", "w", "--tracks"], f"{tmp_path} holds no tracks"),
    ):
        code, _, error = run(capsys, *words, *out)
        assert code == 2 and error.startswith(f"error: {message}"), error


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--association", "margn"], "--association: 'margn' is not available. Did you mean 'margin'?"),
        (["--set", "bets", "4"], "option of association 'margin': 'bets' is not available. Did you mean 'best'?"),
        (["--set", "best", "four"], "--set best: 'four' is not of the type int"),
        (["--set", "best", "1"], "best: 1 is out of range"),
        (["--whitening", "-1"], "whitening: -1.0 is out of range"),
        (["--groups", "-1"], "--groups: -1 can't be shown; expected is a number from 0"),
        (["--links", "-1"], "--links: -1 can't be shown; expected is a number from 0"),
        (["--track", "tracks"], "the features have no column 'tracks', only path, camera, id, track"),
        (["--truth", "person"], "--truth: the column: 'person' is not available"),
        (["--truth", "path"], "--truth: the track '1' in 'gate' is "),
        (["--mot", "nowhere"], "nowhere is no folder; name the one with the cameras' MOT files"),
    ],
)
def test_wrong_arguments(words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, error = run(capsys, save(tmp_path), "--out", str(tmp_path / "out"), *words)
    assert code == 2 and error.startswith(f"error: {message}") and error.count("\n") == 1


def test_wrong_features(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "out")]
    whole = save(tmp_path)
    other = save(tmp_path, "other", weights="cd" * 32)
    code, _, error = run(capsys, whole, other, *out)
    assert code == 2 and "are of other weights" in error and other in error
    code, _, error = run(capsys, whole, str(tmp_path / "features"), *out)
    assert code == 2 and "features is named twice; its images would count twice. Name each file once" in error
    code, _, error = run(capsys, save(tmp_path, "one", camera=["hall"] * 24), *out)
    assert code == 2 and error.startswith("error: all 24 images are of the camera 'hall'; nobody can be found again")
    code, _, error = run(capsys, str(tmp_path / "nothing"), *out)
    assert code == 2 and "nothing.safetensors is missing" in error
    code, said, _ = run(capsys, whole, "--track", "path", *out, "--no-page")
    assert code == 0 and "note: every track has one image" in said
