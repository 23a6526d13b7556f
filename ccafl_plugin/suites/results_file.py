"""Numbers of finished runs in one file, which outlives the folders that they were made in."""

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
    "association",
    "camera_probe",
    "training_seconds",
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
"""What tables, figures and ``runs.csv`` are made of, in the order of the file."""


class ResultsFile:
    """Results of finished runs, one line each, sorted by row, dataset, seed and settings.

    A run belongs to a line if the digests of their settings are equal, whatever its row is called. Lines of other
    settings stay in the file and mean nothing to a suite that doesn't have them.

    Args:
        file: JSON; need not be there yet.

    Raises:
        CCAFLError: it is there and holds something else, or can't be read.
    """

    def __init__(self, file: str | Path) -> None:
        self.file = Path(file)
        self._lines = self._read()

    def find(self, run: Run) -> dict[str, Any] | None:
        """The results of a run's settings; None if the file doesn't have them."""
        return self._lines.get(run.digest)

    def add(self, run: Run, results: dict[str, Any]) -> None:
        """Writes a finished run's line; the file is the old one or the new one, never half of it.

        What others have written meanwhile is kept.

        Args:
            run: names the line.
            results: the content of its ``results.json``; of the association the first and the last epoch are kept.
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
            raise CCAFLError(f"--results: can't read {str(self.file)!r}: {error.strerror}.") from error
        except (ValueError, KeyError, TypeError) as error:
            raise CCAFLError(
                f"--results: {str(self.file)!r} is not a file of results: it is JSON, {{'runs': [...]}}, as written "
                "by this option; name another one or mend it."
            ) from error


def _place(line: dict[str, Any]) -> tuple[str, str, int, str]:
    """Where a line stands in the file."""
    return line["row"], line["dataset"], line["seed"], line["config_digest"]
