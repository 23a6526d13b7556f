"""The shipped configurations: every value of the paper's, and a shortened epoch of each dataset's."""

from __future__ import annotations

from pathlib import Path

import pytest

from ccafl_plugin.config import load_config
from ccafl_plugin.config.shipped_files import configs_folder
from ccafl_plugin.runs.results import leaves
from ccafl_plugin.runs.train_command import main
from tests.layouts import write_dukemtmcreid, write_market1501, write_msmt17

CONFIGS = sorted(
    str(path.relative_to(configs_folder()))
    for path in configs_folder().rglob("*.yaml")
    if path.parent.name not in ("base", "suites")
)

# What the three datasets share: paper, Sec. IV-B, and the values that its authors train with.
SHARED = {
    "use_gpu": True,
    "model.name": "clip_rn50",
    "model.pretrained": True,
    "data.height": 256,
    "data.width": 128,
    "data.transforms": ["bicubic_resize", "random_flip", "pad_crop", "random_erase"],
    "data.norm_mean": [0.485, 0.456, 0.406],
    "data.norm_std": [0.229, 0.224, 0.225],
    "data.combineall": False,
    "sampler.train_sampler": "ProxySampler",
    "sampler.num_instances": 8,
    "train.optim": "adam",
    "train.lr": 3.5e-4,
    "train.weight_decay": 5e-4,
    "adam.beta1": 0.9,
    "adam.beta2": 0.999,
    "train.lr_scheduler": "warmup_multi_step",
    "train.stepsize": [40, 50],
    "train.gamma": 0.1,
    "train.staged_lr": False,
    "train.fixbase_epoch": 0,
    "loss.name": "ccafl",
    "test.dist_metric": "cosine",
    "test.eval_freq": -1,
    "test.rerank": False,
    "ccafl.supervision": "intra_camera",
    "ccafl.robust_labels": False,
    "ccafl.prompt_length": 4,
    "ccafl.crop_padding": 10,
    "ccafl.iters_per_epoch": 200,
    "ccafl.bias_lr_factor": 2.0,
    "ccafl.warmup_epochs": 10,
    "ccafl.warmup_factor": 0.01,
    "ccafl.amp": True,
    "ccafl.stage1.epochs": 60,
    "ccafl.stage1.batch_size": 64,
    "ccafl.stage1.lr": 3.5e-4,
    "ccafl.stage1.weight_decay": 1e-4,
    "ccafl.stage1.warmup_epochs": 5,
    "ccafl.stage1.warmup_lr": 1e-5,
    "ccafl.stage1.final_lr": 1e-6,
    "ccafl.stage1.scope": "camera",
    "ccafl.association.name": "nearest_pairs",
    "ccafl.association.keep_unassociated": False,
    "ccafl.terms.proxy_classifier.enabled": True,
    "ccafl.terms.proxy_classifier.weight": 1.0,
    "ccafl.terms.proxy_classifier.first_epoch": 0,
    "ccafl.terms.proxy_classifier.last_epoch": -1,
    "ccafl.terms.proxy_classifier.lr": 3.5e-4,
    "ccafl.terms.proxy_classifier.weight_decay": 5e-4,
    "ccafl.terms.proxy_classifier.scale": 16.0,
    "ccafl.terms.proxy_classifier.follow_encoder": 0.0,
    "ccafl.terms.icdl.enabled": True,
    "ccafl.terms.icdl.weight": 1.0,
    "ccafl.terms.icdl.first_epoch": 0,
    "ccafl.terms.icdl.last_epoch": 4,
    "ccafl.terms.icdl.temperature": 0.05,
    "ccafl.terms.icdl.margin": 0.3,
    "ccafl.terms.icdl.smoothing": 0.1,
    "ccafl.terms.icdl.instances": 32,
    "ccafl.terms.icdl.momentum": 0.1,
    "ccafl.terms.icdl.weight_centroid": 1.0,
    "ccafl.terms.icdl.weight_instance": 1.0,
    "ccafl.terms.icdl.weight_centroid_triplet": 1.0,
    "ccafl.terms.icdl.weight_batch_triplet": 1.0,
    "ccafl.terms.icdl.weight_alignment": 1.0,
    "ccafl.terms.icdl.reduction": "sum",
    "ccafl.terms.inter.enabled": True,
    "ccafl.terms.inter.weight": 1.0,
    "ccafl.terms.inter.first_epoch": 5,
    "ccafl.terms.inter.last_epoch": -1,
    "ccafl.terms.inter.temperature": 0.05,
    "ccafl.terms.inter.momentum": 0.1,
    "ccafl.terms.inter.margin": 0.3,
    "ccafl.terms.inter.weight_contrast": 1.0,
    "ccafl.terms.inter.weight_triplet": 1.0,
    "ccafl.terms.alignment.enabled": True,
    "ccafl.terms.alignment.weight": 1.0,
    "ccafl.terms.alignment.last_epoch": -1,
    "ccafl.terms.alignment.smoothing": 0.1,
    "ccafl.terms.ical.enabled": True,
    "ccafl.terms.ical.weight": 1.0,
    "ccafl.terms.ical.first_epoch": 40,
    "ccafl.terms.ical.last_epoch": -1,
    "ccafl.terms.ical.scale": 16.0,
    "ccafl.terms.ical.hardness": 0.2,
    "ccafl.terms.ical.smoothing": 0.8,
    "ccafl.terms.softmax.enabled": False,
    "ccafl.terms.triplet.enabled": False,
}

OWN = {
    "market1501": {
        "data.sources": ["market1501"],
        "data.targets": ["market1501"],
        "train.batch_size": 128,
        "train.max_epoch": 50,
        "ccafl.association.nearest_pairs.rate": 1.7,
        "ccafl.terms.icdl.weight_lambda": 0.6,
        "ccafl.terms.alignment.first_epoch": 10,
        "ccafl.terms.ical.margin": 0.7,
    },
    "dukemtmcreid": {
        "data.sources": ["dukemtmcreid"],
        "data.targets": ["dukemtmcreid"],
        "train.batch_size": 128,
        "train.max_epoch": 60,
        "ccafl.association.nearest_pairs.rate": 1.5,
        "ccafl.terms.icdl.weight_lambda": 0.6,
        "ccafl.terms.alignment.first_epoch": 40,
        "ccafl.terms.ical.margin": 0.3,
    },
    "msmt17": {
        "data.sources": ["msmt17_trainval"],
        "data.targets": ["msmt17_trainval"],
        "train.batch_size": 256,
        "train.max_epoch": 60,
        "ccafl.association.nearest_pairs.rate": 1.3,
        "ccafl.terms.icdl.weight_lambda": 0.0,
        "ccafl.terms.alignment.first_epoch": 40,
        "ccafl.terms.ical.margin": 0.5,
    },
}


def value_of(config: object, key: str) -> object:
    for name in key.split("."):
        config = config[name]
    return config


@pytest.mark.parametrize("dataset", OWN)
def test_values_of_the_paper(dataset: str) -> None:
    config = load_config(configs_folder() / dataset / "ccafl_rn50.yaml")
    expected = {**SHARED, **OWN[dataset]}
    assert {key: value_of(config, key) for key in expected} == expected
    pinned = {key.removeprefix("ccafl.terms.") for key in expected if key.startswith("ccafl.terms.")}
    for term, node in config.ccafl.terms.items():
        if node.enabled:
            assert {f"{term}.{key}" for key in node} <= pinned


@pytest.mark.parametrize("dataset", OWN)
def test_values_of_the_vit(dataset: str) -> None:
    rn50 = load_config(configs_folder() / dataset / "ccafl_rn50.yaml")
    vit = load_config(configs_folder() / dataset / "ccafl_vit_b16.yaml")
    assert (vit.model.name, vit.train.lr, vit.train.stepsize) == ("clip_vit_b16", 5e-6, [30, 50])
    assert vit.train.lr * vit.ccafl.warmup_factor == pytest.approx(5e-7)
    assert (vit.ccafl.warmup_epochs, vit.train.max_epoch, vit.ccafl.freeze_patch_projection) == (10, 60, True)
    assert vit.ccafl.terms == rn50.ccafl.terms
    assert vit.ccafl.association == rn50.ccafl.association


MARGIN = sorted(name for name in CONFIGS if "ccafl_margin" in name and not name.startswith("own/"))


def test_every_configuration_of_the_paper_has_ours_beside_it() -> None:
    papers = {
        name
        for name in CONFIGS
        if Path(name).name.startswith("ccafl_") and name not in MARGIN and not name.startswith("own/")
    }
    assert {name.replace("ccafl_margin", "ccafl") for name in MARGIN} == papers


@pytest.mark.parametrize("name", MARGIN)
def test_what_our_recipe_changes(name: str) -> None:
    ours = dict(leaves(load_config(configs_folder() / name)))
    papers = dict(leaves(load_config(configs_folder() / name.replace("ccafl_margin", "ccafl"))))
    ignored = ("data.save_dir", "ccafl.published_settings")
    first_association = ours["ccafl.terms.inter.first_epoch"]
    assert {key: value for key, value in ours.items() if value != papers[key] and key not in ignored} == {
        "ccafl.association.name": "margin",
        "ccafl.association.keep_unassociated": True,
        "ccafl.terms.icdl.last_epoch": -1,
        "ccafl.terms.icdl.reduction": "mean_over_cameras",
        "ccafl.terms.ical.first_epoch": first_association,
        "ccafl.terms.proxy_classifier.follow_encoder": 1.0,
    }
    assert ours["ccafl.published_settings"] == ""  # nobody has published it
    if not name.startswith("synthetic"):
        assert "Measured so far with small encoders only" in (configs_folder() / name).read_text()


def test_every_shipped_file_loads_and_has_a_folder_of_its_own() -> None:
    folder_of = {name: load_config(configs_folder() / name).data.save_dir for name in CONFIGS}
    assert len(set(folder_of.values())) == len(CONFIGS)


WRITERS = {"market1501": write_market1501, "dukemtmcreid": write_dukemtmcreid, "msmt17": write_msmt17}


@pytest.mark.parametrize("dataset", OWN)
def test_a_shortened_epoch(dataset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every term in one iteration of 2 x 2 images, on that dataset's layout and file names; once with RN50 in full."""
    # RN50 takes 12 s, and it is the same for the three datasets.
    small = [] if dataset == "market1501" else ["model.name", "clip_tiny", "data.height", "96", "data.width", "48"]
    written = WRITERS[dataset](tmp_path / "data", identities=3, cameras=2, images=2, test_identities=2)
    windows = [
        item
        for term in ("inter", "alignment", "ical")
        for item in (f"ccafl.terms.{term}.first_epoch", "0")
    ]  # fmt: skip
    code = main(
        [
            *["--config-file", f"configs/{dataset}/ccafl_rn50.yaml", "--root", str(tmp_path / "data")],
            *["data.save_dir", str(tmp_path / "log"), "data.workers", "0", "model.pretrained", "False"],
            *["train.batch_size", "4", "sampler.num_instances", "2", "train.max_epoch", "1", "train.print_freq", "1"],
            *["ccafl.iters_per_epoch", "1", "ccafl.stage1.epochs", "1", *windows, *small],
        ]
    )
    printed = capsys.readouterr()
    assert code == 0, printed.err
    assert f"train    |     3 | {written.train:8d} |         2" in printed.out
    assert f"Done, obtained {written.query}-by-{512 if small else 2048} matrix" in printed.out
    assert "mAP: " in printed.out
    assert (tmp_path / "log" / "checkpoint-1.json").exists()
