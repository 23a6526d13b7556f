"""torchreid's own engines, which store scores and seconds for the results of a run, as ``ImageCCAFLEngine`` does."""

from __future__ import annotations

import time
from typing import Any

import torchreid

from ccafl_plugin.engine.scored_engine import ScoredEngine


class TimedEngine(ScoredEngine):
    """Measures the seconds of all epochs, without tests."""

    def train(self, *args: Any, **settings: Any) -> None:
        """Trains one epoch with torchreid's method."""
        started = time.monotonic()
        super().train(*args, **settings)
        self.history.training_seconds += time.monotonic() - started


class SoftmaxEngine(TimedEngine, torchreid.engine.ImageSoftmaxEngine):
    """torchreid's engine for ``loss.name softmax``."""


class TripletEngine(TimedEngine, torchreid.engine.ImageTripletEngine):
    """torchreid's engine for ``loss.name triplet``."""
