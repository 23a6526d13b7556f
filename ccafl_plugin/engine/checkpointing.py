"""Saving a run, resuming it, and branching another run from it; ``checkpoints`` knows the files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ccafl_plugin.engine import checkpoints
from ccafl_plugin.engine.state import MAIN, TrainingState
from ccafl_plugin.utils.distributed import is_first_process
from ccafl_plugin.utils.errors import CCAFLError


class Checkpointing:
    """Writes a run's state at the end of every epoch, and reads it back.

    Args:
        state: of the run; read when it is saved, changed in place when a run goes on.
        architecture: what must agree between a checkpoint and the run that goes on from it.
        keep: how many of the newest checkpoints stay.
        keep_epochs: numbers of finished epochs whose checkpoint stays however old it is.

    Attributes:
        goes_on: whether a checkpoint has been loaded.
        folder: of the run, where its checkpoints are; None while it has none.
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
        """Writes everything a run needs, in torchreid's layout, and a manifest; the first process does it for all.

        Args:
            finished_epochs: 0 after stage 1.
            save_dir: folder of the run.
        """
        if not is_first_process():
            return
        facts = {"architecture": self.architecture, **self.state.history.facts()}
        checkpoints.save(save_dir, self.state.parts(finished_epochs), facts, self.keep, self.keep_epochs)

    def resume(self, path: str, to_train: bool = True) -> int:
        """Goes on from a checkpoint's end of epoch.

        Args:
            path: a run's folder, a manifest or a part's file.
            to_train: False for a test: learning rate and schedule don't matter then.

        Returns:
            The epoch to start with.

        Raises:
            CCAFLError: no whole checkpoint there, or one of another model, other terms, or, behind the first epoch,
                another learning rate or schedule.
        """
        manifest, parts = checkpoints.load(path)
        if manifest.get("architecture") != self.architecture or set(parts) != set(self.state.models):
            raise CCAFLError(
                f"model.resume: {str(path)!r} is a checkpoint of {manifest.get('architecture')} with the parts "
                f"{sorted(parts)}, this run is {self.architecture} with {sorted(self.state.models)}."
            )
        self._go_on_from(manifest, parts, "model.resume", path, to_train)
        history = self.state.history
        if history.effective_settings is not None:
            earlier = manifest.get("effective_settings", {})
            history.effective_settings = history.effective_settings.going_on_from(earlier)
        self.folder = checkpoints.find_manifest(path).parent.resolve()
        print(f'Resumed from "{path}", epoch {manifest["epoch"]}')
        return manifest["epoch"]

    def branch(self, path: str) -> int:
        """Goes on from a checkpoint of another run, whose terms and later settings may differ.

        Model, optimizer and scheduler must be there and fit. Another part that the checkpoint lacks (the proxy
        classifier) starts fresh, one that this run lacks is ignored. An optimizer that has not stepped yet keeps this
        run's settings. If both runs have the same settings up to the checkpoint's epoch, this run ends as if it had
        been trained from its first epoch.

        Args:
            path: a run's folder, a manifest or a part's file.

        Returns:
            The epoch to start with.

        Raises:
            CCAFLError: no whole checkpoint there, or one that does not fit.
        """
        manifest, parts = checkpoints.load(path, "ccafl.branch_from")
        if manifest.get("architecture") != self.architecture:
            raise CCAFLError(
                f"ccafl.branch_from: {str(path)!r} is a checkpoint of {manifest.get('architecture')}, "
                f"this run is {self.architecture}."
            )
        shared = {name: saved for name, saved in parts.items() if name in self.state.models}
        self._go_on_from(manifest, shared, "ccafl.branch_from", path)
        print(f'Branched from "{path}", epoch {manifest["epoch"]}, with {", ".join(shared)}')
        return manifest["epoch"]

    def make_room(self, save_dir: str, start_epoch: int) -> None:
        """Moves checkpoints of other runs, or of epochs that this one repeats, out of a folder that it begins to fill.

        Args:
            save_dir: folder of the run.
            start_epoch: number of epochs that lie behind this run.
        """
        own = self.folder == Path(save_dir).resolve()
        self.folder = Path(save_dir).resolve()
        if not is_first_process():
            return
        aside = checkpoints.set_aside(save_dir, behind=start_epoch if own else -1)
        if aside is not None:
            print(f'Checkpoints of an earlier run in "{save_dir}" are now in "{aside}"')

    def _go_on_from(
        self, manifest: dict[str, Any], parts: dict[str, Any], key: str, path: str, to_train: bool = True
    ) -> None:
        """Loads the parts of a checkpoint and what has been noted up to it."""
        if MAIN not in parts:
            raise CCAFLError(f"{key}: the checkpoint {str(path)!r} has no part {MAIN!r}.")
        for name, saved in parts.items():
            try:
                self.state.load_part(name, saved, stepped=to_train and manifest["epoch"] > 0)
            except (RuntimeError, ValueError, KeyError) as error:
                reason = " ".join(str(error).split())
                raise CCAFLError(
                    f"{key}: the part {name!r} of {str(path)!r} does not fit this run: {reason}"
                ) from error
        self.goes_on = True
        self.state.history.go_on_from(manifest)
