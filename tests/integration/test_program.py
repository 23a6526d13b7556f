"""The program of torchreid's README, line by line, with the plugin's names in it, on the CPU."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torchreid
from torch import nn

from ccafl_plugin.engine import ImageCCAFLEngine, PromptStage
from ccafl_plugin.options import options
from tests.engine.small_runs import write_pictures


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("reid-data"))


def bare(model: nn.Module) -> tuple[nn.Module, bool]:
    """The model on the CPU, and that no GPU is used."""
    return model, False


def data_parallel(model: nn.Module) -> tuple[nn.Module, bool]:
    """The model in ``nn.DataParallel``; on a machine with GPUs it runs there."""
    gpu = torch.cuda.is_available()
    return nn.DataParallel(model.cuda() if gpu else model), gpu


def readme_program(root: Path, save_dir: Path, wrap, engine_class: type, loss: str, sampler: str, **more):
    """Data manager, model, optimizer, scheduler, engine, run."""
    datamanager = torchreid.data.ImageDataManager(
        root=str(root),
        sources="market1501",
        targets="market1501",
        height=64,
        width=32,
        batch_size_train=8,
        batch_size_test=100,
        transforms=["bicubic_resize", "random_flip", "pad_crop", "random_erase"],
        num_instances=2,
        train_sampler=sampler,
        workers=0,
    )
    model = torchreid.models.build_model(
        name="clip_tiny", num_classes=datamanager.num_train_pids, loss=loss, pretrained=False
    )
    model, use_gpu = wrap(model)
    optimizer = torchreid.optim.build_optimizer(model, optim="adam", lr=0.0003)
    scheduler = torchreid.optim.build_lr_scheduler(optimizer, lr_scheduler="warmup_multi_step", stepsize=[20])
    engine = engine_class(datamanager, model, optimizer=optimizer, scheduler=scheduler, use_gpu=use_gpu, **more)
    engine.run(save_dir=str(save_dir), max_epoch=2, eval_freq=1, print_freq=1, test_only=False)
    return datamanager, model, optimizer, engine


@pytest.fixture(autouse=True)
def short_epochs():
    with options.override(iters_per_epoch=3, input_size=(64, 32)):
        yield


@pytest.mark.parametrize("wrap", [bare, data_parallel])
@pytest.mark.parametrize("sampler", ["ProxySampler", "IntraCameraSampler"])
def test_ccafl(root, tmp_path, capsys, wrap, sampler):
    stage1 = PromptStage(epochs=2)
    _, model, optimizer, engine = readme_program(
        root, tmp_path, wrap, torchreid.engine.ImageCCAFLEngine, "ccafl", sampler, stage1=stage1
    )
    assert type(engine) is ImageCCAFLEngine
    log = capsys.readouterr().out
    assert "=> Final test" in log
    assert log.count("Rank-1  :") == 2
    assert "epoch: [2/2][3/3]" in log
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx(
        [0.0006 * (0.01 + 0.99 * 2 / 10), 0.0003 * (0.01 + 0.99 * 2 / 10)]
    )
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())
    assert list(tmp_path.glob("events.out.tfevents.*"))


@pytest.mark.parametrize("wrap", [bare, data_parallel])
@pytest.mark.parametrize(
    ("engine", "loss", "sampler"),
    [("ImageSoftmaxEngine", "softmax", "RandomSampler"), ("ImageTripletEngine", "triplet", "RandomIdentitySampler")],
)
def test_torchreids_own_engines_take_the_plugins_models(root, tmp_path, capsys, wrap, engine, loss, sampler):
    _, _, _, made = readme_program(
        root, tmp_path, wrap, getattr(torchreid.engine, engine), loss, sampler, label_smooth=True
    )
    assert math.isfinite(made.test())
    assert "mAP:" in capsys.readouterr().out


def test_torchreids_own_program_runs_as_before(root, tmp_path, capsys):
    datamanager = torchreid.data.ImageDataManager(
        root=str(root),
        sources="market1501",
        height=64,
        width=32,
        batch_size_train=16,
        workers=0,
        transforms="random_flip",
    )
    model = torchreid.models.build_model("osnet_x0_25", datamanager.num_train_pids, pretrained=False)
    optimizer = torchreid.optim.build_optimizer(model, optim="amsgrad", lr=0.0015)
    assert len(optimizer.param_groups) == 1
    scheduler = torchreid.optim.build_lr_scheduler(optimizer, lr_scheduler="single_step", stepsize=20)
    engine = torchreid.engine.ImageSoftmaxEngine(datamanager, model, optimizer, scheduler=scheduler, use_gpu=False)
    engine.run(save_dir=str(tmp_path), max_epoch=1, print_freq=1)
    assert "=> Final test" in capsys.readouterr().out
