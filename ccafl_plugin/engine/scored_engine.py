"""The base class of this package's engines: it stores the scores of tests, which torchreid only prints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torchreid

from ccafl_plugin.engine.state import History
from ccafl_plugin.metrics.single_shot import reachable_ranks
from ccafl_plugin.metrics.watched_scores import RANKS, camera_pairs_of, named_scores, print_more, watched_scores
from ccafl_plugin.utils.dtypes import convolutions_like_products
from ccafl_plugin.utils.progress import watched

OF_TESTS = ("dist_metric", "normalize_feature", "save_dir", "use_metric_cuhk03", "ranks")
"""Arguments of ``run`` that torchreid hands on to the final test."""


class ScoredEngine(torchreid.engine.Engine):
    """torchreid's engine with stored test scores and a history. It changes no result.

    In a list of base classes it comes before any of torchreid's engines.

    Attributes:
        results: per target dataset the scores of its last test, shares in [0, 1]: ``mAP``, ``rank1``, and the other
            ranks that are printed, and ``mINP``.
        camera_pairs: per target dataset the mAP of its last test by cameras of query and gallery.
        history: history of the run.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.results: dict[str, dict[str, float]] = {}
        self.camera_pairs: dict[str, dict[str, Any]] = {}
        self.history = History()
        self._reranks = False

    @convolutions_like_products()
    def run(self, *args: Any, **settings: Any) -> None:
        """Runs torchreid's ``run``; takes all of its arguments.

        ``rerank`` holds for tests of a training run, too, and a run of 0 epochs ends with a test as any other: it is
        the row of a table that says what the untrained model reaches.
        """
        self._reranks = bool(settings.get("rerank", False))  # torchreid's passes it on with test_only alone
        super().run(*args, **settings)
        if not settings.get("test_only", False) and self.max_epoch == 0:
            print("=> Final test")
            self.test(**{name: settings[name] for name in OF_TESTS if name in settings})

    def _evaluate(self, dataset_name: str = "", ranks: Sequence[int] = RANKS, **settings: Any) -> tuple[float, float]:
        """torchreid's, with mINP and mAP by pairs of cameras. Ranks beyond the end of the curve are left out.

        Returns:
            Rank-1 and mAP as plain numbers: a checkpoint with NumPy's could not be read again.
        """
        settings["rerank"] = settings.get("rerank", False) or self._reranks
        gallery = settings["gallery_loader"].dataset.data
        shown = reachable_ranks(ranks, gallery, settings.get("use_metric_cuhk03", False))
        for part in ("query", "gallery"):
            settings[f"{part}_loader"] = WatchedLoader(settings[f"{part}_loader"], f"Features of the {part}")
        with watched_scores() as seen:
            rank1, mean_average_precision = super()._evaluate(dataset_name=dataset_name, ranks=shown, **settings)
        more = named_scores(seen, shown)
        self.results[dataset_name] = {"mAP": float(mean_average_precision), "rank1": float(rank1), **more}
        self.camera_pairs[dataset_name] = camera_pairs_of(seen)
        print_more(seen)
        return float(rank1), float(mean_average_precision)


class WatchedLoader:
    """A data loader whose batches are counted by a bar; everything else is the loader's.

    Args:
        loader: of torchreid, its dataset's items in batches.
        work: what the bar is called.
    """

    def __init__(self, loader: Any, work: str) -> None:
        self._loader, self._work = loader, work

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return watched(self._loader, len(self._loader.dataset), "images", self._work, lambda batch: len(batch["camid"]))
