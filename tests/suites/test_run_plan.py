"""Plans: which runs there are, in which order, in which folders, and which branches are allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ccafl_plugin.config import load_config
from ccafl_plugin.config.shipped_files import configs_folder
from ccafl_plugin.config.tree import default_config
from ccafl_plugin.suites.branching import difference_before
from ccafl_plugin.suites.run_plan import make_plan
from ccafl_plugin.suites.suite_file import load_suite
from ccafl_plugin.utils.errors import CCAFLError
from tests.suites.small_suites import NO_ICAL, planned, write_suite

TRUNK = {"name": "Trunk", "overrides": NO_ICAL}


def test_order_folders_and_kept_epochs(tmp_path: Path) -> None:
    _, plan = planned(
        tmp_path,
        seeds=[1, 2],
        trunks=[TRUNK, {"name": "Unused", "overrides": {"train.lr": 0.5}}],
        rows=[
            {"name": "All (of it)", "branch": {"from": "No ICAL", "epoch": 2}},
            {
                "name": "No ICAL",
                "overrides": {**NO_ICAL, "train.max_epoch": 4},
                "branch": {"from": "Trunk", "epoch": 1},
            },
        ],
    )
    names = [(run.row, run.seed) for run in plan.runs]
    assert names == [(row, seed) for seed in (1, 2) for row in ("Trunk", "No ICAL", "All (of it)")]
    trunk, less, whole = plan.runs[:3]
    assert (whole.source, whole.branch_epoch, whole.epochs) == (less, 2, 1)
    assert (less.source, less.branch_epoch, less.epochs) == (trunk, 1, 3)
    assert (trunk.kept_epochs, less.kept_epochs, whole.kept_epochs) == ({1}, {2}, set())
    assert whole.folder == tmp_path / "out" / "all-of-it" / "seed-1"
    assert whole.name == "All (of it), seed 1"


def test_equal_settings_are_run_once(tmp_path: Path) -> None:
    _, plan = planned(
        tmp_path,
        rows=[{"name": "a"}, {"name": "b", "overrides": {"train.print_freq": 9}}],
        axes=[{"name": "m", "key": "ccafl.terms.ical.margin", "values": [0.3, 0.7]}],
    )
    assert [run.row for run in plan.runs] == ["a", "m = 0.3"]
    assert plan.run_of["b", "", 1] is plan.run_of["m = 0.7", "", 1] is plan.runs[0]


def test_datasets_have_folders_of_their_own(tmp_path: Path) -> None:
    _, plan = planned(tmp_path, datasets=["market1501", "dukemtmcreid"], rows=[{"name": "a"}])
    assert [run.folder.relative_to(tmp_path / "out") for run in plan.runs] == [
        Path("a/market1501/seed-1"),
        Path("a/dukemtmcreid/seed-1"),
    ]
    assert [run.config.data.targets for run in plan.runs] == [["market1501"], ["dukemtmcreid"]]


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        ({"rows": [{"name": "a", "overrides": {"train.lrr": 1}}]}, "suite: row 'a': config key: 'train.lrr' is not"),
        ({"rows": [{"name": "A b"}, {"name": "a-B", "overrides": {"train.lr": 0.1}}]}, "gets the folder 'a-b'"),
        (
            {
                "rows": [
                    {"name": "a", "branch": {"from": "b", "epoch": 1}},
                    {"name": "b", "branch": {"from": "a", "epoch": 1}},
                ]
            },
            "the rows a -> b -> a branch from each other",
        ),
        (
            {"trunks": [TRUNK], "rows": [{"name": "a", "branch": {"from": "Trunk", "epoch": 4}}]},
            "row 'a': branch.epoch 4 is larger than the number of epochs of 'a', 3",
        ),
        (
            {"trunks": [TRUNK], "rows": [{"name": "a", "branch": {"from": "Trunk", "epoch": 3}}]},
            "row 'a' cannot branch from 'Trunk' at epoch 3: the setting ccafl.terms.ical.enabled makes",
        ),
        (
            {
                "trunks": [{"name": "t", "overrides": {"loss.name": "triplet"}}],
                "rows": [{"name": "a", "branch": {"from": "t", "epoch": 1}}],
            },
            "row 'a': 't' cannot branch, because its loss.name is not ccafl",
        ),
    ],
)
def test_mistakes(tmp_path: Path, content: dict[str, Any], fragment: str) -> None:
    with pytest.raises(CCAFLError) as caught:
        planned(tmp_path, **content)
    assert fragment in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "first_different_epoch"),
    [
        ("train.lr", 0.1, 0),
        ("ccafl.stage1.epochs", 2, 0),
        ("train.stepsize", [3], 0),
        ("ccafl.terms.icdl.margin", 0.1, 1),
        ("ccafl.terms.icdl.enabled", False, 1),
        ("ccafl.terms.icdl.last_epoch", 1, 2),
        ("ccafl.terms.inter.margin", 0.1, 2),
        ("ccafl.terms.inter.first_epoch", 2, 2),
        ("ccafl.supervision", "full", 2),
        ("ccafl.association.keep_unassociated", True, 2),
        ("ccafl.association.nearest_pairs.rate", 1.0, 2),
        ("ccafl.terms.ical.margin", 0.1, 3),
        ("ccafl.terms.ical.enabled", False, 3),
        ("ccafl.terms.softmax.enabled", True, 0),  # the model gets a classifier
        ("test.batch_size", 7, 0),
        ("train.max_epoch", 30, None),
        ("test.rerank", True, None),
        ("data.save_dir", "elsewhere", None),
        ("ccafl.keep_epochs", [1], None),
        ("ccafl.terms.softmax.weight", 2.0, None),
    ],
)
def test_from_which_epoch_on_a_setting_matters(
    tmp_path: Path, key: str, value: Any, first_different_epoch: int | None
) -> None:
    write_suite(tmp_path)
    base = load_config(tmp_path / "base.yaml")
    other = default_config()
    other.merge_from_other_cfg(base)
    node = other
    *parents, leaf = key.split(".")
    for name in parents:
        node = node[name]
    node[leaf] = value
    for row, source in ((base, other), (other, base)):
        found = [difference_before(row, source, epoch) for epoch in range(5)]
        expected = 5 if first_different_epoch is None else first_different_epoch
        assert [bool(difference) for difference in found] == [epoch >= expected for epoch in range(5)]
        parent, _, name = key.rpartition(".")
        assert set(found) - {""} <= {key, f"{parent}.first_epoch", parent if name == "rate" else key}


def test_a_source_may_train_a_classifier_that_the_row_does_without(tmp_path: Path) -> None:
    write_suite(tmp_path)
    base = load_config(tmp_path / "base.yaml", ["ccafl.terms.ical.enabled", "False"])
    without = load_config(
        tmp_path / "base.yaml",
        ["ccafl.terms.ical.enabled", "False", "ccafl.terms.proxy_classifier.enabled", "False"],
    )
    assert difference_before(without, base, 3) == ""
    assert difference_before(base, without, 3) == "ccafl.terms.proxy_classifier.enabled"


def test_torchreids_losses_read_classes_of_the_supervision(tmp_path: Path) -> None:
    write_suite(tmp_path)
    triplet = ["ccafl.terms.triplet.enabled", "True"]
    full, own = (
        load_config(tmp_path / "base.yaml", [*triplet, *extra]) for extra in (["ccafl.supervision", "full"], [])
    )
    assert difference_before(full, own, 0) == ""
    assert difference_before(full, own, 1) == "ccafl.supervision"


def test_models_with_a_classifier_depend_on_the_supervision(tmp_path: Path) -> None:
    write_suite(tmp_path)
    no_text = ["ccafl.terms.alignment.enabled", "False", "ccafl.terms.icdl.weight_alignment", "0"]
    for settings in (["ccafl.terms.softmax.enabled", "True"], ["model.name", "osnet_x0_25", *no_text]):
        full, own = (
            load_config(tmp_path / "base.yaml", [*settings, "ccafl.supervision", name])
            for name in ("full", "intra_camera")
        )
        assert difference_before(full, own, 0) == "ccafl.supervision"


def test_a_source_without_stage_1_has_no_prompts_for_the_row(tmp_path: Path) -> None:
    write_suite(tmp_path)
    no_text = ["ccafl.terms.icdl.weight_alignment", "0", "ccafl.terms.alignment.first_epoch", "3"]
    row, without, shorter = (
        load_config(tmp_path / "base.yaml", [*no_text, *more])
        for more in (
            ["train.max_epoch", "5"],
            ["train.max_epoch", "5", "ccafl.terms.alignment.enabled", "False"],
            ["train.max_epoch", "3"],
        )
    )
    assert difference_before(row, row, 2) == ""
    assert difference_before(row, without, 2) == "ccafl.terms.alignment.enabled"
    assert difference_before(without, row, 2) == ""
    assert difference_before(row, shorter, 2) == "train.max_epoch"
    assert difference_before(row, without, 0) == ""  # the row has its own stage 1 then


def test_the_cosine_schedule_depends_on_the_number_of_epochs(tmp_path: Path) -> None:
    write_suite(tmp_path)
    cosine = ["train.lr_scheduler", "cosine"]
    short, long = (load_config(tmp_path / "base.yaml", [*cosine, "train.max_epoch", n]) for n in ("3", "9"))
    assert difference_before(short, long, 0) == "train.max_epoch"


def shipped_suites() -> list[Path]:
    return [file for file in sorted((configs_folder() / "suites").glob("*.yaml")) if file.stem != "published"]


@pytest.mark.parametrize("file", shipped_suites(), ids=lambda file: file.stem)
def test_shipped_suites_can_be_planned(file: Path, tmp_path: Path) -> None:
    suite = load_suite(file)
    plan = make_plan(suite, tmp_path, check_files=False)  # weights of others are not here
    assert {key[0] for key in plan.run_of} >= {row.name for row in suite.shown if not row.is_published}
