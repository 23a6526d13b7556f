from __future__ import annotations

import random
import warnings
from collections import Counter

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch.utils.data import BatchSampler, DataLoader

from ccafl_plugin.data.samplers import (
    READS_IDENTITIES,
    SAMPLERS,
    CameraBalancedSampler,
    IdentitySampler,
    IntraCameraSampler,
    ProxySampler,
    allot,
)
from ccafl_plugin.utils.errors import CCAFLError
from tests.data.train_lists import small_list, train_lists

every_sampler = pytest.mark.parametrize("name", sorted(SAMPLERS))
every_proxy_sampler = pytest.mark.parametrize("name", sorted(SAMPLERS.keys() - set(READS_IDENTITIES)))


def build(name, train, proxies_per_batch, num_instances, iters=12, seed=1):
    """A sampler of that name, or no example at all where its sizes can't fit this list."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return SAMPLERS[name](train, proxies_per_batch * num_instances, num_instances, iters, seed)
    except CCAFLError:
        assume(False)


def draw_epoch(sampler, epoch):
    sampler.set_epoch(epoch)
    return list(sampler.batches())


def proxies_in_order(sampler, batch):
    """The proxy of each run of K images, after checking that the batch is made of such runs."""
    size = sampler.num_instances
    groups = [sampler.labels.proxy_of_image[batch[i : i + size]].tolist() for i in range(0, len(batch), size)]
    assert all(len(group) == size and len(set(group)) == 1 for group in groups)
    return [group[0] for group in groups]


sizes = {
    "train": train_lists(),
    "proxies_per_batch": st.integers(1, 6),
    "num_instances": st.integers(1, 5),
    "epoch": st.integers(0, 50),
}


@every_proxy_sampler
@given(**sizes)
def test_every_batch_has_k_images_of_different_proxies(name, train, proxies_per_batch, num_instances, epoch):
    sampler = build(name, train, proxies_per_batch, num_instances)
    batches = draw_epoch(sampler, epoch)
    assert len(batches) == len(sampler.batches()) == sampler.iters_per_epoch
    for batch in batches:
        proxies = proxies_in_order(sampler, batch)
        assert len(set(proxies)) == len(proxies)
        for position, proxy in enumerate(proxies):
            images = batch[position * num_instances : (position + 1) * num_instances]
            available = len(sampler.labels.images_of_proxy(proxy))
            if available >= num_instances:
                assert len(set(images)) == num_instances


@every_sampler
@given(**sizes)
def test_length_is_what_comes_out(name, train, proxies_per_batch, num_instances, epoch):
    sampler = build(name, train, proxies_per_batch, num_instances)
    batches = draw_epoch(sampler, epoch)
    assert [index for batch in batches for index in batch] == list(sampler)
    assert len(sampler) == len(list(sampler)) == sum(map(len, batches))
    full = all(len(batch) == sampler.batch_size for batch in batches)
    assert full or sampler.variable_batches


@every_proxy_sampler
@given(**sizes, seed=st.integers(0, 2**31))
def test_renamed_and_shuffled_lists_draw_the_same_files(name, train, proxies_per_batch, num_instances, epoch, seed):
    sampler = build(name, train, proxies_per_batch, num_instances)
    rng = random.Random(seed)
    keys = sorted({(dsetid, camid) for _, _, camid, dsetid in train})
    new = {key: rng.sample(range(200), 200) for key in keys}
    renamed = [(path, new[dsetid, camid][pid], camid, dsetid) for path, pid, camid, dsetid in train]
    rng.shuffle(renamed)
    other = build(name, renamed, proxies_per_batch, num_instances)
    files = [[train[i][0] for i in batch] for batch in draw_epoch(sampler, epoch)]
    assert files == [[renamed[i][0] for i in batch] for batch in draw_epoch(other, epoch)]


@every_sampler
def test_epochs_and_seeds_differ_and_repeat(name):
    train = small_list((6, 6), images=5)
    sampler = SAMPLERS[name](train, 8, 2, 10, 1)
    first, second = draw_epoch(sampler, 0), draw_epoch(sampler, 1)
    assert first != second
    assert draw_epoch(sampler, 0) == first
    assert draw_epoch(SAMPLERS[name](train, 8, 2, 10, 1), 1) == second
    assert draw_epoch(SAMPLERS[name](train, 8, 2, 10, 2), 0) != first


@every_sampler
def test_counts_its_own_passes_until_told(name):
    train = small_list((6, 6), images=5)
    alone, told = SAMPLERS[name](train, 8, 2, 10), SAMPLERS[name](train, 8, 2, 10)
    for epoch in range(3):
        told.set_epoch(epoch)
        assert list(alone) == list(told) == list(told)


@every_sampler
def test_dropped_iterators_and_batches_count_once(name):
    train = small_list((6, 6), images=5)
    sampler, told = SAMPLERS[name](train, 8, 2, 10), SAMPLERS[name](train, 8, 2, 10)
    iter(sampler)  # a DataLoader with persistent workers makes an iterator that it never reads
    assert list(sampler) == list(told)
    told.set_epoch(1)
    assert list(sampler.batches()) == list(told.batches())


@every_sampler
def test_global_random_state_is_untouched(name):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    sampler = SAMPLERS[name](small_list((6, 6), images=5), 8, 2, 10)
    list(sampler)
    assert torch.equal(torch.get_rng_state(), before)


@every_sampler
def test_inside_a_loader(name):
    train = small_list((5, 5), images=3)
    sampler = SAMPLERS[name](train, 8, 2, 7)
    expected = draw_epoch(sampler, 0)
    flat = DataLoader(range(len(train)), batch_size=8, sampler=sampler, drop_last=True)
    assert [batch.tolist() for batch in flat] == expected
    assert len(flat) == 7
    loader = DataLoader(range(len(train)), batch_sampler=sampler.batches())
    assert [batch.tolist() for batch in loader] == expected
    assert len(loader) == 7


# ProxySampler


@given(**sizes)
def test_no_proxy_twice_in_a_pass(train, proxies_per_batch, num_instances, epoch):
    sampler = build("ProxySampler", train, proxies_per_batch, num_instances)
    per_pass = sampler.labels.num_proxies // proxies_per_batch
    drawn = [proxies_in_order(sampler, batch) for batch in draw_epoch(sampler, epoch)]
    for first in range(0, len(drawn), per_pass):
        one_pass = [proxy for proxies in drawn[first : first + per_pass] for proxy in proxies]
        assert len(set(one_pass)) == len(one_pass)


def test_passes_are_fresh_permutations():
    sampler = ProxySampler(small_list((7,)), 6, 2, 4)
    passes = [proxies_in_order(sampler, a + b) for a, b in [draw_epoch(sampler, 0)[:2], draw_epoch(sampler, 0)[2:]]]
    assert passes[0] != passes[1]
    assert all(len(set(proxies)) == 6 for proxies in passes)


def test_every_proxy_and_image_comes_up():
    sampler = ProxySampler(small_list((5, 4), images=4), 8, 2, 60)
    assert set(sampler) == set(range(36))
    counts = Counter(sampler.labels.proxy_of_image[list(sampler)].tolist())
    assert max(counts.values()) < 1.5 * min(counts.values())


def test_few_images_are_drawn_with_replacement():
    sampler = ProxySampler(small_list((2,), images=2), 6, 3, 50)
    patterns = {len(set(batch[:3])) for batch in sampler.batches()}
    assert patterns == {1, 2}


# IdentitySampler


@given(**sizes)
def test_every_batch_has_k_images_of_different_people(train, proxies_per_batch, num_instances, epoch):
    sampler = build("IdentitySampler", train, proxies_per_batch, num_instances)
    images_of = Counter((dsetid, pid) for _, pid, _, dsetid in train)
    drawn = []
    for batch in draw_epoch(sampler, epoch):
        people = []
        for first in range(0, len(batch), num_instances):
            images = batch[first : first + num_instances]
            (person,) = {(train[i][3], train[i][1]) for i in images}
            assert len(images) == num_instances
            if images_of[person] >= num_instances:
                assert len(set(images)) == num_instances
            people.append(person)
        assert len(set(people)) == len(people) == proxies_per_batch
        drawn.append(people)
    per_pass = len(images_of) // proxies_per_batch
    for first in range(0, len(drawn), per_pass):
        one_pass = [person for people in drawn[first : first + per_pass] for person in people]
        assert len(set(one_pass)) == len(one_pass)


@given(**sizes, seed=st.integers(0, 2**31))
def test_people_with_other_numbers_draw_the_same_files(train, proxies_per_batch, num_instances, epoch, seed):
    sampler = build("IdentitySampler", train, proxies_per_batch, num_instances)
    rng = random.Random(seed)
    new = rng.sample(range(400), 200)
    renamed = [(path, new[pid], camid, dsetid) for path, pid, camid, dsetid in train]
    rng.shuffle(renamed)
    other = build("IdentitySampler", renamed, proxies_per_batch, num_instances)
    files = [[train[i][0] for i in batch] for batch in draw_epoch(sampler, epoch)]
    assert files == [[renamed[i][0] for i in batch] for batch in draw_epoch(other, epoch)]


def test_a_persons_images_come_from_all_of_its_cameras():
    sampler = IdentitySampler(small_list((4, 4, 4)), 16, 4, 40)
    cameras = sampler.labels.camera_of_image
    assert {len(set(cameras[batch[:4]].tolist())) for batch in sampler.batches()} >= {2, 3}
    assert set(sampler) == set(range(48))


# IntraCameraSampler


@given(**sizes)
def test_batches_are_one_camera_in_proportion(train, proxies_per_batch, num_instances, epoch):
    sampler = build("IntraCameraSampler", train, proxies_per_batch, num_instances)
    counts = sampler.labels.proxies_per_camera.tolist()
    batches_of = Counter()
    for batch in draw_epoch(sampler, epoch):
        (camera,) = set(sampler.labels.camera_of_image[batch].tolist())
        assert len(batch) == num_instances * min(proxies_per_batch, counts[camera])
        batches_of[camera] += 1
    for camera, count in enumerate(counts):
        share = sampler.iters_per_epoch * count / sum(counts)
        assert abs(batches_of[camera] - share) < 1
        assert batches_of[camera] == sampler.iters_per_camera[camera]
    assert sampler.variable_batches == (min(counts) < proxies_per_batch)


def test_order_of_cameras_is_drawn_per_epoch():
    sampler = IntraCameraSampler(small_list((4, 4, 4)), 4, 2, 12)
    orders = {tuple(sampler.labels.camera_of_image[b[0]].item() for b in draw_epoch(sampler, e)) for e in range(5)}
    assert len(orders) == 5


def test_a_camera_without_an_iteration_is_told():
    with pytest.warns(UserWarning, match=r"these cameras get none: \(dsetid, camid\) \(0, 1\)"):
        IntraCameraSampler(small_list((20, 1)), 4, 2, 5)


@given(seats=st.integers(0, 300), weights=st.lists(st.integers(1, 900), min_size=1, max_size=20))
def test_allotment(seats, weights):
    shares = allot(seats, weights)
    assert sum(shares) == seats
    for share, weight in zip(shares, weights, strict=True):
        assert abs(share * sum(weights) - seats * weight) < sum(weights)
    # nobody who got less of a remainder than another was served before that other
    remainders = [seats * weight % sum(weights) for weight in weights]
    extra = [share - seats * weight // sum(weights) for share, weight in zip(shares, weights, strict=True)]
    served = [r for r, e in zip(remainders, extra, strict=True) if e]
    waiting = [r for r, e in zip(remainders, extra, strict=True) if not e]
    assert not served or not waiting or min(served) >= max(waiting)


# CameraBalancedSampler


@given(train=train_lists(min_per_camera=3), share=st.integers(1, 3), num_instances=st.integers(1, 3))
def test_equal_share_of_every_camera(train, share, num_instances):
    cameras = len({(dsetid, camid) for _, _, camid, dsetid in train})
    sampler = CameraBalancedSampler(train, cameras * share * num_instances, num_instances, 12)
    decks = [[] for _ in range(cameras)]
    for batch in draw_epoch(sampler, 0):
        counts = Counter(sampler.labels.camera_of_image[batch].tolist())
        assert counts == dict.fromkeys(range(cameras), share * num_instances)
        for proxy in proxies_in_order(sampler, batch):
            decks[sampler.labels.camera_of_proxy[proxy]].append(proxy)
    for camera, deck in enumerate(decks):
        per_pass = sampler.labels.proxies_per_camera[camera].item() // share * share
        for first in range(0, len(deck), per_pass):
            assert len(set(deck[first : first + per_pass])) == len(deck[first : first + per_pass])


# Errors


@every_sampler
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((10, 4), r"^batch_size: 10 is not a multiple of num_instances \(4\)"),
        ((0, 4), r"^batch_size: 0 is out of range, it must be at least 1"),
        ((8, 0), r"^num_instances: 0 is out of range"),
        ((8, 4, 0), r"^iters_per_epoch: 0 is out of range"),
    ],
)
def test_impossible_sizes(name, arguments, message):
    with pytest.raises(CCAFLError, match=message) as error:
        SAMPLERS[name](small_list((4, 4)), *arguments)
    assert "\n" not in str(error.value)


def test_fewer_proxies_than_a_batch_needs():
    with pytest.raises(CCAFLError, match=r"^batch_size: 24 .* needs 6 proxies .* has 5\. .* at most 20"):
        ProxySampler(small_list((3, 2)), 24, 4)
    with pytest.raises(CCAFLError, match=r"^batch_size: 16 .* needs 4 people .* has 3\. .* at most 12"):
        IdentitySampler(small_list((3, 2)), 16, 4)


def test_cameras_that_do_not_divide_a_batch():
    with pytest.raises(CCAFLError, match=r"^batch_size: 32 .* 8 proxies .* 3 cameras\. .* multiple of 12"):
        CameraBalancedSampler(small_list((4, 4, 4)), 32, 4)


def test_a_camera_smaller_than_its_share():
    with pytest.raises(CCAFLError, match=r"camera \(dsetid, camid\) \(0, 1\) has 2\. .* at most 16"):
        CameraBalancedSampler(small_list((4, 2)), 24, 4)


@every_sampler
def test_takes_the_batches_that_torch_cuts(name):
    sampler = SAMPLERS[name](small_list((6, 6), images=5), 8, 2, 10)
    sampler.set_epoch(4)
    assert list(BatchSampler(sampler, 8, drop_last=True)) == list(sampler.batches())
