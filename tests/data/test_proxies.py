from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ccafl_plugin.data.proxies import ProxyLabels
from ccafl_plugin.utils.errors import CCAFLError
from tests.data.train_lists import small_list, train_lists

TENSORS = (
    "camera_of_image",
    "local_of_image",
    "proxy_of_image",
    "camera_of_proxy",
    "offsets",
    "proxies_per_camera",
    "person_of_proxy",
    "path_order",
)


def labels_by_loops(train):
    """Camera-local label and proxy of each image, one image after the other."""
    cameras = sorted({(dsetid, camid) for _, _, camid, dsetid in train})
    local, proxy = [None] * len(train), [None] * len(train)
    offset = 0
    for dsetid, camid in cameras:
        here = [i for i in range(len(train)) if train[i][3] == dsetid and train[i][2] == camid]
        seen = []
        for i in sorted(here, key=lambda i: train[i][0]):
            if train[i][1] not in seen:
                seen.append(train[i][1])
            local[i] = seen.index(train[i][1])
            proxy[i] = offset + local[i]
        offset += len(seen)
    return cameras, local, proxy


@given(train=train_lists())
def test_equals_loops(train):
    labels = ProxyLabels.from_tuples(train)
    cameras, local, proxy = labels_by_loops(train)
    assert labels.cameras == tuple(cameras)
    assert labels.local_of_image.tolist() == local
    assert labels.proxy_of_image.tolist() == proxy
    assert [labels.cameras[c] for c in labels.camera_of_image.tolist()] == [(d, c) for _, _, c, d in train]
    assert (labels.num_images, labels.num_cameras) == (len(train), len(cameras))
    assert labels.num_proxies == len({(d, c, p) for _, p, c, d in train}) == max(proxy) + 1


@given(train=train_lists())
def test_parts_fit_together(train):
    labels = ProxyLabels.from_tuples(train)
    assert all(getattr(labels, name).dtype == torch.int64 for name in TENSORS)
    assert torch.equal(labels.camera_of_proxy[labels.proxy_of_image], labels.camera_of_image)
    assert torch.equal(labels.offsets[labels.camera_of_image] + labels.local_of_image, labels.proxy_of_image)
    assert torch.equal(torch.bincount(labels.camera_of_proxy), labels.proxies_per_camera)
    assert labels.offsets.tolist() == [sum(labels.proxies_per_camera[:c].tolist()) for c in range(labels.num_cameras)]
    for proxy in range(labels.num_proxies):
        images = labels.images_of_proxy(proxy)
        assert sorted(images) == (labels.proxy_of_image == proxy).nonzero().flatten().tolist()
        assert list(images) == sorted(images, key=lambda i: train[i][0])
    assert sorted(labels.path_order.tolist()) == list(range(len(train)))
    walked = [(train[i][3], train[i][2], train[i][0]) for i in labels.path_order.tolist()]
    assert walked == sorted(walked)


@given(train=train_lists())
def test_persons_are_joined_across_cameras_of_a_source_only(train):
    labels = ProxyLabels.from_tuples(train)
    person = labels.person_of_proxy[labels.proxy_of_image].tolist()
    for i, (_, pid_i, _, dsetid_i) in enumerate(train):
        for j, (_, pid_j, _, dsetid_j) in enumerate(train[: i + 1]):
            assert (person[i] == person[j]) == ((pid_i, dsetid_i) == (pid_j, dsetid_j))
    assert set(person) == set(range(max(person) + 1))


@given(train=train_lists(), seed=st.integers(0, 2**31))
def test_renaming_the_identities_of_each_camera_changes_nothing(train, seed):
    rng = random.Random(seed)
    names = {key: {} for key in {(dsetid, camid) for _, _, camid, dsetid in train}}
    for key, new in names.items():
        old = sorted({pid for _, pid, camid, dsetid in train if (dsetid, camid) == key})
        new.update(zip(old, rng.sample(range(50), len(old)), strict=True))
    renamed = [(path, names[dsetid, camid][pid], camid, dsetid) for path, pid, camid, dsetid in train]
    before, after = ProxyLabels.from_tuples(train), ProxyLabels.from_tuples(renamed)
    for name in set(TENSORS) - {"person_of_proxy"}:
        assert torch.equal(getattr(before, name), getattr(after, name)), name
    for proxy in range(before.num_proxies):
        assert before.images_of_proxy(proxy) == after.images_of_proxy(proxy)


@given(train=train_lists(), seed=st.integers(0, 2**31))
def test_order_of_the_list_changes_nothing(train, seed):
    shuffled = random.Random(seed).sample(train, len(train))
    before, after = ProxyLabels.from_tuples(train), ProxyLabels.from_tuples(shuffled)
    assert [train[i] for i in before.path_order.tolist()] == [shuffled[i] for i in after.path_order.tolist()]
    assert torch.equal(before.proxy_of_image[before.path_order], after.proxy_of_image[after.path_order])
    assert torch.equal(before.person_of_proxy, after.person_of_proxy)


@given(train=train_lists(), seed=st.integers(0, 2**31), as_tensor=st.booleans())
def test_proxies_of_a_batch(train, seed, as_tensor):
    labels = ProxyLabels.from_tuples(train)
    picks = random.Random(seed).choices(range(len(train)), k=6)
    triples = [[train[i][column] for i in picks] for column in (3, 2, 1)]
    if as_tensor:
        triples = [torch.tensor(values) for values in triples]
    assert torch.equal(labels.proxies_of(*triples), labels.proxy_of_image[picks])


def test_proxies_of_an_empty_batch():
    assert ProxyLabels.from_tuples(small_list()).proxies_of([], [], []).shape == (0,)


def test_a_triple_of_another_training_list():
    labels = ProxyLabels.from_tuples(small_list((2, 1)))
    with pytest.raises(CCAFLError, match="dsetid 0, camid 1, pid 1"):
        labels.proxies_of([0, 0], [0, 1], [1, 1])


def test_a_case_to_check_by_eye():
    """Camera 4 of source 0 comes before camera 0 of source 1; person 7 is met first, on a path that sorts first."""
    labels = ProxyLabels.from_tuples([("b", 3, 4, 0), ("a", 7, 4, 0), ("d", 3, 0, 1), ("c", 3, 4, 0)])
    assert labels.cameras == ((0, 4), (1, 0))
    assert labels.proxy_of_image.tolist() == [1, 0, 2, 1]
    assert labels.local_of_image.tolist() == [1, 0, 0, 1]
    assert labels.person_of_proxy.tolist() == [0, 1, 2]
    assert labels.images_of_proxy(1) == (0, 3)
    assert labels.path_order.tolist() == [1, 0, 3, 2]


def test_an_empty_list():
    with pytest.raises(CCAFLError, match=r"data\.sources: the training set has no images"):
        ProxyLabels.from_tuples([])


@given(train=train_lists(), seed=st.integers(0, 100))
def test_relabelled_images(train, seed):
    """Each image gets any proxy of its camera, or none; the proxies themselves stay."""
    labels = ProxyLabels.from_tuples(train)
    rng = torch.Generator().manual_seed(seed)
    local = (torch.rand(len(train), generator=rng) * (labels.proxies_per_camera[labels.camera_of_image] + 1)).long() - 1
    proxies = torch.where(local < 0, -1, labels.offsets[labels.camera_of_image] + local)
    found = labels.relabelled(proxies)
    assert torch.equal(found.proxy_of_image, proxies)
    assert torch.equal(found.local_of_image, local)
    assert found.num_proxies == labels.num_proxies
    for proxy in range(found.num_proxies):
        expected = (proxies == proxy).nonzero().flatten().tolist()
        assert list(found.images_of_proxy(proxy)) == sorted(expected, key=lambda i: train[i][0])
    for name in TENSORS[3:]:
        assert torch.equal(getattr(found, name), getattr(labels, name))
    again = labels.relabelled(labels.proxy_of_image)
    assert all(again.images_of_proxy(proxy) == labels.images_of_proxy(proxy) for proxy in range(labels.num_proxies))
