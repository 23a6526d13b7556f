"""torchreid's ``save_model``, and how a run goes on: checkpoints of the whole state instead of the model alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ccafl_plugin.engine.checkpointing import Checkpointing
from ccafl_plugin.engine.shared_evaluation import SharedTests
from ccafl_plugin.engine.state import TrainingState
from ccafl_plugin.utils.distributed import quiet_unless_first


class CheckpointedEngine(SharedTests):
    """An engine that writes checkpoints and continues from one.

    Attributes:
        state: everything that a checkpoint contains.
        checkpoints: writes and reads checkpoints.
    """

    state: TrainingState
    checkpoints: Checkpointing

    _saved: tuple[int, str] | None = None
    """Epoch and folder of a checkpoint that still is the state, but for the scores of a test."""

    def save_model(self, epoch: int, rank1: float, save_dir: str, is_best: bool = False) -> None:  # noqa: ARG002
        """Writes a checkpoint of :attr:`state` in torchreid's format, with a manifest.

        A run that has been tested since its last epoch ended writes only the scores, into the manifest.

        Args:
            epoch: the finished epoch, from 0; -1 after stage 1.
            rank1: Rank-1 of the last test.
            save_dir: folder of the run.
            is_best: kept for torchreid's signature, without effect; scores are those of the last epoch.
        """
        self.state.rank1 = float(rank1)
        if self._saved == (epoch, save_dir):
            self.checkpoints.note_scores(epoch + 1, save_dir)
        else:
            self.checkpoints.save(epoch + 1, save_dir)

    def resume(
        self, path: str, to_train: bool = True, check: Callable[[Mapping[str, Any]], object] | None = None
    ) -> int:
        """Continues from a checkpoint; see :meth:`Checkpointing.resume`."""
        with quiet_unless_first():
            return self.checkpoints.resume(path, to_train, check)

    def branch(self, path: str) -> int:
        """Continues from a checkpoint of another run; see :meth:`Checkpointing.branch`."""
        with quiet_unless_first():
            return self.checkpoints.branch(path)
