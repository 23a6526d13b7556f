"""torchreid's own engines, keeping what the results of a run are made of, as ``ImageCCAFLEngine`` does."""

from __future__ import annotations

import time
from typing import Any

import torchreid

from ccafl_plugin.engine.scored_engine import ScoredEngine


class TimedEngine(ScoredEngine):
    """Counts the seconds of all epochs, without tests."""

    def train(self, *args: Any, **settings: Any) -> None:
        """One epoch of torchreid's."""
        started = time.monotonic()
        super().train(*args, **settings)
        self.history.training_seconds += time.monotonic() - started


class SoftmaxEngine(TimedEngine, torchreid.engine.ImageSoftmaxEngine):
    """torchreid's for ``loss.name softmax``."""


class TripletEngine(TimedEngine, torchreid.engine.ImageTripletEngine):
    """torchreid's for ``loss.name triplet``."""
