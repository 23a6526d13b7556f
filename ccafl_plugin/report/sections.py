"""All sections of the page, in their order. A part that fails says so in one line, and the others are shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ccafl_plugin.report import rankings
from ccafl_plugin.report.association_curves import association_section
from ccafl_plugin.report.page_blocks import Panel, Section
from ccafl_plugin.report.pictures import Pictures
from ccafl_plugin.report.provenance_part import configuration_section, overview_section
from ccafl_plugin.report.ranked_queries import RankedQueries, tested_distances
from ccafl_plugin.report.rebuilt_run import RebuiltRun, rebuilt
from ccafl_plugin.report.recorded_run import RecordedRun
from ccafl_plugin.report.scores import scores_section
from ccafl_plugin.report.training_curves import training_section
from ccafl_plugin.utils.errors import CCAFLError

FAULTS = (CCAFLError, OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RuntimeError)
"""What files of other programs, damaged ones among them, make of code that reads them."""


def all_sections(runs: Sequence[RecordedRun], root: str = "", with_model: bool = True) -> list[Section]:
    """The sections of the page.

    Args:
        runs: the runs.
        root: data root; empty: those of the configurations.
        with_model: whether to compute what needs data and model.
    """
    found = FromModels(runs, root) if with_model else None
    made = [
        _guarded(runs, "overview", "Overview", lambda: overview_section(runs)),
        _guarded(runs, "scores", "Scores", lambda: scores_section(runs, found.curves if found else {})),
        _guarded(runs, "training", "Training", lambda: training_section(runs)),
        _guarded(runs, "association", "Association across cameras", lambda: association_section(runs)),
        *(found.sections if found else []),
        _guarded(runs, "configuration", "Configuration and versions", lambda: configuration_section(runs)),
    ]
    return made


class FromModels:
    """What needs the runs' data and models, computed run by run.

    Attributes:
        curves: folder of a run -> dataset -> CMC.
        sections: parts of the page.
    """

    def __init__(self, runs: Sequence[RecordedRun], root: str) -> None:
        self.curves: dict[Path, dict[str, list[float]]] = {}
        self.pictures = Pictures()
        self.rankings = Section("rankings", "Rankings", rankings.LEAD)
        self.sections = [self.rankings]
        self.rows = rankings.rows_per_run(len(runs))
        for run in runs:
            for section in self.sections:
                section.panels.append(Panel(run.name))
            try:
                with rebuilt(run, root) as again:
                    self._of_run(again)
            except FAULTS as error:
                line = one_line(error)
                self.sections[0].panels[-1].missing.append(f"What needs data and model is not shown: {line}")
        if self.rankings.panels:
            self.rankings.panels[-1].missing += self.pictures.lines()

    def _of_run(self, again: RebuiltRun) -> None:
        images = again.test_images()
        again.load_trained()
        panel = self.rankings.panels[-1]
        if images is None:
            panel.missing.append("No rankings: there is no query and gallery with ids that hold across cameras.")
            return
        features = again.features(images.paths, "test images", unit=False)
        ranked = RankedQueries(tested_distances(again, images, features), images)
        self.curves[again.run.path] = {images.dataset: ranked.curve().tolist()}
        rankings.add_rankings(panel, again, ranked, self.pictures, self.rows)


def one_line(error: BaseException) -> str:
    """An error in one line, with its kind if it is none of ours."""
    text = " ".join(str(error).split())[:300]
    return text if isinstance(error, CCAFLError) else f"{type(error).__name__}: {text}"


def _guarded(runs: Sequence[RecordedRun], name: str, title: str, make: Callable[[], Section]) -> Section:
    try:
        return make()
    except FAULTS as error:
        line = f"This part can't be shown: {one_line(error)}"
        return Section(name, title, panels=[Panel(run.name, missing=[line]) for run in runs[:1]])
