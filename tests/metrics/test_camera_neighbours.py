"""Camera-aware re-ranking against sets and loops over all images."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from ccafl_plugin.metrics import CameraNeighbours, FeatureDistances, evaluate_rank, re_ranking, rerank_features
from ccafl_plugin.utils.errors import CCAFLError
from tests.children import in_child, memory_growth


def slow_camera_re_ranking(q_g, q_q, g_g, cameras, k1_intra, k1_inter, k2_intra, k2_inter, lambda_value):
    """By the definition, image by image: the (Q, G) distances."""
    whole = np.block([[q_q, q_g], [q_g.T, g_g]])
    total, queries = len(whole), len(q_q)
    to = np.array([np.power(whole[:, i], 2).astype(np.float32) for i in range(total)])
    to = [row / (row.max() if row.max() > 0 else np.float32(1)) for row in to]

    def nearest(i: int, own: bool, count: int) -> list[int]:
        images = [j for j in range(total) if (cameras[j] == cameras[i]) == own]
        return sorted(images, key=lambda j: (to[i][j], j))[:count]

    vectors = []
    for i in range(total):
        members = {j for j in nearest(i, True, k1_intra + 1) if i in nearest(j, True, k1_intra + 1)}
        members |= {j for j in nearest(i, False, k1_inter) if i in nearest(j, False, k1_inter)}
        weights = {j: math.exp(-float(to[i][j])) for j in members}
        vectors.append({j: weight / math.fsum(weights.values()) for j, weight in weights.items()})
    averaged = []
    for i in range(total):
        companions = nearest(i, True, k2_intra) + nearest(i, False, k2_inter)
        if k2_intra + k2_inter == 1:
            companions = [i]
        keys = {j for other in companions for j in vectors[other]}
        averaged.append({j: sum(vectors[other].get(j, 0) for other in companions) / len(companions) for j in keys})
    result = np.empty((queries, total - queries))
    for i in range(queries):
        for j in range(queries, total):
            shared = sum(min(weight, averaged[j].get(k, 0)) for k, weight in averaged[i].items())
            jaccard = 1 - shared / (2 - shared)
            result[i, j - queries] = (1 - lambda_value) * jaccard + lambda_value * to[i][j]
    return result


def draw(seed: int, total: int, identities: int, cameras: int, dim: int, coarse: bool) -> tuple:
    """Features with a shift for each camera, identities and cameras; ``coarse``: on a grid, so that many coincide."""
    rng = torch.Generator().manual_seed(seed)
    person, camera = (torch.randint(count, (total,), generator=rng) for count in (identities, cameras))
    rows = torch.randn(identities, dim, generator=rng)[person] + 0.5 * torch.randn(total, dim, generator=rng)
    rows += 1.5 * torch.randn(cameras, dim, generator=rng)[camera]
    return (rows.round() if coarse else F.normalize(rows, dim=1)), person, camera


def matrices(query: torch.Tensor, gallery: torch.Tensor) -> list[np.ndarray]:
    pairs = ((query, gallery), (query, query), (gallery, gallery))
    return [np.asarray(FeatureDistances(rows, columns)) for rows, columns in pairs]


SETTINGS = [(5, 20, 2, 4), (2, 3, 1, 0), (0, 4, 3, 1), (3, 0, 2, 0), (1, 2, 5, 9)]


@given(
    queries=st.integers(1, 10),
    gallery=st.integers(2, 40),
    cameras=st.integers(1, 5),
    identities=st.integers(1, 9),
    coarse=st.booleans(),
    settings=st.sampled_from(SETTINGS),
    lambda_value=st.sampled_from([0.0, 0.3]),
    block=st.integers(1, 3000),
    seed=st.integers(0, 2**31),
)
def test_equals_loops(queries, gallery, cameras, identities, coarse, settings, lambda_value, block, seed):
    """Cameras with few images too, so that lists are short or empty."""
    features, _, camera = draw(seed, queries + gallery, identities, cameras, 6, coarse)
    camera = 10 * camera - 5
    given_matrices = matrices(features[:queries], features[queries:])
    before = [matrix.copy() for matrix in given_matrices]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ccafl_plugin.metrics.distances.BLOCK_ELEMENTS", block)
        patch.setattr("ccafl_plugin.metrics.rerank.ROWS_AT_ONCE", 1 + block % 30)
        neighbours = CameraNeighbours(camera, *settings)
        found = re_ranking(*given_matrices, lambda_value=lambda_value, neighbours=neighbours)
    for matrix, copy in zip(given_matrices, before, strict=True):
        np.testing.assert_array_equal(matrix, copy)
    assert found.dtype == np.float32
    expected = slow_camera_re_ranking(*given_matrices, camera.tolist(), *settings, lambda_value)
    np.testing.assert_allclose(found, expected, atol=3e-6)


def test_from_features_equals_from_matrices():
    features, _, camera = draw(0, 400, 40, 4, 16, coarse=False)
    query, gallery = features[:60], features[60:]
    expected = re_ranking(*matrices(query, gallery), neighbours=CameraNeighbours(camera))
    found = rerank_features(query, gallery, neighbours=CameraNeighbours(camera))
    np.testing.assert_allclose(np.asarray(found), expected, atol=3e-6)
    lazy = [FeatureDistances(*pair) for pair in ((query, gallery), (query, query), (gallery, gallery))]
    np.testing.assert_array_equal(np.asarray(re_ranking(*lazy, neighbours=CameraNeighbours(camera))), np.asarray(found))


def test_it_helps_where_cameras_look_alike():
    """Plain re-ranking finds hardly a neighbour of another camera here."""
    features, person, camera = draw(1, 1200, 60, 4, 24, coarse=False)
    query, gallery = features[:200], features[200:]
    labels = person[:200], person[200:], camera[:200], camera[200:]
    plain, aware = (
        evaluate_rank(rerank_features(query, gallery, neighbours=neighbours), *labels)[1]
        for neighbours in (None, CameraNeighbours(camera))
    )
    assert aware > plain + 0.05


def test_one_camera_is_an_own_list_only():
    features, _, camera = draw(3, 50, 10, 1, 8, coarse=False)
    found = np.asarray(rerank_features(features[:9], features[9:], neighbours=CameraNeighbours(camera)))
    assert np.isfinite(found).all()
    assert len(np.unique(found)) > 100


def test_what_does_not_fit():
    for settings in ({"k1_intra": -1}, {"k1_inter": -1}, {"k2_intra": 0}, {"k2_inter": -1}):
        with pytest.raises(CCAFLError, match="k2_intra must be at least 1"):
            CameraNeighbours([0, 1], **settings)
    with pytest.raises(CCAFLError, match=r"there are 4 images, but cameras of 3\."):
        rerank_features(torch.eye(2), torch.eye(2), neighbours=CameraNeighbours([0, 1, 1]))


def test_no_full_matrix_is_made():
    """The matrix of all images would need 780 MB."""

    def rerank() -> None:
        features, _, camera = draw(0, 14000, 4000, 6, 8, coarse=False)
        neighbours = CameraNeighbours(camera)
        reranked = lambda: rerank_features(features[:1000], features[1000:], neighbours=neighbours)  # noqa: E731
        grown = memory_growth(lambda: [None for _ in reranked().blocks()])
        assert grown < 500, f"{grown:.0f} MB"

    in_child(rerank)
