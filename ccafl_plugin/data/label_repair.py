"""New labels for images that were left out, where the images with trusted labels show that they can be believed.

The most similar trusted image of the camera names a proxy. How often such a name is right depends on its lead, the
difference of similarity to the next proxy. The trusted images themselves show how: each of them is named by the others,
and its own label says whether the name is right. So the lead that a name needs follows from the data.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ccafl_plugin.data.label_agreement import ROWS_AT_ONCE, centred_by_camera

COST_OF_WRONG_NAME = 9
"""A wrong new label costs as much as so many right ones give: names are believed where nine of ten are right."""


@torch.no_grad()
def named_proxies(features: Tensor, proxies: Tensor, camera_of_proxy: Tensor, trusted: Tensor) -> tuple[Tensor, Tensor]:
    """The proxy of each image's most similar trusted image of its camera, and its lead.

    Args:
        features: (M, D) float, unit rows, of the training images.
        proxies: (M,) int64, on the device of the features.
        camera_of_proxy: (N,) int64.
        trusted: (M,) bool, the images that name others. None names itself.

    Returns:
        (M,) int64, -1 where a camera has fewer than two proxies with other trusted images; (M,) float32, the similarity
        to the named proxy less that to the next one, 0 where nothing is named.
    """
    cameras = camera_of_proxy.to(proxies.device)[proxies]
    names = torch.full_like(proxies, -1)
    leads = torch.zeros(len(proxies), device=features.device)
    for camera in cameras.unique().tolist():
        images = (cameras == camera).nonzero()[:, 0]
        rows = centred_by_camera(features[images])
        naming = trusted[images].nonzero()[:, 0]
        present, local = proxies[images[naming]].unique(return_inverse=True)
        if len(present) < 2:
            continue
        place = torch.full((len(images),), -1, device=images.device)
        place[naming] = torch.arange(len(naming), device=images.device)
        for some in torch.arange(len(images), device=images.device).split(ROWS_AT_ONCE):
            similarity = rows[some] @ rows[naming].T
            selves = (place[some] >= 0).nonzero()[:, 0]
            similarity[selves, place[some[selves]]] = -torch.inf
            nearest = similarity.new_full((len(some), len(present)), -torch.inf)
            nearest.scatter_reduce_(1, local.expand(len(some), -1), similarity, "amax")
            best, which = nearest.topk(2, dim=1)
            known = best[:, 1] > -torch.inf  # of two proxies, one has no image but this one
            names[images[some]] = torch.where(known, present[which[:, 0]], -1)
            leads[images[some]] = torch.where(known, best[:, 0] - best[:, 1], 0.0)
    return names, leads


def smallest_lead(leads: Tensor, right: Tensor) -> float:
    """The lead from which on names are believed: there ``right - 9 * wrong`` names of trusted images are most.

    Args:
        leads: (K,) float, leads of the trusted images that are named.
        right: (K,) bool, whether they are named as their labels say.

    Returns:
        infinity if names are wrong too often at every lead.
    """
    order = torch.argsort(leads, descending=True)
    gain = torch.where(right[order], 1, -COST_OF_WRONG_NAME).cumsum(0)
    sorted_leads = leads[order]
    last_of_its_lead = torch.ones_like(right)
    last_of_its_lead[:-1] = sorted_leads[1:] < sorted_leads[:-1]
    gain = gain.masked_fill(~last_of_its_lead, -1)
    if not len(gain) or int(gain.max()) <= 0:
        return torch.inf
    return float(sorted_leads[int(gain.argmax())])


def repaired_labels(features: Tensor, proxies: Tensor, camera_of_proxy: Tensor, kept: Tensor) -> Tensor:
    """Gives images that are left out the label of another proxy of their camera, where it is probably right.

    Args:
        features: (M, D) float, unit rows, of the training images.
        proxies: (M,) int64, on the device of the features.
        camera_of_proxy: (N,) int64.
        kept: (M,) bool, the images whose labels are trusted.

    Returns:
        (M,) int64: the label of a trusted image stays, -1 for an image that stays left out.
    """
    names, leads = named_proxies(features, proxies, camera_of_proxy, kept)
    known = names >= 0
    lead = smallest_lead(leads[kept & known], (names == proxies)[kept & known])
    return torch.where(kept, proxies, torch.where(known & (leads >= lead), names, -1))
