"""torchreid's own engines, which store scores and seconds for the results of a run, as ``ImageCCAFLEngine`` does."""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import Any

import torch
import torchreid

from ccafl_plugin.engine.not_finite import check_state
from ccafl_plugin.engine.scored_engine import ScoredEngine
from ccafl_plugin.utils.digests import write_verified
from ccafl_plugin.utils.files import write_whole
from ccafl_plugin.utils.stopping import shielded


class TimedEngine(ScoredEngine):
    """Measures the seconds of all epochs, without tests; ends between iterations, and writes whole files only.

    A checkpoint is written before each test of a training run. torchreid writes it after the test, so a test that fails
    would lose the training before it.
    """

    _trains_into = ""  # the folder of a run that trains
    _rank1 = 0.0

    def run(self, save_dir: str = "log", *args: Any, **settings: Any) -> None:
        """Runs torchreid's ``run``; takes all of its arguments, ``test_only`` by name."""
        self._trains_into = "" if settings.get("test_only", False) else save_dir
        super().run(save_dir, *args, **settings)

    def forward_backward(self, data: Any) -> Any:
        """One iteration, which a signal does not break off."""
        with shielded():
            return super().forward_backward(data)

    def save_model(self, epoch: int, rank1: float, save_dir: str, is_best: bool = False) -> None:  # noqa: ARG002
        """torchreid's files with torchreid's content, written atomically."""
        for name, model in self._models.items():
            state = {
                "state_dict": model.state_dict(),
                "epoch": epoch + 1,
                "rank1": rank1,
                "optimizer": self._optims[name].state_dict(),
                "scheduler": self._scheds[name].state_dict(),
            }
            check_state({name: state}, epoch + 1)
            file = Path(save_dir) / name / f"model.pth.tar-{epoch + 1}"
            with shielded():
                write_whole(file, functools.partial(write_verified, write=functools.partial(torch.save, state)))
            print(f'Checkpoint saved to "{file}"')

    def train(self, *args: Any, **settings: Any) -> None:
        """Trains one epoch with torchreid's method."""
        started = time.monotonic()
        super().train(*args, **settings)
        self.history.training_seconds += time.monotonic() - started

    def test(self, *args: Any, **settings: Any) -> float:
        """Tests with torchreid's method, after the checkpoint."""
        if self._trains_into and self.max_epoch > 0:
            self.save_model(self.epoch, self._rank1, self._trains_into)
        self._rank1 = super().test(*args, **settings)
        return self._rank1


class SoftmaxEngine(TimedEngine, torchreid.engine.ImageSoftmaxEngine):
    """torchreid's engine for ``loss.name softmax``."""


class TripletEngine(TimedEngine, torchreid.engine.ImageTripletEngine):
    """torchreid's engine for ``loss.name triplet``."""
