"""Rendered people under foreign names train the model that Market-1501's layout gives, to the last bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ccafl_plugin.options import options
from ccafl_plugin.own_settings import CropRules, OwnData
from tests.data import own_layouts
from tests.engine.small_runs import assert_equal, make_engine, make_manager, make_terms, weights

EVERY_BOX = CropRules(most=0, blur=0.0)
WINDOWS = {"proxy_classifier": (0, -1), "icdl": (0, -1), "inter": (0, -1), "alignment": (0, -1), "ical": (1, -1)}

WAYS: dict[str, tuple[str, Callable[[Path, Path], Path], OwnData]] = {
    "pattern": ("folder", own_layouts.write_flat, OwnData("per_camera", pattern=own_layouts.PATTERN)),
    "tree": ("folder", own_layouts.write_tree, OwnData("per_camera")),
    "table": ("folder", own_layouts.write_table, OwnData("per_camera", table="people.csv")),
    "tracks": ("tracks", own_layouts.write_tracks, OwnData("per_camera", crops=EVERY_BOX)),
}


def trained(root: Path, folder: Path, name: str, own: OwnData) -> dict[str, torch.Tensor]:
    with options.override(own_data=own):
        manager = make_manager(root, sources=name, batch_size_test=100)
    engine = make_engine(
        root,
        manager,
        terms=make_terms(WINDOWS),
        association="margin",
        keep_unassociated=True,
        ids=own.ids,
    )
    engine.run(save_dir=str(folder), max_epoch=2, dist_metric="cosine", print_freq=1000)
    return weights(engine)


@pytest.fixture(scope="module")
def expected(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    folder = tmp_path_factory.mktemp("market")
    return trained(own_layouts.write_market(rendered, folder / "root"), folder / "log", "market1501", OwnData())


@pytest.mark.parametrize("way", WAYS)
def test_equal_to_markets_layout(
    way: str, rendered: Path, expected: dict[str, torch.Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, write, own = WAYS[way]
    found = trained(write(rendered, tmp_path / "root"), tmp_path / "log", name, own)
    assert_equal(expected, found)
    printed = capsys.readouterr().out
    assert "# proxies" in printed
    assert "No evaluation on" in printed
    assert "precision" not in printed
    assert "mAP" not in printed
    assert (tmp_path / "log" / "checkpoint-2.json").is_file()
