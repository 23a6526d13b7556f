"""Scores of a trained model on labelled pairs of images (``ccafl.data.pairs``), at the end of a run or in a test."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import nn
from yacs.config import CfgNode

from ccafl_plugin.data.loaders import loader_of_images
from ccafl_plugin.data.own_pairs import LabelledPairs, read_pairs
from ccafl_plugin.engine.extraction import extract, unit_features
from ccafl_plugin.metrics.verification import accept_rates, pair_auc


def pairs_of(config: CfgNode) -> LabelledPairs | None:
    """The pairs that ``ccafl.data.pairs`` names; None if it names none.

    Raises:
        CCAFLError: what is wrong with the file, in one line.
    """
    name = config.ccafl.data.pairs
    return read_pairs(name, Path(config.data.root).expanduser().absolute()) if name else None


@torch.no_grad()
def evaluate_pairs(model: nn.Module, datamanager: Any, pairs: LabelledPairs) -> dict[str, Any]:
    """Compares the two images of each pair by the cosine of the model's features.

    Args:
        model: returns (B, D) features in eval mode, in which it is left.
        datamanager: torchreid's ``ImageDataManager``; it has the test transform.
        pairs: labelled pairs.

    Returns:
        ``auc`` (share), ``accept_rates`` (a list with ``false_accept_rate``, ``accept_rate``, ``threshold``), and the
        numbers of pairs and images: ``same``, ``different``, ``images``, ``trained_on`` (images that are also in the
        training list).
    """
    loader = loader_of_images(datamanager, pairs.images, batch_size=100)
    device = next(model.parameters()).device
    features = extract(loader, unit_features(model.eval()), device).cpu()
    first, second = features[pairs.places].unbind(dim=1)
    similarities = (first.double() * second.double()).sum(dim=1)
    same, different = similarities[pairs.same], similarities[~pairs.same]
    trained = {os.path.normpath(path) for path, *_ in datamanager.train_loader.dataset.train}
    return {
        "auc": pair_auc(same, different),
        "accept_rates": [vars(rate) for rate in accept_rates(same, different)],
        "same": len(same),
        "different": len(different),
        "images": len(pairs.images),
        "trained_on": len(trained.intersection(pairs.images)),
    }


def pair_lines(file: str | Path, scores: dict[str, Any]) -> list[str]:
    """Lines for people.

    Args:
        file: the CSV file.
        scores: of :func:`evaluate_pairs`.
    """
    counts = f"{scores['same']} same and {scores['different']} different pairs of {scores['images']} images"
    lines = [f"** Pairs of {file}: {counts} **", f"AUC: {scores['auc']:.1%}"]
    for rate in scores["accept_rates"]:
        lines.append(
            f"same pairs accepted where {rate['false_accept_rate']:.1%} of the different ones are: "
            f"{rate['accept_rate']:.1%} (cosine above {rate['threshold']:.3f})"
        )
    if scores["trained_on"]:
        lines.append(f"warning: {scores['trained_on']} of the images are trained on, too; scores on them flatter")
    return lines
