"""The losses, memories and association give the values and gradients of the authors' released functions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ccafl_plugin.association import associate
from ccafl_plugin.losses import (
    ClusterMemory,
    HybridMemory,
    ICALLoss,
    ICDLLoss,
    InterCameraLoss,
    ProxyClassifier,
    group_means,
    positive_proxies,
    prompt_contrast,
    text_alignment,
    unit_group_means,
)

FILES = sorted((Path(__file__).parents[1] / "data").glob("reference_case_*.npz"))
LOOSE = 1e-7  # the released functions keep some constants in float32, and the files keep all_features in float32
TOLERANCES = {
    "hyb_centroids": LOOSE,
    "icdl_loss": LOOSE,
    "icdl_grad_v": LOOSE,
    "icdl_centroids_after": LOOSE,
    "inter_loss_i2tce": LOOSE,
    "inter_centroids_after": LOOSE,
    "proxy_features": LOOSE,
    "inter_centroids": LOOSE,
    "ical_loss_e0.8_m0.7": LOOSE,
    "ical_grad_f_e0.8_m0.7": LOOSE,
    "ical_loss_e0.8_m0.3": LOOSE,
    "ical_grad_f_e0.8_m0.3": LOOSE,
}
# what a problem consists of; everything else in the files is a value to be reproduced
GIVEN = {
    "ids_per_cam", "cam_of_proxy", "person_of_proxy", "all_features", "all_proxy", "batch_features", "batch_proxy",
    "stage1_v", "stage1_t", "hyb_instances", "icdl_lambda", "icdl_v", "assoc_rate", "clf_weight",
}  # fmt: skip

Case = dict[str, Tensor]
Values = dict[str, Tensor]


def load(path: Path) -> Case:
    with np.load(path) as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays.files}


def leaf(tensor: Tensor) -> Tensor:
    return tensor.clone().requires_grad_()


def hybrid_memory(case: Case) -> HybridMemory:
    _, slots, dim = case["hyb_instances"].shape
    memory = HybridMemory(case["ids_per_cam"], dim, instances=slots).double()
    memory.centroids.copy_(case["hyb_centroids"])
    memory.instances.copy_(case["hyb_instances"])
    return memory


def labels_values(case: Case) -> Values:
    memory = hybrid_memory(case)
    local = torch.full_like(case["batch_proxy"], -1)
    camera = local.clone()
    for part in memory.split(case["batch_proxy"]):
        local[part.rows], camera[part.rows] = part.local, part.camera
    assert torch.equal(memory.camera_of_proxy, case["cam_of_proxy"])
    return {"batch_cam": camera, "batch_local": local}


def prompt_values(case: Case) -> Values:
    texts = leaf(case["stage1_t"])
    proxies = case["batch_proxy"]
    loss = prompt_contrast(case["stage1_v"], texts[proxies], proxies, case["batch_cam"])
    loss.backward()
    return {"stage1_loss": loss, "stage1_grad_t": texts.grad}


def memory_values(case: Case) -> Values:
    """Centroids are means; which features were drawn as instances is chance, but each must be one of its proxy's."""
    features, proxies = case["all_features"].double(), case["all_proxy"]
    memory = HybridMemory(case["ids_per_cam"], features.shape[1], instances=8).double()
    memory.fill(features, proxies, torch.Generator().manual_seed(0))
    for source in (memory.instances, case["hyb_instances"]):
        for proxy, slots in enumerate(source):
            own = features[proxies == proxy]
            nearest = (slots[:, None] - own).abs().amax(2).min(1).values
            assert nearest.max() < 1e-7
    return {"hyb_centroids": memory.centroids}


def icdl_values(case: Case) -> Values:
    features, images = leaf(case["batch_features"]), leaf(case["icdl_v"])
    memory = hybrid_memory(case)
    loss = ICDLLoss(weight_lambda=float(case["icdl_lambda"]))
    loss(features, memory, case["batch_proxy"], images, case["stage1_t"]).total.backward()
    rows = []
    for camera in case["batch_cam"].unique():
        here = case["batch_cam"] == camera
        parts = loss(features[here], memory, case["batch_proxy"][here], images[here], case["stage1_t"])
        rows.append(torch.stack([camera.double(), *parts[1:]]))
    total = loss(features, memory, case["batch_proxy"], images, case["stage1_t"]).total
    memory.update(features, case["batch_proxy"])
    return {
        "icdl_parts": torch.stack(rows),
        "icdl_loss": total,
        "icdl_grad_f": features.grad,
        "icdl_grad_v": images.grad,
        "icdl_centroids_after": memory.centroids,
        "icdl_instances_after": memory.instances,
    }


def association_values(case: Case) -> Values:
    proxies = unit_group_means(case["all_features"].double(), case["all_proxy"], len(case["cam_of_proxy"]))
    pseudo = associate(case["proxy_features"], case["cam_of_proxy"], rate=float(case["assoc_rate"]))
    return {"proxy_features": proxies, "assoc_labels": renamed_like(pseudo, case["assoc_labels"])}


def renamed_like(labels: Tensor, wanted: Tensor) -> Tensor:
    """Each label replaced by the one that ``wanted`` has at the same first place."""
    renamed = torch.full_like(labels, -1)
    for label in labels[labels >= 0].unique():
        members = labels == label
        renamed[members] = wanted[members][0]
    return renamed


def inter_values(case: Case) -> Values:
    pseudo_of_proxy = case["assoc_labels"]
    clusters = int(pseudo_of_proxy.max()) + 1
    of_image = pseudo_of_proxy[case["all_proxy"]]
    memory = ClusterMemory(clusters, case["all_features"].shape[1]).double()
    memory.fill(case["all_features"].double(), of_image)
    filled = memory.centroids.clone()
    text = group_means(case["stage1_t"][case["all_proxy"]], of_image, clusters)

    memory.centroids.copy_(case["inter_centroids"])
    features = leaf(case["batch_features"])
    labels = pseudo_of_proxy[case["batch_proxy"]]
    parts = InterCameraLoss()(features, memory, labels)
    alignment = text_alignment(case["icdl_v"], case["inter_text"], labels)
    (parts.total + alignment).backward()
    memory.update(features, labels)
    return {
        "inter_centroids": filled,
        "inter_text": text,
        "inter_keep": labels >= 0,
        "inter_loss_memory": parts.contrast,
        "inter_loss_triplet": parts.triplet,
        "inter_loss_i2tce": alignment,
        "inter_grad_f": features.grad,
        "inter_centroids_after": memory.centroids,
    }


def classifier_values(case: Case) -> Values:
    classifier = ProxyClassifier(*case["clf_weight"].shape).double()
    classifier.weight.data.copy_(case["clf_weight"])
    loss = classifier(case["batch_features"], case["batch_proxy"])
    loss.backward()
    return {"gid_loss": loss, "gid_grad_w": classifier.weight.grad}


def ical_values(case: Case) -> Values:
    proxies, cameras, pseudo = case["batch_proxy"], case["cam_of_proxy"], case["assoc_labels"]
    values = {"ical_positive_mask": positive_proxies(proxies[case["inter_keep"]], cameras, pseudo)}
    for smoothing, margin in ((0.8, 0.7), (1.0, 0.5), (0.8, 0.3)):
        features = leaf(case["batch_features"])
        loss = ICALLoss(margin=margin, smoothing=smoothing)(features, case["clf_weight"], proxies, cameras, pseudo)
        loss.backward()
        values[f"ical_loss_e{smoothing}_m{margin}"] = loss
        values[f"ical_grad_f_e{smoothing}_m{margin}"] = features.grad
    return values


PARTS: list[Callable[[Case], Values]] = [
    labels_values,
    prompt_values,
    memory_values,
    icdl_values,
    association_values,
    inter_values,
    classifier_values,
    ical_values,
]


def error(got: Tensor, wanted: Tensor) -> float:
    """Largest difference over the largest value."""
    assert got.shape == wanted.shape
    wanted = wanted.double()
    return float((got.detach().double() - wanted).abs().max() / wanted.abs().max().clamp(min=1e-300))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_value_is_reproduced(path: Path) -> None:
    case = load(path)
    untouched = {key: value.clone() for key, value in case.items()}
    values: Values = {}
    for part in PARTS:
        values.update(part(case))
    assert set(values) | GIVEN == set(case), "a key of the file is not covered"
    for key, got in values.items():
        if key == "icdl_parts":  # only its last column, L_i2tce, has constants in float32
            assert error(got[:, :-1], case[key][:, :-1]) <= 1e-9
            assert error(got[:, -1], case[key][:, -1]) <= LOOSE
        elif not case[key].is_floating_point():
            assert torch.equal(got, case[key]), key
        else:
            assert error(got, case[key]) <= TOLERANCES.get(key, 1e-9), key
    for key, value in untouched.items():
        assert torch.equal(case[key], value), f"{key} was changed"


def test_there_are_two_cases() -> None:
    assert len(FILES) == 2
