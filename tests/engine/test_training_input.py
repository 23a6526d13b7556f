"""Training images: bytes from files or memory, augmented in batches, whatever reads them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from ccafl_plugin.data.loaders import loader_like, with_transform
from ccafl_plugin.data.proxies import ProxyLabels
from ccafl_plugin.engine.encoder_pass import ImageTransfer
from ccafl_plugin.engine.extraction import TrainingImages
from ccafl_plugin.engine.training_input import TrainingInput
from tests.engine.small_runs import assert_equal, make_engine, make_manager, make_terms, weights

TRANSFORMS = ["bicubic_resize", "random_flip", "pad_crop", "random_erase"]


def a_run(pictures: Path, folder: Path, workers: int, memory: int, **settings: Any) -> dict[str, torch.Tensor]:
    """The weights after two epochs without text, on pictures of another size than the files'."""
    manager = make_manager(pictures, height=48, width=24, workers=workers, transforms=TRANSFORMS)
    terms = make_terms({"icdl": (0, -1), "inter": (0, -1)}, icdl={"weight_alignment": 0.0})
    engine = make_engine(pictures, manager, terms=terms, extraction_memory=memory, **settings)
    engine.run(save_dir=str(folder), max_epoch=2)
    return weights(engine)


def test_neither_workers_nor_memory_change_a_run(pictures: Path, tmp_path: Path) -> None:
    first = a_run(pictures, tmp_path / "1", workers=0, memory=0)
    for number, (workers, memory) in enumerate(((1, 0), (1, 1)), start=2):
        assert_equal(a_run(pictures, tmp_path / str(number), workers, memory), first)


def test_batches_from_memory_are_those_of_the_files(pictures: Path) -> None:
    manager = make_manager(pictures, height=48, width=24, transforms=TRANSFORMS)
    inputs = TrainingInput(manager.train_loader, on_device=True, seed=1)
    images = TrainingImages(manager, ProxyLabels.from_tuples(manager.train_loader.dataset.train), memory=1)
    assert images.from_memory(inputs.loader) is inputs.loader  # nothing is kept yet
    images.encode(lambda batch: batch.flatten(1), torch.device("cpu"))
    loader = images.from_memory(inputs.loader)
    assert loader.num_workers == 0
    for epoch in range(2):
        manager.train_loader.sampler.set_epoch(epoch)
        for given, expected in zip(loader, inputs.loader, strict=True):
            assert given.keys() == expected.keys()
            assert given["img"].dtype == torch.uint8
            for name in ("img", "pid", "camid", "dsetid"):
                assert torch.equal(given[name], expected[name])
            assert given["impath"] == expected["impath"]


def test_a_dataset_that_reads_in_its_own_way_goes_on_to(pictures: Path) -> None:
    manager = make_manager(pictures)
    dataset = manager.train_loader.dataset
    read = type(dataset).__getitem__
    dataset.__class__ = type("Own", (type(dataset),), {"__getitem__": lambda self, index: read(self, index)})
    inputs = TrainingInput(manager.train_loader, on_device=True, seed=1)
    images = TrainingImages(manager, ProxyLabels.from_tuples(dataset.train), memory=1)
    images.encode(lambda batch: batch.flatten(1), torch.device("cpu"))
    assert images.from_memory(inputs.loader) is inputs.loader


@pytest.mark.parametrize(("transforms", "on_device"), [(TRANSFORMS, False), (["color_jitter"], True)])
def test_pictures_augmented_by_workers(
    pictures: Path, transforms: list[str], on_device: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    manager = make_manager(pictures, transforms=transforms)
    inputs = TrainingInput(manager.train_loader, on_device, seed=1)
    assert inputs.loader is manager.train_loader
    assert ("Data workers augment" in str(inputs)) == on_device
    batch = next(iter(inputs.loader))["img"]
    assert batch.dtype == torch.float32
    assert inputs(batch, None, 0, 0) is batch


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_share_the_draws_of_a_batch(pictures: Path, processes: int) -> None:
    manager = make_manager(pictures, transforms=TRANSFORMS)
    inputs = TrainingInput(manager.train_loader, on_device=True, seed=1)
    images = next(iter(inputs.loader))["img"]
    transfer = ImageTransfer(torch.device("cpu"))
    whole = inputs(images, transfer, 4, 2)
    for rank in range(processes):
        rows = slice(rank, None, processes)
        assert torch.equal(inputs(images[rows], transfer, 4, 2, len(images), rows), whole[rows])
    assert not torch.equal(inputs(images, transfer, 4, 3), whole)


def test_the_data_manager_keeps_its_loader(pictures: Path) -> None:
    manager = make_manager(pictures, transforms=TRANSFORMS)
    before = copy.copy(manager.train_loader.dataset.transform.transforms)
    engine = make_engine(pictures, manager)
    assert manager.train_loader.dataset.transform.transforms == before
    assert engine.train_loader is not manager.train_loader
    assert engine.train_loader.sampler is manager.train_loader.sampler
    assert str(engine.input) == ""


@pytest.mark.parametrize("workers", [0, 1])
def test_a_loader_like_another(workers: int) -> None:
    """All settings are taken over; of batches of unequal size, the batch sampler."""
    generator = torch.Generator()
    settings: dict[str, Any] = {"num_workers": workers, "generator": generator, "worker_init_fn": print}
    if workers:
        settings |= {"prefetch_factor": 3, "persistent_workers": True, "timeout": 7}
    for batches in ({"batch_size": 2, "drop_last": True}, {"batch_sampler": [[0, 2], [1]]}):
        loader = DataLoader(range(3), collate_fn=list, **batches, **settings)
        made = loader_like(loader, range(10, 13))
        assert [list(batch) for batch in DataLoader(range(10, 13), collate_fn=list, **batches)] == [
            list(batch) for batch in loader_like(loader, range(10, 13), in_process=True)
        ]
        assert all(getattr(made, name) == value for name, value in settings.items())
        assert (made.collate_fn, made.batch_size, made.drop_last) == (list, loader.batch_size, loader.drop_last)


def test_another_transform_leaves_the_loader_alone(pictures: Path) -> None:
    loader = make_manager(pictures).train_loader
    before = loader.dataset.transform
    assert with_transform(loader, None).dataset.transform is None
    assert loader.dataset.transform is before
