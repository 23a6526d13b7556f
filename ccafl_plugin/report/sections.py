"""All sections of the page, in their order. A part that fails says so in one line, and the others are shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ccafl_plugin.report import track_groups
from ccafl_plugin.report.association_curves import association_section
from ccafl_plugin.report.from_models import FAULTS, FromModels, one_line
from ccafl_plugin.report.page_blocks import Panel, Section
from ccafl_plugin.report.pictures import Pictures
from ccafl_plugin.report.provenance_part import configuration_section, overview_section
from ccafl_plugin.report.recorded_run import RecordedRun
from ccafl_plugin.report.scores import scores_section
from ccafl_plugin.report.training_curves import training_section


def all_sections(
    runs: Sequence[RecordedRun], root: str = "", with_model: bool = True, identities: str = ""
) -> list[Section]:
    """The sections of the page.

    Args:
        runs: the runs.
        root: data root; empty: those of the configurations.
        with_model: whether to compute what needs data and model.
        identities: folder of associate.py; empty: those in the runs' folders.
    """
    pictures = Pictures()
    found = FromModels(runs, root, pictures) if with_model else None
    curves, names = (found.curves, found.camera_names) if found else ({}, {})
    made = [
        _guarded(runs, "overview", "Overview", lambda: overview_section(runs)),
        _guarded(runs, "scores", "Scores", lambda: scores_section(runs, curves, names)),
        _guarded(runs, "training", "Training", lambda: training_section(runs)),
        _guarded(runs, "association", "Association across cameras", lambda: association_section(runs)),
        *(found.sections if found else []),
        groups_section(runs, identities, pictures),
        _guarded(runs, "configuration", "Configuration and versions", lambda: configuration_section(runs)),
    ]
    made[0].panels[-1].missing += pictures.lines()
    return made


def groups_section(runs: Sequence[RecordedRun], identities: str, pictures: Pictures) -> Section:
    """Groups of tracks where associate.py made some; without any the section is empty and is left out."""
    section = Section("groups", "Identities across cameras", track_groups.LEAD)
    for run in runs:
        panel = Panel(run.name)
        for folder in track_groups.folders_with_identities(run, identities)[:1]:
            try:
                track_groups.add_groups(panel, folder, pictures)
            except FAULTS as error:
                panel.missing.append(f"Identities of {folder.name}: {one_line(error)}")
        section.panels.append(panel)
    return section


def _guarded(runs: Sequence[RecordedRun], name: str, title: str, make: Callable[[], Section]) -> Section:
    try:
        return make()
    except FAULTS as error:
        line = f"This part can't be shown: {one_line(error)}"
        return Section(name, title, panels=[Panel(run.name, missing=[line]) for run in runs[:1]])
