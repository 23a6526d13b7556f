"""torchreid's own loading of checkpoints, through the package's one reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchreid
from torch import nn
from torch.optim.lr_scheduler import MultiStepLR

from ccafl_plugin.options import options
from ccafl_plugin.utils.errors import CCAFLError
from tests.hostile.file_contents import RAN, Touch


def net(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))


def trained(model: nn.Module) -> tuple[Any, Any]:
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    scheduler = MultiStepLR(optimizer, [1, 3])
    for _ in range(2):
        optimizer.zero_grad()
        model(torch.randn(5, 4)).square().sum().backward()
        optimizer.step()
        scheduler.step()
    return optimizer, scheduler


@pytest.mark.parametrize("rank1", [np.float32(0.25), np.float64(0.25), 0.25])
@pytest.mark.parametrize("parallel", [False, True])
def test_torchreids_own_checkpoint_resumes(rank1: Any, parallel: bool, tmp_path: Path, capsys: Any) -> None:
    """Its Rank-1 is a number of NumPy's, which torch from 2.6 on refuses."""
    model = net(1)
    optimizer, scheduler = trained(model)
    torchreid.utils.save_checkpoint(
        {
            "state_dict": (nn.DataParallel(model) if parallel else model).state_dict(),
            "epoch": 2,
            "rank1": rank1,
            "optimizer": optimizer.state_dict(),
            "scheduler": scheduler.state_dict(),
        },
        str(tmp_path),
    )
    again = net(2)
    its_optimizer = torch.optim.Adam(again.parameters(), lr=0.5)
    its_scheduler = MultiStepLR(its_optimizer, [7])
    file = str(tmp_path / "model.pth.tar-2")
    assert torchreid.utils.resume_from_checkpoint(file, again, its_optimizer, its_scheduler) == 2
    out = capsys.readouterr().out
    assert "Last epoch = 2" in out and "Last rank1 = 25.0%" in out
    assert all(torch.equal(again.state_dict()[key], value) for key, value in model.state_dict().items())
    assert its_scheduler.state_dict() == scheduler.state_dict()
    for old, new in zip(optimizer.state.values(), its_optimizer.state.values(), strict=True):
        assert all(torch.equal(torch.as_tensor(old[key]), torch.as_tensor(new[key])) for key in old)
    loaded = torchreid.utils.load_checkpoint(file)
    assert loaded["rank1"] == rank1 and type(loaded["rank1"]) is type(rank1)


def test_torchreids_own_engine_writes_what_it_can_read(pictures: Path, tmp_path: Path) -> None:
    manager = torchreid.data.ImageDataManager(
        root=str(pictures), sources="market1501", height=32, width=16, batch_size_train=8, workers=0, use_gpu=False
    )
    model = torchreid.models.build_model("osnet_x0_25", manager.num_train_pids, pretrained=False, use_gpu=False)
    optimizer = torchreid.optim.build_optimizer(model)
    engine = torchreid.engine.ImageSoftmaxEngine(
        manager, model, optimizer=optimizer, use_gpu=False, scheduler=torchreid.optim.build_lr_scheduler(optimizer)
    )
    engine.run(save_dir=str(tmp_path), max_epoch=1, print_freq=100, ranks=[1])
    (file,) = (tmp_path / "model").glob("model.pth.tar-*")
    assert isinstance(torchreid.utils.load_checkpoint(str(file))["rank1"], np.generic)
    assert torchreid.utils.resume_from_checkpoint(str(file), model, optimizer) == 1


def test_what_does_not_fit_a_run(tmp_path: Path) -> None:
    file = str(tmp_path / "c")
    state = net().state_dict()
    cases = {
        "holds weights but no number of epochs": {"state_dict": state},
        r"does not fit this run: size mismatch for 0\.weight": {
            "state_dict": {**state, "0.weight": torch.zeros(1, 4)},
            "epoch": 1,
        },
        "its 'state_dict' is an int": {"state_dict": 5, "epoch": 1},
        "does not fit this run: [^\n]+": {
            "state_dict": state,
            "epoch": 1,
            "optimizer": {"state": {}, "param_groups": []},
        },
        "does not fit this run: [^ \n]+": {"state_dict": state, "epoch": 1, "optimizer": 5},
    }
    for expected, content in cases.items():
        torch.save(content, file)
        model = net()
        with pytest.raises(CCAFLError, match=rf"^model\.resume: [^\n]*{expected}[^\n]*$"):
            torchreid.utils.resume_from_checkpoint(file, model, torch.optim.Adam(model.parameters()))


def test_a_missing_rank1_is_no_fault(tmp_path: Path, capsys: Any) -> None:
    for rank1 in ({}, {"rank1": "none"}):
        torch.save({"state_dict": net().state_dict(), "epoch": 4, **rank1}, tmp_path / "c")
        assert torchreid.utils.resume_from_checkpoint(str(tmp_path / "c"), net()) == 4
        assert "Last rank1 is not in the checkpoint" in capsys.readouterr().out


def test_nothing_that_fits_is_an_error(tmp_path: Path, capsys: Any) -> None:
    """torchreid warns and goes on with random weights."""
    torch.save({"other.weight": torch.zeros(2)}, tmp_path / "w")
    with pytest.raises(
        CCAFLError, match=r"^load_pretrained_weights: [^\n]* fits none of the model's 7 tensors: it begins "
    ):
        torchreid.utils.load_pretrained_weights(net(), str(tmp_path / "w"))
    torch.save({**net(3).state_dict(), "0.bias": torch.zeros(9)}, tmp_path / "w")
    model = net()
    torchreid.utils.load_pretrained_weights(nn.DataParallel(model), str(tmp_path / "w"))
    assert torch.equal(model[0].weight, net(3)[0].weight)
    assert "discarded due to unmatched keys or layer size: ['0.bias']" in capsys.readouterr().out


def test_no_pickle_runs_whatever_torchs_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch before 2.6 unpickled by default; the reader does not ask it."""
    monkeypatch.chdir(tmp_path)

    def unprotected(*_: Any, **__: Any) -> None:
        raise AssertionError("torch's own loader was called")

    monkeypatch.setattr(torch, "load", unprotected)
    monkeypatch.setattr(torch.jit, "load", unprotected)
    torch.save({"state_dict": {"0.weight": Touch()}, "epoch": 1}, "evil")
    for load in (
        lambda: torchreid.utils.load_checkpoint("evil"),
        lambda: torchreid.utils.load_pretrained_weights(net(), "evil"),
        lambda: torchreid.utils.resume_from_checkpoint("evil", net()),
    ):
        with pytest.raises(CCAFLError, match=r"it names posix\.system"):
            load()
    assert not Path(RAN).exists()
    torch.save(net().state_dict(), "good")
    torchreid.utils.load_pretrained_weights(net(), "good")


@pytest.mark.parametrize("name", ["clip_tiny"])
def test_two_extractors_of_one_file_see_alike(name: str, tmp_path: Path) -> None:
    """torchreid dropped positions of another input size; those of the two extractors were random, and differed."""
    torch.manual_seed(0)
    with options.override(input_size=(64, 32)):
        model = torchreid.models.build_model(name, 5, loss="ccafl", pretrained=False)
    torch.save({"state_dict": model.state_dict()}, tmp_path / "w")
    picture = np.random.default_rng(0).integers(0, 255, (70, 40, 3), dtype=np.uint8)
    features = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        extractor = torchreid.utils.FeatureExtractor(
            name, str(tmp_path / "w"), image_size=(96, 48), device="cpu", verbose=False
        )
        features.append(extractor(picture))
        positions = extractor.model.image_encoder.positions
    assert torch.equal(*features)
    assert positions.shape[0] == 1 + 6 * 3
