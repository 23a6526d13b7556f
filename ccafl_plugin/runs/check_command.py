"""The command that looks at a dataset before it is trained on, for ``tools/check_data.py``."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import torch
import torchreid
from tabulate import tabulate
from torch import Tensor
from torch.utils.data import DataLoader
from yacs.config import CfgNode

from ccafl_plugin.config import arguments
from ccafl_plugin.data import data_check
from ccafl_plugin.data.data_check import DataSet, Finding
from ccafl_plugin.data.image_reading import start_worker
from ccafl_plugin.data.label_doubts import Doubt, centred, doubled_ids, mixed_ids
from ccafl_plugin.data.picture_facts import picture_facts
from ccafl_plugin.data.picture_page import write_page
from ccafl_plugin.engine.extraction import extract, unit_features
from ccafl_plugin.integration.torchreid_layout import attribute
from ccafl_plugin.models.trained_weights import load_weights
from ccafl_plugin.options import options
from ccafl_plugin.runs import train_command
from ccafl_plugin.runs.dataset_door import named_datasets
from ccafl_plugin.utils.errors import CCAFLError

MOST_DOUBTS = 20
"""Doubts of a kind that the page shows."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        argv: arguments; None: those of the process.

    Returns:
        0; 1 if something was found at which training stops; 2 for wrong arguments or data that can't be read at all.
    """
    given = parser().parse_args(argv)
    try:
        config, _ = train_command.load(given, fit=False)
        findings = check(config, Path(given.out), given.features)
    except CCAFLError as error:
        return train_command.fail(error, 2, given.debug)
    return int(any(finding.is_fatal for finding in findings))


def parser() -> argparse.ArgumentParser:
    """The arguments of ``ccafl-train``, and where the page goes."""
    made = train_command.parser()
    made.prog, made.description = "check_data.py", "Look at a dataset before training on it."
    made.add_argument("--out", default="data-check", metavar="FOLDER", help="of the page (default: %(default)s)")
    made.add_argument(
        "--no-features",
        dest="features",
        action="store_false",
        help="skip what needs the model: people labelled twice and labels that hold two",
    )
    return made


def check(config: CfgNode, out: Path, features: bool = True) -> list[Finding]:
    """Prints what was found and writes the page of pictures.

    Args:
        config: a checked configuration.
        out: folder of the page.
        features: whether the model is asked about labels.

    Raises:
        CCAFLError: data that can't be read at all.
    """
    findings: list[Finding] = []
    for place, name in enumerate(config.data.sources):
        with named_datasets():
            dataset = torchreid.data.datasets.init_image_dataset(
                name, root=config.data.root, mode="train", split_id=config.data.split_id
            )
        folder = out if len(config.data.sources) == 1 else out / f"{place + 1}-{name}"
        findings += _check_one(config, dataset, folder, features)
    return findings


def _check_one(config: CfgNode, dataset: object, folder: Path, features: bool) -> list[Finding]:
    data = DataSet.of(dataset, config.ccafl.data.ids == "across_cameras")
    headers = ["camera", "images", "proxies", "smallest", "median", "largest"]
    table = tabulate(data_check.camera_table(data), headers=headers, tablefmt="simple", floatfmt="g")
    lines = [table, *data_check.extreme_proxies(data), f"files: {data_check.endings(data)}"]
    paths = sorted({path for part in (data.train, data.query, data.gallery) for path, *_ in part})
    facts = dict(zip(paths, picture_facts(paths, os.cpu_count() or 1), strict=True))
    findings = data_check.label_findings(data)
    of_pictures, pairs = data_check.picture_findings(data, facts, config.data.height, config.data.width)
    findings += of_pictures
    doubts: list[tuple[str, Sequence[str]]] = [("nearly the same picture", pair) for pair in pairs[:MOST_DOUBTS]]
    if features:
        if any(fact.problem for fact in facts.values()):
            lines.append("Labels are not held against features: some images can't be read")
        else:
            doubled, mixed, line = _ask_model(config, data)
            findings += data_check.doubt_findings(data, doubled, mixed)
            lines += [line] if line else []
            doubts += _shown(data, doubled, "may be one person") + _shown(data, mixed, "may be two people")
    lines += [str(finding) for finding in findings] or ["Nothing was found that will go wrong."]
    for line in lines:
        print(line)
    print(f"Pictures: {write_page(folder, data, lines, doubts)}")
    return findings


def _shown(data: DataSet, doubts: Sequence[Doubt], words: str) -> list[tuple[str, Sequence[str]]]:
    return [
        (
            f"{words}: {' and '.join(data.proxy(proxy) for proxy in doubt.proxies)}",
            [data.train[image][0] for image in doubt.images],
        )
        for doubt in doubts[:MOST_DOUBTS]
    ]


def _ask_model(config: CfgNode, data: DataSet) -> tuple[list[Doubt], list[Doubt], str]:
    """Doubts by the features of the configuration's model, and a line if its weights could not be loaded."""
    try:
        features = _features(config, data)
    except (CCAFLError, OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        failure = f"could not load the weights of {config.model.name} ({reason})"
        return [], [], f"Labels were not compared with features: {failure}"
    features = centred(features, data.labels)
    return doubled_ids(features, data.labels), mixed_ids(features, data.labels), ""


def _features(config: CfgNode, data: DataSet) -> Tensor:
    """(M, D) float32 of the training images, in the order of their list."""
    options.update(**arguments.option_values(config))
    device = torch.device("cuda" if config.use_gpu and torch.cuda.is_available() else "cpu")
    model = torchreid.models.build_model(config.model.name, 1, loss="triplet", pretrained=config.model.pretrained)
    if config.model.load_weights:
        load_weights(model, config.model.load_weights)
    _, transform = attribute("data.transforms", "build_transforms")(
        config.data.height,
        config.data.width,
        transforms=list(config.data.transforms),
        norm_mean=list(config.data.norm_mean),
        norm_std=list(config.data.norm_std),
    )
    images = torchreid.data.ImageDataset(
        data.train, data.train, data.train, transform=transform, mode="query", verbose=False
    )
    loader = DataLoader(
        images, batch_size=config.test.batch_size, num_workers=config.data.workers, worker_init_fn=start_worker
    )
    model = model.to(device).eval()
    return extract(loader, unit_features(model), device).cpu()
