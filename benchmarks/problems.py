"""Inputs similar to a trained model's features: identities are clusters, and each camera shifts them."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

PROXY_SIZES = {"full": {"proxies_": 3262, "dim": 2048}, "quick": {"proxies_": 200, "dim": 32}}  # Market-1501's; small
STEP_SIZES = {"full": {**PROXY_SIZES["full"], "batch": 128}, "quick": {**PROXY_SIZES["quick"], "batch": 64}}
BLOCK = 4096  # rows made at once, so that preparing does not use more memory than what is measured


class Retrieval(NamedTuple):
    """Queries and gallery with their labels."""

    query: Tensor  # (Q, D) unit rows
    gallery: Tensor  # (G, D) unit rows
    q_pids: Tensor
    g_pids: Tensor
    q_camids: Tensor
    g_camids: Tensor


def clouds(identities: Tensor, cameras: Tensor, dim: int, generator: torch.Generator, spread: float = 1.4) -> Tensor:
    """(M, D) unit rows for (M,) identities and cameras."""
    centres = torch.randn(int(identities.max()) + 1, dim, generator=generator)
    shifts = 0.5 * torch.randn(int(cameras.max()) + 1, dim, generator=generator)
    rows = torch.empty(len(identities), dim)
    for some in torch.arange(len(identities)).split(BLOCK):
        noise = torch.randn(len(some), dim, generator=generator)
        rows[some] = F.normalize(centres[identities[some]] + shifts[cameras[some]] + spread * noise, dim=1)
    return rows


def retrieval(queries: int, gallery: int, identities: int, cameras: int, dim: int) -> Retrieval:
    """A gallery in which a sixth of the images show people without a query."""
    generator = torch.Generator().manual_seed(0)
    person = torch.randint(identities, (queries + gallery,), generator=generator)
    person[queries::6] = identities
    camera = torch.randint(cameras, (queries + gallery,), generator=generator)
    rows = clouds(person, camera, dim, generator)
    query, rest = slice(0, queries), slice(queries, None)
    return Retrieval(rows[query], rows[rest], person[query], person[rest], camera[query], camera[rest])


class Proxies(NamedTuple):
    """Proxies of all cameras, camera by camera."""

    features: Tensor  # (N, D) unit rows
    cameras: Tensor  # (N,) int64
    pseudo: Tensor  # (N,) int64, pseudo identities, -1 for none


def proxies(count: int, cameras: int, dim: int) -> Proxies:
    """Each person is seen by most cameras, as in Market-1501, where 751 people are 3262 proxies in six cameras."""
    generator = torch.Generator().manual_seed(0)
    people = round(count / cameras * 1.4)
    seen = torch.rand(people, cameras, generator=generator).flatten().argsort(descending=True)[:count].sort().values
    person, camera = seen // cameras, seen % cameras
    order = camera.argsort(stable=True)
    person, camera = person[order], camera[order]
    pseudo = torch.where(torch.rand(people, generator=generator) < 0.1, -1, torch.arange(people))[person]
    return Proxies(clouds(person, camera, dim, generator, spread=0.9), camera, pseudo)


def batch_of(problem: Proxies, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(B, D) unit features near those of their proxies, and (B,) proxies: eight images of each that is drawn."""
    labels = torch.randperm(len(problem.cameras), generator=generator)[: size // 8].repeat_interleave(8)
    return near(problem.features[labels], generator), labels


def near(features: Tensor, generator: torch.Generator) -> Tensor:
    """Unit rows close to the given ones."""
    return F.normalize(features + 0.02 * torch.randn(features.shape, generator=generator), dim=-1)


def bare_product(left: Tensor, right: Tensor, rows: int = 1 << 8) -> dict[str, Tensor]:
    """All products of rows with rows, some at a time, of which nothing is kept: a bound for what reads them all."""
    total = torch.zeros((), device=left.device)
    for some in left.split(rows):
        total += (some @ right.T)[0, 0]
    return {"nothing": total}


class Crowd(NamedTuple):
    """Images of tracks, track by track."""

    features: Tensor  # (M, D) unit rows
    track: Tensor  # (M,) int64
    camera: Tensor  # (N,) int64, of the tracks
    person: Tensor  # (N,) int64, of the tracks


def crowd(tracks: int, images: int, cameras: int = 6, dim: int = 512, noise: float = 1.4) -> Crowd:
    """Tracks that are hard to tell apart: few directions hold most of what differs, as in features of real people.

    The variances along the directions fall as those of a public ReID model (OSNet) on 200 people do, between people
    faster, (1 + i / 4)^-1.5, than inside them, (1 + i / 4)^-1. ``noise`` was chosen so that an association finds most
    of 20 000 tracks, not all.
    """
    generator = torch.Generator().manual_seed(0)
    people = round(tracks / cameras * 1.4)
    seen = torch.rand(people, cameras, generator=generator).flatten().argsort(descending=True)[:tracks].sort().values
    person, camera = seen // cameras, seen % cameras
    directions = torch.arange(dim) / 4 + 1
    between, inside = directions**-1.5, directions**-1.0
    between = (0.55 * between / between.sum()).sqrt()
    inside = (0.45 * inside / inside.sum()).sqrt()
    centres = torch.randn(people, dim, generator=generator) * between
    shifts = 0.5 * torch.randn(cameras, dim, generator=generator) * between
    features = torch.empty(tracks * images, dim)
    for some in torch.arange(tracks).split(BLOCK):
        rows = centres[person[some]] + shifts[camera[some]]
        rows += noise * inside * torch.randn(len(some), dim, generator=generator)
        rows = rows.repeat_interleave(images, dim=0)
        if images > 1:
            rows += 0.5 * inside * torch.randn(len(rows), dim, generator=generator)
        features[int(some[0]) * images : (int(some[-1]) + 1) * images] = F.normalize(rows, dim=1)
    return Crowd(features, torch.arange(tracks).repeat_interleave(images), camera, person)
