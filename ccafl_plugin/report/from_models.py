"""The sections that need the runs' data and models, which are built again, one run after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ccafl_plugin.report import activation_maps, feature_space, learned_prompts, rankings
from ccafl_plugin.report.feature_space import Moment
from ccafl_plugin.report.learned_prompts import Comparison, Prompts
from ccafl_plugin.report.page_blocks import Panel, Section
from ccafl_plugin.report.pictures import Pictures
from ccafl_plugin.report.ranked_queries import RankedQueries, distances_of_test
from ccafl_plugin.report.rebuilt_run import RebuiltRun, TestImages, rebuilt
from ccafl_plugin.report.recorded_run import RecordedRun
from ccafl_plugin.report.sampled_people import Sample, sample_of
from ccafl_plugin.utils.errors import CCAFLError

FAULTS = (CCAFLError, OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RuntimeError)
"""What files of other programs, damaged ones among them, make of code that reads them."""


class FromModels:
    """What needs the runs' data and models.

    Args:
        runs: the runs.
        root: data root; empty: those of the configurations.
        pictures: of the page.

    Attributes:
        curves: folder of a run -> dataset -> CMC.
        camera_names: folder of a run -> torchreid's number -> name, of cameras that have names.
        sections: parts of the page.
    """

    def __init__(self, runs: Sequence[RecordedRun], root: str, pictures: Pictures) -> None:
        self.curves: dict[Path, dict[str, list[float]]] = {}
        self.camera_names: dict[Path, dict[int, str]] = {}
        self.pictures = pictures
        self.features = Section("features", "Features", feature_space.LEAD)
        self.rankings = Section("rankings", "Rankings", rankings.LEAD)
        self.maps = Section("maps", "Activation maps", activation_maps.LEAD)
        self.prompts = Section("prompts", "Learned prompts", learned_prompts.LEAD)
        self.sections = [self.features, self.rankings, self.maps, self.prompts]
        self.rows = rankings.rows_per_run(len(runs))
        for run in runs:
            for section in self.sections:
                section.panels.append(Panel(run.name))
            try:
                with rebuilt(run, root) as again:
                    self._of_run(again)
            except FAULTS as error:
                line = f"What needs data and model is not shown: {one_line(error)}"
                self.sections[0].panels[-1].missing.append(line)
        for section in self.sections:
            if not any(panel.blocks for panel in section.panels):
                section.lead = ""

    def _of_run(self, again: RebuiltRun) -> None:
        """Fills in the last panel of each section; weights are loaded in the order of the epochs."""
        images = again.test_images()
        sample = sample_of(again, images)
        self.camera_names[again.run.path] = {
            camera: again.camera_name(camera) for camera in set(sample.cameras.tolist())
        }
        trained = again.trained_weights()
        moments = [Moment(0, again.features(sample.paths, "images before training"))]
        maps, texts = MapsOverTime(self, again, sample), TextsOverTime(self, again)
        for part in (maps, texts):
            part.look("before training")
        for epoch, file in again.checkpoints()[:-1]:
            again.load_trained(file)
            moments.append(Moment(epoch, again.features(sample.paths, f"images after epoch {epoch}")))
        again.load_trained(trained)
        moments.append(Moment(again.run.finished_epochs, again.features(sample.paths, "images after training")))
        self.try_to(self.features, lambda panel: self._features(panel, again, sample, moments))
        self.try_to(self.rankings, lambda panel: self._rankings(panel, again, images))
        for part in (maps, texts):
            part.look("after training")
            part.show()

    def _rankings(self, panel: Panel, again: RebuiltRun, images: TestImages | None) -> None:
        if images is None:
            raise CCAFLError("there is no query and gallery with ids that hold across cameras.")
        rankings.add_rankings(panel, again, self._ranked(again, images), self.pictures, self.rows)

    def _ranked(self, again: RebuiltRun, images: TestImages) -> RankedQueries:
        features = again.features(images.paths, "test images", unit=False)
        ranked = RankedQueries(distances_of_test(again, images, features), images)
        self.curves[again.run.path] = {images.dataset: ranked.curve().tolist()}
        return ranked

    def _features(self, panel: Panel, again: RebuiltRun, sample: Sample, moments: Sequence[Moment]) -> None:
        names = self.camera_names[again.run.path]
        panel.blocks += feature_space.embedding_drawings(sample, moments, names)
        if probe := feature_space.probe_drawing(again.run, sample, moments):
            panel.blocks.append(probe)
        if line := feature_space.no_distances(sample):
            panel.missing.append(line)
            return
        thresholds, said = feature_space.thresholds_of(again.run, sample, moments[-1].features)
        first_and_last = [moments[0], moments[-1]]
        panel.blocks += [*feature_space.distance_drawings(sample, first_and_last, thresholds), said]

    def try_to(self, section: Section, add: Callable[[Panel], None]) -> bool:
        """Calls a function with the run's panel of a section; if it fails, the panel says why. Whether it did not."""
        panel = section.panels[-1]
        try:
            add(panel)
        except FAULTS as error:
            panel.missing.append(f"{section.title}: not shown: {one_line(error)}")
            return False
        return True


class MapsOverTime:
    """Activation maps of the same images before and after training."""

    def __init__(self, page: FromModels, again: RebuiltRun, sample: Sample) -> None:
        self.page, self.again, self.sample = page, again, sample
        self.places = activation_maps.shown_images(sample)
        self.found: list[tuple[str, NDArray[np.float32]]] = []
        self.works = True

    def look(self, when: str) -> None:
        """Computes the maps with the weights that the model has now."""
        paths = [self.sample.paths[place] for place in self.places]

        def add(_: Panel) -> None:
            self.found.append((when.removesuffix(" training"), activation_maps.maps_of(self.again, paths)))

        self.works = self.works and self.page.try_to(self.page.maps, add)

    def show(self) -> None:
        """Puts the maps into the panel."""
        if self.works:
            block = activation_maps.maps_block(self.again, self.sample, self.places, self.found, self.page.pictures)
            self.page.maps.panels[-1].blocks.append(block)


class TextsOverTime:
    """Prompts compared with images before and after training."""

    def __init__(self, page: FromModels, again: RebuiltRun) -> None:
        self.page, self.again = page, again
        self.prompts: Prompts | None = None
        self.found: dict[str, Comparison] = {}

        def read(_: Panel) -> None:
            self.prompts = learned_prompts.prompts_of(again)

        page.try_to(page.prompts, read)

    def look(self, when: str) -> None:
        """Compares with the image encoder's weights of now."""
        prompts = self.prompts
        if prompts is not None:
            self.found[when] = learned_prompts.compared(self.again, prompts, f"images and prompts {when}")

    def show(self) -> None:
        """Puts the comparison and the words into the panel."""
        prompts, panel = self.prompts, self.page.prompts.panels[-1]
        if prompts is None:
            return
        panel.blocks += learned_prompts.comparison_drawings(self.found)
        self.page.try_to(
            self.page.prompts,
            lambda panel: panel.blocks.append(learned_prompts.words_block(self.again, prompts, self.page.pictures)),
        )


def one_line(error: BaseException) -> str:
    """An error in one line, with its kind if it is none of ours."""
    text = " ".join(str(error).split())[:300]
    return text if isinstance(error, CCAFLError) else f"{type(error).__name__}: {text}"
