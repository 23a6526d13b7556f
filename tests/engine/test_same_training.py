"""What must not change a training: names of identities, a break after any epoch, wrappers, frozen parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torchreid
from torch import nn

from ccafl_plugin.engine import PromptStage
from tests.engine.small_runs import EVERY_TERM, Recorder, assert_equal, make_engine, make_manager, make_terms, weights


def test_renaming_identities_inside_cameras_changes_nothing(pictures: Path, tmp_path: Path) -> None:
    """The identities of every camera get names of their own: losses and weights stay bit-equal."""
    outcomes = []
    for seed in (None, 5, 6):
        manager = make_manager(pictures)
        dataset = manager.train_loader.dataset
        if seed is not None:
            _rename(dataset, seed)
            manager.train_loader.sampler.__init__(dataset.train, 8, 2, iters_per_epoch=2, seed=1)
        engine = make_engine(pictures, manager)
        record = Recorder(engine)
        engine.run(save_dir=str(tmp_path / str(seed)), max_epoch=4)
        outcomes.append((record.reports, weights(engine)))
    for reports, state in outcomes[1:]:
        assert reports == outcomes[0][0]
        assert_equal(state, outcomes[0][1])
    shapes = {size for tensor in outcomes[0][1].values() for size in tensor.shape}
    assert engine.labels.num_proxies in shapes
    assert 6 not in shapes  # the number of people


def _rename(dataset: Any, seed: int) -> None:
    """Gives the identities of every camera new numbers, independently, in the tuples that torchreid hands out."""
    rng = torch.Generator().manual_seed(seed)
    persons = sorted({pid for _, pid, _, _ in dataset.train})
    names = {}
    for camera in sorted({camid for _, _, camid, _ in dataset.train}):
        for person, new in zip(persons, torch.randperm(len(persons), generator=rng).tolist(), strict=True):
            names[camera, person] = new
    assert any(names[key] != key[1] for key in names)
    dataset.train[:] = [(path, names[camid, pid], camid, dsetid) for path, pid, camid, dsetid in dataset.train]
    dataset.data = dataset.train


def test_an_epoch_can_be_repeated_on_its_own(pictures: Path, tmp_path: Path) -> None:
    """The unbroken run and one resumed after every epoch end with the same bits."""
    whole = make_engine(pictures)
    whole.run(save_dir=str(tmp_path / "whole"), max_epoch=4)
    start = 0
    for stop in (1, 2, 3, 4):
        torch.manual_seed(stop * 1000)  # whatever was drawn before must not matter
        part = make_engine(pictures)
        if start:
            start = part.resume(str(tmp_path / "parts"))
        assert start == stop - 1
        part.run(save_dir=str(tmp_path / "parts"), max_epoch=stop, start_epoch=start)
        start = stop
    assert_equal(weights(part), weights(whole))


def test_data_parallel_gives_the_same(pictures: Path, tmp_path: Path) -> None:
    outcomes = []
    for wrap in (False, True):
        engine = make_engine(pictures)
        if wrap:
            engine = _rebuilt_around(nn.DataParallel(engine.model), engine, pictures)
        engine.run(save_dir=str(tmp_path / str(wrap)), max_epoch=3)
        outcomes.append({name.replace("module.", ""): tensor for name, tensor in weights(engine).items()})
    assert_equal(*outcomes)


def _rebuilt_around(model: nn.Module, engine: Any, pictures: Path) -> Any:
    optimizer = torchreid.optim.build_optimizer(model, lr=1e-3)
    scheduler = torchreid.optim.build_lr_scheduler(optimizer, lr_scheduler="multi_step", stepsize=[2])
    return type(engine)(
        make_manager(pictures),
        model,
        optimizer,
        scheduler,
        terms=make_terms(EVERY_TERM),
        stage1=PromptStage(epochs=1, batch_size=16),
        seed=1,
    )


def test_only_frozen_parameters_stay(pictures: Path, tmp_path: Path) -> None:
    """torchreid opens every layer at every epoch; what was frozen before stays frozen."""
    engine = make_engine(pictures, terms=make_terms({"icdl": (0, -1)}))
    name, parameter = next(iter(engine.model.image_encoder.named_parameters()))
    parameter.requires_grad = False
    engine = _rebuilt_around(engine.model, engine, pictures)
    before = weights(engine)
    engine.run(save_dir=str(tmp_path), max_epoch=1)
    after = weights(engine)
    same = {
        key for key, _ in engine.model.named_parameters() if torch.equal(after[f"model.{key}"], before[f"model.{key}"])
    }
    assert same == {f"image_encoder.{name}"}
