"""Features of all training images, in the order of their paths, with the test transform."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from ccafl_plugin.data.proxies import ProxyLabels
from ccafl_plugin.engine.encoder import autocast
from ccafl_plugin.engine.transfer import ImageTransfer
from ccafl_plugin.wrapping import unwrap


def extraction_loader(datamanager: Any, labels: ProxyLabels) -> DataLoader:
    """A loader over the training images, once each, camera by camera in the order of their paths.

    Args:
        datamanager: torchreid's ``ImageDataManager``: training images, test transform, batch size of its tests.
        labels: of the manager's training list.
    """
    train_loader = datamanager.train_loader
    first_test = next(iter(datamanager.test_loader.values()))["query"] if datamanager.test_loader else None
    dataset = copy.copy(train_loader.dataset)
    dataset.transform = datamanager.transform_te
    dataset.k_tfm = 1
    return DataLoader(
        dataset,
        batch_size=first_test.batch_size if first_test is not None else 100,
        sampler=labels.path_order.tolist(),
        num_workers=train_loader.num_workers,
        pin_memory=train_loader.pin_memory,
        drop_last=False,
    )


@torch.no_grad()
def extract(
    loader: DataLoader,
    encode: Callable[[Tensor], Tensor],
    device: torch.device,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Runs ``encode`` over a loader; on a GPU nothing is waited for.

    Args:
        loader: yields torchreid's batches (dicts with ``img``).
        encode: (B, 3, H, W) images to (B, D) features; the caller has set the model's mode.
        device: where images go and features stay.
        dtype: of mixed precision; None for none.

    Returns:
        (M, D) float32, row i belongs to the loader's i-th image.
    """
    transfer = ImageTransfer(device)
    with autocast(device.type, dtype):
        rows = [encode(transfer(batch["img"])).float() for batch in loader]
    return torch.cat(rows)


def unit_features(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """How a model in eval mode makes retrieval features with unit rows of images.

    Args:
        model: the plugin's own models give unit rows, which a second division could change in their last bits;
            torchreid's give raw features, which are normalised here.

    Returns:
        (B, 3, H, W) images -> (B, D) features.
    """
    if getattr(unwrap(model), "is_ccafl_backbone", False):
        return model
    return lambda images: F.normalize(model(images).float(), dim=1)


def training_features(datamanager: Any, model: nn.Module, labels: ProxyLabels) -> tuple[Tensor, Tensor]:
    """Features of all training images with the test transform: what memories and associations are made of.

    For engines of your own; ``ImageCCAFLEngine`` does the same at the start of every epoch. The model is in eval mode
    meanwhile.

    Args:
        datamanager: torchreid's ``ImageDataManager``.
        model: gives (B, D) features in eval mode.
        labels: of the manager's training list.

    Returns:
        (M, D) float32 on the model's device, unit rows, and (M,) int64 on the CPU, the proxy of each; the images stand
        in the order of ``labels.path_order``.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    features = extract(extraction_loader(datamanager, labels), unit_features(model), device)
    model.train(was_training)
    return features, labels.proxy_of_image[labels.path_order]
