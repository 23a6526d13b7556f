"""``ccafl-train`` with a clock: python -m benchmarks.timed_training STARTED FILE [arguments of ccafl-train]."""

from __future__ import annotations

import functools
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Clock:
    """Seconds by part. A part that runs inside another is taken out of it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inner: list[float] = []  # seconds of the parts inside each part that runs now

    def watch(self, part: str, owner: Any, name: str) -> None:
        """Counts the calls of a function of a class or module to a part."""
        self.seconds.setdefault(part, 0.0)
        function: Callable[..., Any] = getattr(owner, name)

        @functools.wraps(function)
        def timed(*arguments: Any, **options: Any) -> Any:
            started = time.perf_counter()
            self._inner.append(0.0)
            try:
                return function(*arguments, **options)
            finally:
                spent = time.perf_counter() - started
                self.seconds[part] += spent - self._inner.pop()
                if self._inner:
                    self._inner[-1] += spent

        setattr(owner, name, timed)


def main(arguments: list[str]) -> int:
    """Runs the command; the first argument is the wall-clock time at the start of the process."""
    started, file, *sys.argv[1:] = arguments
    clock = Clock()
    import ccafl_train
    from ccafl_plugin.engine import ImageCCAFLEngine, epoch_start, extraction, text_side
    from ccafl_plugin.runs import building
    from ccafl_plugin.synthetic import dataset

    clock.seconds["import"] = time.time() - float(started)
    clock.watch("rendering", dataset, "ensure")
    clock.watch("datasets and model", building, "build_data_manager")
    clock.watch("datasets and model", building, "build_model")
    clock.watch("datasets and model", building, "build_engine")
    clock.watch("stage 1", text_side.TextSide, "learn")
    clock.watch("extraction", extraction.TrainingImages, "encode")
    clock.watch("association and memories", epoch_start.EpochStart, "__call__")
    clock.watch("steps", ImageCCAFLEngine, "forward_backward")
    clock.watch("loop around the steps, with waiting for images", ImageCCAFLEngine, "train")
    clock.watch("checkpoints", ImageCCAFLEngine, "save_model")
    clock.watch("evaluation", ImageCCAFLEngine, "_evaluate")
    code = ccafl_train.main()
    Path(file).write_text(json.dumps(clock.seconds))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
