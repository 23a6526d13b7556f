"""Results of finished runs in one file, which can be kept when the folders of the runs are deleted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ccafl_plugin.suites.run_plan import Run
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.files import write_text_whole

KEPT = (
    "config_digest",
    "code_digest",
    "earlier_code",
    "scores",
    "camera_pairs",
    "association",
    "camera_probe",
    "training_seconds",
    "peak_memory",
    "epochs",
    "sources",
    "targets",
    "training_set",
    "test_sets",
    "model",
    "effective_settings",
    "settings",
    "versions",
    "machine",
    "finished",
)
"""Entries that tables, figures and ``runs.csv`` need, in the order of the file."""


class ResultsFile:
    """Results of finished runs, one line each, sorted by row, dataset, seed and settings.

    A line belongs to a run if the digests of their settings are equal; the row's name does not matter. Lines of other
    settings stay in the file, and a suite without these settings ignores them.

    Args:
        file: a JSON file; it need not exist yet.

    Raises:
        CCAFLError: the file exists, but has other content or could not be read.
    """

    def __init__(self, file: str | Path) -> None:
        self.file = Path(file)
        self._lines = self._read()

    def find(self, run: Run) -> dict[str, Any] | None:
        """The results of a run, found by its settings; None if the file does not have them."""
        return self._lines.get(run.digest)

    def add(self, run: Run, results: dict[str, Any]) -> None:
        """Writes the line of a finished run, atomically. Lines that other processes have written meanwhile are kept.

        Args:
            run: the run.
            results: the content of its ``results.json``. For the association, only the first and last epoch are kept.
        """
        kept = {key: results[key] for key in KEPT if key in results}
        steps = kept.get("association", [])
        kept["association"] = [steps[0], steps[-1]] if len(steps) > 1 else steps
        line = {"row": run.row, "dataset": run.dataset, "seed": run.seed, **kept}
        self._lines = {**self._read(), run.digest: line}
        lines = sorted(self._lines.values(), key=_place)
        text = ",\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
        write_text_whole(self.file, f'{{"runs": [\n{text}\n]}}\n')

    def _read(self) -> dict[str, dict[str, Any]]:
        """Digest of the settings -> line."""
        try:
            runs = json.loads(self.file.read_text(encoding="utf-8"))["runs"]
            return {line["config_digest"]: line for line in sorted(runs, key=_place)}
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise CCAFLError(f"--results: could not read {str(self.file)!r}: {error.strerror}.") from error
        except (ValueError, KeyError, TypeError) as error:
            raise CCAFLError(
                f"--results: {str(self.file)!r} is not a results file, which is JSON with the content "
                "{'runs': [...]}. Name another file, or repair this one."
            ) from error


def _place(line: dict[str, Any]) -> tuple[str, str, int, str]:
    """Sort key of a line."""
    return line["row"], line["dataset"], line["seed"], line["config_digest"]
