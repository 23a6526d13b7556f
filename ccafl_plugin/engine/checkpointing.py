"""Saves a run, resumes it, and branches another run from it; ``checkpoints`` handles the files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ccafl_plugin.engine import checkpoints
from ccafl_plugin.engine.earlier_runs import described, earlier_runs, remove_partial_files, set_aside
from ccafl_plugin.engine.not_finite import check_state
from ccafl_plugin.engine.state import MAIN, TrainingState
from ccafl_plugin.utils.distributed import is_first_process
from ccafl_plugin.utils.errors import CCAFLError


class Checkpointing:
    """Writes a run's state at the end of every epoch, and reads it back.

    Args:
        state: state of the run; it is changed in place when a checkpoint is loaded.
        architecture: facts that must be equal in a checkpoint and in the run that loads it.
        keep: number of the newest checkpoints that are kept.
        keep_epochs: numbers of finished epochs whose checkpoints are always kept.

    Attributes:
        goes_on: True if a checkpoint has been loaded.
        folder: folder of the run's checkpoints; None while it has none.
    """

    def __init__(
        self, state: TrainingState, architecture: dict[str, Any], keep: int, keep_epochs: frozenset[int]
    ) -> None:
        self.state = state
        self.architecture = architecture
        self.keep = keep
        self.keep_epochs = keep_epochs
        self.goes_on = False
        self.folder: Path | None = None

    def save(self, finished_epochs: int, save_dir: str) -> None:
        """Writes the run's state in torchreid's format, and a manifest; only the first process writes.

        Args:
            finished_epochs: 0 after stage 1.
            save_dir: folder of the run.

        Raises:
            NonFiniteState: a number of the state is infinite or NaN; nothing is written.
            OSError: a file could not be written; the last checkpoint is unchanged.
        """
        if not is_first_process():
            return
        parts = self.state.parts(finished_epochs)
        check_state(parts, finished_epochs)
        facts = {"architecture": self.architecture, **self.state.score_facts(), **self.state.history.facts()}
        checkpoints.save(save_dir, parts, facts, self.keep, self.keep_epochs)

    def note_scores(self, finished_epochs: int, save_dir: str) -> None:
        """Writes the scores of a test into the manifest of the checkpoint that was written before the test.

        Args:
            finished_epochs: see :meth:`save`.
            save_dir: see :meth:`save`.
        """
        if not is_first_process():
            return
        try:
            checkpoints.amend(save_dir, finished_epochs, self.state.score_facts())
        except checkpoints.DamagedCheckpoint:  # somebody has removed it meanwhile
            self.save(finished_epochs, save_dir)

    def resume(
        self, path: str, to_train: bool = True, check: Callable[[Mapping[str, Any]], object] | None = None
    ) -> int:
        """Continues a run from a checkpoint, which was written at the end of an epoch.

        Args:
            path: a run's folder, a manifest or a part's file.
            to_train: False for a test, which needs no equal learning rate, schedule and data.
            check: called with the manifest before anything is loaded; it may raise an error.

        Returns:
            The epoch to start with.

        Raises:
            CCAFLError: there is no complete checkpoint, or it is of another model, other terms or other images, or
                (after the first epoch) of another optimizer, learning rate or schedule.
        """
        file, manifest, parts = checkpoints.open_checkpoint(path)
        if to_train and check is not None:
            check(manifest)
        if not self._is_of_this_model(manifest, to_train) or set(parts) != set(self.state.models):
            raise CCAFLError(
                f"model.resume: {str(path)!r} is a checkpoint of {manifest.get('architecture')} with the parts "
                f"{sorted(parts)}, but this run is {self.architecture} with the parts {sorted(self.state.models)}. "
                "Name a checkpoint of this configuration."
            )
        history, dataset = self.state.history, manifest.get("dataset")
        if to_train and dataset and dataset != history.dataset:
            raise CCAFLError(
                f"model.resume: {str(path)!r} was trained on {dataset.get('images')} other images or labels than these "
                f"{history.dataset['images']}. Name the same data, or begin a new run."
            )
        self._go_on_from(manifest, parts, "model.resume", path, to_train)
        if history.effective_settings is not None:
            earlier = manifest.get("effective_settings", {})
            history.effective_settings = history.effective_settings.going_on_from(earlier)
        self.folder = file.parent.resolve()
        print(f'Resumed from "{path}", epoch {manifest["epoch"]}')
        if checkpoints.CONTENTS not in manifest:
            print(
                "Note: the checkpoint is of version 0.1.0, which stored no sizes and digests, no settings and no "
                "fingerprint of the data; they could not be compared."
            )
        return manifest["epoch"]

    def branch(self, path: str) -> int:
        """Continues from a checkpoint of another run, whose terms and later settings may differ.

        The checkpoint must have a matching model, optimizer and scheduler. If it lacks another part (the proxy
        classifier), this part starts new. A part that this run does not have is ignored. An optimizer without any step
        keeps this run's settings. If both runs have the same settings up to the checkpoint's epoch, this run gives the
        same result as training from its first epoch.

        Args:
            path: a run's folder, a manifest or a part's file.

        Returns:
            The epoch to start with.

        Raises:
            CCAFLError: there is no complete checkpoint, or it does not match.
        """
        manifest, parts = checkpoints.load(path, "ccafl.branch_from")
        if not self._is_of_this_model(manifest):
            raise CCAFLError(
                f"ccafl.branch_from: {str(path)!r} is a checkpoint of {manifest.get('architecture')}, "
                f"but this run is {self.architecture}. Name a checkpoint of the same model and data."
            )
        shared = {name: saved for name, saved in parts.items() if name in self.state.models}
        self._go_on_from(manifest, shared, "ccafl.branch_from", path)
        print(f'Branched from "{path}", epoch {manifest["epoch"]}, with {", ".join(shared)}')
        return manifest["epoch"]

    def make_room(self, save_dir: str, start_epoch: int) -> None:
        """Moves checkpoints of other runs, and of epochs that this run repeats, out of the run's folder.

        Args:
            save_dir: folder of the run.
            start_epoch: number of epochs that are already finished.
        """
        own = self.folder == Path(save_dir).resolve()
        self.folder = Path(save_dir).resolve()
        if not is_first_process():
            return
        for file in remove_partial_files(save_dir):
            print(f"Removed {file}, which an interrupted run had not finished")
        aside = set_aside(save_dir, behind=start_epoch if own else -1)
        if aside is not None:
            print(f'Checkpoints of an earlier run in "{save_dir}" are now in "{aside}"')
        found = earlier_runs(save_dir)
        if found:
            print(f"Of earlier runs in {save_dir} (ccafl-checkpoints {save_dir} --remove-earlier removes them):")
            print("\n".join(f"  {described(folder)}" for folder in found))

    def _is_of_this_model(self, manifest: Mapping[str, Any], to_train: bool = True) -> bool:
        """Compares what a manifest says of the model; version 0.1.0 did not say for which input size it was built."""
        saved = manifest.get("architecture")
        if not isinstance(saved, Mapping) or not saved:
            return False
        compared = [key for key in saved if to_train or key != "input"]
        return all(self.architecture.get(key) == saved[key] for key in compared)

    def _go_on_from(
        self, manifest: dict[str, Any], parts: dict[str, Any], key: str, path: str, to_train: bool = True
    ) -> None:
        """Loads the parts and the history of a checkpoint."""
        if MAIN not in parts:
            raise CCAFLError(f"{key}: the checkpoint {str(path)!r} has no part {MAIN!r}. Name another checkpoint.")
        for name, saved in parts.items():
            try:
                self.state.load_part(name, saved, stepped=to_train and manifest["epoch"] > 0)
            except (RuntimeError, ValueError, KeyError) as error:
                reason = " ".join(str(error).split())
                raise CCAFLError(
                    f"{key}: the part {name!r} of {str(path)!r} does not match this run: {reason}"
                ) from error
        if "rank1" in manifest:
            self.state.rank1 = float(manifest["rank1"])
        self.goes_on = True
        self.state.history.go_on_from(manifest)
