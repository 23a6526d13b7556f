"""Batches of unequal size and datasets by name in torchreid's data manager."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torchreid
from torch.utils.data import DataLoader, RandomSampler, Sampler

from ccafl_plugin.data.label_noise import LabelNoise
from ccafl_plugin.data.samplers import IntraCameraSampler, ProxySampler
from ccafl_plugin.data.whole_batches import whole_batches
from ccafl_plugin.integration.data_manager import damage_training_set
from ccafl_plugin.integration.torchreid_layout import attribute
from ccafl_plugin.options import options
from tests.engine.small_runs import write_pictures
from tests.layouts import write_market1501

# Camera 0 has two persons, camera 1 has five: a batch of three proxies is smaller in camera 0.
TRAIN = [
    (f"{camera}/{person}_{shot}.jpg", person, camera, 0)
    for camera, persons in ((0, 2), (1, 5))
    for person in range(persons)
    for shot in range(3)
]


class Positions:
    """A dataset whose items are positions, so that batches show what was drawn."""

    def __len__(self) -> int:
        return len(TRAIN)

    def __getitem__(self, index: int) -> int:
        return index


def loader(sampler: Sampler[int]) -> DataLoader:
    """As torchreid's data manager makes it."""
    return DataLoader(Positions(), sampler=sampler, batch_size=6, shuffle=False, num_workers=0, drop_last=True)


def drawn(batches: DataLoader) -> Iterator[list[int]]:
    return (batch.tolist() for batch in batches)


def test_no_batch_holds_two_draws():
    plain = loader(IntraCameraSampler(TRAIN, 6, 2, iters_per_epoch=8))
    mixed = [len({TRAIN[index][2] for index in batch}) for batch in drawn(plain)]
    assert 2 in mixed, "without whole batches, some hold images of two cameras"
    whole = whole_batches(loader(IntraCameraSampler(TRAIN, 6, 2, iters_per_epoch=8)))
    seen = list(drawn(whole))
    assert len(seen) == len(whole) == 8
    assert {len(batch) for batch in seen} == {4, 6}
    assert all(len({TRAIN[index][2] for index in batch}) == 1 for batch in seen)
    assert whole.batch_sampler.sampler.variable_batches


def test_other_loaders_stay_as_they_are():
    for sampler in (RandomSampler(TRAIN), ProxySampler(TRAIN, 6, 2, iters_per_epoch=3)):
        made = loader(sampler)
        assert whole_batches(made) is made


def test_the_samplers_epochs_go_on_in_the_new_loader():
    def sampler() -> IntraCameraSampler:
        return IntraCameraSampler(TRAIN, 6, 2, iters_per_epoch=4)

    whole = whole_batches(loader(sampler()))
    first, second = list(drawn(whole)), list(drawn(whole))
    assert first != second
    again = whole_batches(loader(sampler()))
    again.batch_sampler.sampler.set_epoch(1)
    assert list(drawn(again)) == second


def test_the_data_manager_keeps_batches_whole_for_sources_and_targets(tmp_path, monkeypatch):
    registry = attribute("data.datasets", "__image_datasets", dict)
    monkeypatch.setitem(registry, "same_again", registry["market1501"])  # sources and targets must differ
    with options.override(iters_per_epoch=3):
        manager = torchreid.data.ImageDataManager(
            root=str(write_pictures(tmp_path)),
            sources="market1501",
            targets="same_again",
            height=32,
            width=16,
            batch_size_train=20,
            num_instances=2,
            train_sampler="IntraCameraSampler",
            train_sampler_t="IntraCameraSampler",
            load_train_targets=True,
            workers=0,
        )
    for made in (manager.train_loader, manager.train_loader_t):
        batches = list(made)
        assert len(batches) == len(made) == 3
        # Six persons of one camera, two images of each, where ten persons were asked for.
        assert all(batch["img"].shape == (12, 3, 32, 16) for batch in batches)
        assert all(len(set(batch["camid"].tolist())) == 1 for batch in batches)


@pytest.mark.parametrize("name", ["synthetic_persons", "msmt17_trainval"])
def test_datasets_are_torchreids_image_datasets(name):
    registry = attribute("data.datasets", "__image_datasets", dict)
    assert issubclass(registry[name], torchreid.data.ImageDataset)


@pytest.mark.parametrize("sampler", ["ProxySampler", "IntraCameraSampler", "RandomIdentitySampler"])
def test_torchreids_manager_gets_the_damaged_list(tmp_path: Path, sampler: str) -> None:
    write_market1501(tmp_path, identities=6, cameras=3, images=4)
    arguments = {"train_sampler": sampler, "batch_size": 8, "num_instances": 2}
    with options.override(iters_per_epoch=3):
        manager = torchreid.data.ImageDataManager(
            root=str(tmp_path),
            sources="market1501",
            height=16,
            width=8,
            batch_size_train=8,
            num_instances=2,
            workers=0,
            train_sampler=sampler,
        )
        before = list(manager.train_loader.dataset.train)
        damage_training_set(manager, LabelNoise(), 1, arguments)
        assert manager.train_loader.dataset.train == before
        damage_training_set(manager, LabelNoise(split=0.5), 1, arguments)
    damaged = manager.train_loader.dataset.train
    assert len({(pid, camid) for _, pid, camid, _ in damaged}) == 27
    assert manager.num_train_pids == 15
    given = {(path, int(pid)) for batch in manager.train_loader for path, pid in zip(batch["impath"], batch["pid"])}  # noqa: B905
    assert given <= {(path, pid) for path, pid, _, _ in damaged}
    assert any(pid >= 6 for _, pid in given)
