"""The engine's step: batches in parts, precision, and states that change machines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from ccafl_plugin.engine import ImageCCAFLEngine
from ccafl_plugin.engine.encoder_pass import narrow_type
from ccafl_plugin.engine.extraction import extract
from ccafl_plugin.utils.errors import CCAFLError
from tests.engine.small_runs import Recorder, assert_equal, make_engine, make_manager, weights


def run(engine: ImageCCAFLEngine, folder: Path, **settings: Any) -> list[dict[str, float]]:
    record = Recorder(engine)
    engine.run(save_dir=str(folder), max_epoch=3, **settings)
    return record.reports


def with_batch_norms_on_running_statistics(engine: ImageCCAFLEngine) -> ImageCCAFLEngine:
    """In float64, and with batch norms that never see a batch's own statistics."""
    engine.model.double()
    open_layers = engine.two_stepped_transfer_learning  # the last thing that torchreid does before an epoch

    def two_stepped_transfer_learning(*arguments: Any) -> None:
        open_layers(*arguments)
        for module in engine.model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()

    engine.two_stepped_transfer_learning = two_stepped_transfer_learning
    forward = engine.encoder.forward
    engine.encoder.forward = lambda images, *rest: forward(images.double(), *rest)
    for loaders in engine.test_loader.values():
        for loader in loaders.values():
            loader.collate_fn = lambda items: _double(torch.utils.data.default_collate(items))
    images = engine.epoch_start.images
    encode_images = images.encode
    images.encode = lambda encode, *rest: encode_images(lambda batch: encode(batch.double()), *rest)
    return engine


def _double(batch: dict[str, Any]) -> dict[str, Any]:
    return {**batch, "img": batch["img"].double()}


def test_a_run_in_parts_is_the_run_in_whole_batches(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Every term, the memories included, to the rounding of the memories' float32."""
    whole, parts = (
        with_batch_norms_on_running_statistics(make_engine(pictures, accumulation=accumulation))
        for accumulation in (1, 4)
    )
    expected, printed = run(whole, tmp_path / "whole"), capsys.readouterr().out
    assert "Every batch runs" not in printed
    reports, printed = run(parts, tmp_path / "parts"), capsys.readouterr().out
    assert "Every batch runs in 4 parts; batch norms see the parts, not the batch\n" in printed
    for report, other in zip(reports, expected, strict=True):
        assert report == pytest.approx(other, rel=1e-5)
    for name, value in weights(whole).items():
        torch.testing.assert_close(weights(parts)[name], value, rtol=1e-5, atol=1e-7, msg=name)


def test_parts_in_training_mode(pictures: Path, tmp_path: Path) -> None:
    """As a user has it: batch norms see the parts; each of an iteration's parts counts once."""
    engine = make_engine(pictures, accumulation=2)
    reports = run(engine, tmp_path)
    assert len(reports) == 6
    assert int(engine.model.neck.num_batches_tracked) == 2 * 6
    assert not torch.equal(engine.model.neck.running_mean, torch.zeros(512))


def test_wrong_settings_are_refused(pictures: Path) -> None:
    with pytest.raises(CCAFLError, match=r"^accumulation: a batch of 8 .* into 3 equal parts .* one of 1, 2, 4\."):
        make_engine(pictures, accumulation=3)
    with pytest.raises(CCAFLError, match=r"^precision: 'fp61' .* Did you mean 'fp16'"):
        make_engine(pictures, precision="fp61")
    with pytest.raises(CCAFLError, match=r"^extraction_precision: 'bf' "):
        make_engine(pictures, extraction_precision="bf")


@pytest.mark.filterwarnings("ignore:IntraCameraSampler")
def test_batches_of_several_sizes_run_in_parts(pictures: Path, tmp_path: Path) -> None:
    """The check takes the largest size; a smaller batch has fewer parts."""
    manager = make_manager(pictures, train_sampler="IntraCameraSampler", batch_size_train=16)
    assert manager.train_loader.batch_size is None
    engine = make_engine(pictures, manager, accumulation=8)
    reports = run(engine, tmp_path)
    assert reports
    with pytest.raises(CCAFLError, match="a batch of 16 "):
        make_engine(pictures, manager, accumulation=5)


def test_precisions() -> None:
    gpu, cpu = torch.device("cuda"), torch.device("cpu")
    assert [narrow_type(name, gpu) for name in ("fp32", "fp16", "bf16")] == [None, torch.float16, torch.bfloat16]
    assert {narrow_type(name, cpu) for name in ("fp32", "fp16", "bf16")} == {None}


def test_mixed_precision_is_for_gpus_only(pictures: Path) -> None:
    engine = make_engine(pictures, precision="bf16", extraction_precision="bf16")
    assert (engine.encoder.dtype, engine.epoch_start.dtype) == (None, None)
    assert not engine.state.scaler.is_enabled()


def test_a_run_goes_on_in_another_precision(pictures: Path, tmp_path: Path) -> None:
    """A checkpoint without a scaler's state starts the scaler afresh, one with it is read where there is one."""
    whole = make_engine(pictures)
    whole.run(save_dir=str(tmp_path / "whole"), max_epoch=2)
    first = make_engine(pictures)
    first.run(save_dir=str(tmp_path / "parts"), max_epoch=1)
    second = make_engine(pictures)
    second.state.scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    start = second.resume(str(tmp_path / "parts"))
    assert second.state.scaler.get_scale() == 4.0
    second.run(save_dir=str(tmp_path / "parts"), max_epoch=2, start_epoch=start)
    for name, value in weights(whole).items():
        torch.testing.assert_close(weights(second)[name], value, rtol=1e-3, atol=1e-4, msg=name)
    third = make_engine(pictures)
    third.resume(str(tmp_path / "parts"))
    assert_equal(weights(third), weights(second))


def test_features_in_mixed_precision_are_float32_near_the_exact_ones() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 5))
    loader = [{"img": torch.randn(n, 3, 2, 2, generator=torch.Generator().manual_seed(n))} for n in (4, 3)]
    exact, narrow = (extract(loader, model, torch.device("cpu"), dtype) for dtype in (None, torch.bfloat16))
    assert exact.shape == (7, 5) and exact.dtype == narrow.dtype == torch.float32
    assert torch.equal(exact[4:], model(loader[1]["img"]))
    assert not torch.equal(exact, narrow)
    torch.testing.assert_close(narrow, exact.detach(), rtol=0.05, atol=0.05)
