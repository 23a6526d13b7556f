"""Queries beside what was found for them, right and wrong marked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ccafl_plugin.report.page_blocks import Custom, Panel
from ccafl_plugin.report.pictures import Pictures
from ccafl_plugin.report.ranked_queries import SHOWN, RankedQueries, chosen_queries
from ccafl_plugin.report.rebuilt_run import RebuiltRun
from ccafl_plugin.report.scores import scores_of

ROWS = 40
"""Queries on the page, over all runs."""
LEAST_ROWS = 6
"""Of a run."""
DIFFERENCE = 0.0015
"""Of a score that is computed again, above which it is said: a query of a small test is more."""

LEAD = (
    "Each row is a query, at its left, and the ten most similar images of the gallery, without those of its own person "
    "and camera, which do not count. Below each image stands its camera."
)


def rankings_block(run: RebuiltRun, ranked: RankedQueries, pictures: Pictures, rows: int = ROWS) -> Custom:
    """The rows of one run.

    Args:
        run: for the names of cameras.
        ranked: rankings of all queries.
        pictures: of the page.
        rows: how many queries to show.
    """
    images = ranked.images
    chosen = chosen_queries(ranked.first, rows)
    found: list[dict[str, Any]] = []
    for query in chosen.tolist():
        hits = [
            {**_picture(run, ranked, pictures, place), "right": bool(images.persons[place] == images.persons[query])}
            for place in ranked.top[query].tolist()
            if place >= 0
        ]
        first = int(ranked.first[query]) + 1
        found.append({"query": _picture(run, ranked, pictures, query), "hits": hits, "first": first})
    cameras = sorted({row["query"]["camera"] for row in found}, key=lambda name: (len(name), name))
    return Custom("rankings", {"rows": found, "cameras": cameras, "shown": SHOWN, "said": _mix(ranked, found)})


def difference_line(run: RebuiltRun, ranked: RankedQueries) -> str:
    """What to say if the scores that were computed again are not those in the results; empty if they are."""
    if run.config.test.get("use_metric_cuhk03", False) or run.config.cuhk03.use_metric_cuhk03:
        return (
            "The CMC in the results is by CUHK03's metric, which draws one image of each person; the one here is not."
        )
    scores = scores_of(run.run).get(ranked.images.dataset, {})
    curve = ranked.curve()
    for rank in (1, 5, 10, 20):
        score = scores.get(f"rank{rank}")
        if score is not None and abs(score - curve[rank - 1]) > DIFFERENCE:
            return (
                f"Computed again, Rank-{rank} is {100 * curve[rank - 1]:.1f} %, in the results {100 * score:.1f} %: "
                "data, weights or versions are not those of the test."
            )
    return ""


def rows_per_run(runs: int) -> int:
    """How many queries of each run are shown."""
    return max(LEAST_ROWS, ROWS // max(runs, 1))


def add_rankings(panel: Panel, run: RebuiltRun, ranked: RankedQueries, pictures: Pictures, rows: int) -> None:
    """Puts a run's rankings into its panel."""
    if not len(ranked.valid):
        panel.missing.append("No rankings: no query has a right match in another camera.")
        return
    panel.blocks.append(rankings_block(run, ranked, pictures, rows))
    if line := difference_line(run, ranked):
        panel.missing.append(line)


def _mix(ranked: RankedQueries, rows: list[dict[str, Any]]) -> str:
    """How the rows were chosen, with the shares among them and among all."""
    curve = ranked.curve()
    shares = ", ".join(
        f"up to rank {rank} {100 * sum(row['first'] <= rank for row in rows) / len(rows):.0f} % here, "
        f"{100 * curve[rank - 1]:.0f} % of all"
        for rank in (1, 5, SHOWN)
    )
    return (
        f"{len(rows)} of {len(ranked.valid):,} queries, chosen so that their mix matches the CMC: all queries are "
        f"ordered by the rank of their first right match (equal ranks at random) and divided into {len(rows)} parts of "
        f"equal size, and the middle one of each part is shown. A right match is found {shares}."
    )


def _picture(run: RebuiltRun, ranked: RankedQueries, pictures: Pictures, place: int) -> dict[str, str]:
    path = ranked.images.paths[place]
    return {
        "uri": pictures.read(path),
        "name": Path(path).name,
        "camera": run.camera_name(int(ranked.images.cameras[place])),
    }
