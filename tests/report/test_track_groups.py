"""Groups and links of ``associate.py``."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from ccafl_plugin.features.feature_set import FeatureSet
from ccafl_plugin.features.identities import identify
from ccafl_plugin.features.identity_files import write_tables
from ccafl_plugin.report import track_groups
from ccafl_plugin.report.page_blocks import Custom, Drawing, Panel
from ccafl_plugin.report.pictures import Pictures
from ccafl_plugin.report.recorded_run import RecordedRun
from ccafl_plugin.report.track_groups import add_groups, folders_with_identities
from ccafl_plugin.utils.errors import CCAFLError
from tests.data.own_pictures import write
from tests.features.test_identities import people


@pytest.fixture(scope="module")
def identities(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as ``associate.py --weights`` leaves it: tables, features, and pictures somewhere."""
    folder = tmp_path_factory.mktemp("run") / "identities"
    found = identify(people())
    write_tables(folder, found)
    root = write(folder.parent / "pictures", *(f"{n}.png" for n in range(2 * len(found.tracks))))
    columns = {
        "path": [str(root / f"{n}.png") for n in range(2 * len(found.tracks))],
        "camera": [camera for camera in found.tracks.cameras for _ in range(2)],
        "track": [name for name in found.tracks.names for _ in range(2)],
    }
    FeatureSet(torch.ones(len(columns["path"]), 2), columns, "").save(folder / track_groups.FEATURES)
    return folder


def test_they_are_found_in_the_run_or_where_they_are(identities: Path, tmp_path: Path) -> None:
    assert folders_with_identities(RecordedRun(identities.parent, "run")) == [identities]
    assert folders_with_identities(RecordedRun(tmp_path, "run")) == []
    assert folders_with_identities(RecordedRun(tmp_path, "run"), str(identities)) == [identities]
    with pytest.raises(CCAFLError, match=r"has no identities\.csv and links\.csv, which associate.py writes"):
        folders_with_identities(RecordedRun(tmp_path, "run"), str(tmp_path))


def shown(folder: Path) -> tuple[Panel, list[Custom]]:
    panel = Panel("run")
    add_groups(panel, folder, Pictures())
    return panel, [block for block in panel.blocks if isinstance(block, Custom)]


def test_groups_and_the_least_certain_links(identities: Path) -> None:
    panel, (links, groups) = shown(identities)
    assert panel.missing == []
    alts = [block.alt for block in panel.blocks if isinstance(block, Drawing)]
    assert alts == ["Identities by size: 1 of 1, 5 of 3", "Confidence of 10 links, 0 of them below 0"]
    confidences = [float(row["title"].removeprefix("confidence ")) for row in links.content["rows"]]
    assert confidences == sorted(confidences) and len(confidences) == 10
    for row in links.content["rows"]:
        assert [len(track["pictures"]) for track in row["tracks"]] == [2, 2]
        assert all(picture["uri"] for track in row["tracks"] for picture in track["pictures"])
        first, second = (track["said"].split(": ") for track in row["tracks"])
        assert first[1] == second[1] and first[0] != second[0]
    assert [row["title"].partition(",")[0] for row in groups.content["rows"]] == ["3 tracks"] * 5
    weakest = [float(row["title"].rpartition(" ")[2]) for row in groups.content["rows"]]
    assert weakest == sorted(weakest)


def test_without_features_there_are_names_alone(identities: Path, tmp_path: Path) -> None:
    for name in track_groups.NEEDED:
        shutil.copy(identities / name, tmp_path / name)
    panel, (links, _) = shown(tmp_path)
    assert panel.missing == [
        "Tracks are shown without pictures: features.safetensors is not beside the tables; associate.py --weights "
        "writes it."
    ]
    assert links.content["rows"][0]["tracks"][0]["pictures"] == []


@pytest.mark.parametrize(
    ("content", "message"), [("camera;track\n", "has no column 'camera'"), ("\xff\xfe\x00", "column")]
)
def test_tables_of_another_program(identities: Path, tmp_path: Path, content: str, message: str) -> None:
    shutil.copy(identities / "links.csv", tmp_path / "links.csv")
    (tmp_path / "identities.csv").write_text(content)
    with pytest.raises(CCAFLError, match=message):
        shown(tmp_path)
