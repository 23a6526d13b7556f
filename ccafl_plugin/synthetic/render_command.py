"""The command that renders a benchmark, for ``tools/make_synthetic.py``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ccafl_plugin.metrics.random_ranking import random_ranking
from ccafl_plugin.synthetic.renderer.cameras import FEWEST
from ccafl_plugin.synthetic.renderer.contact_sheet import contact_sheet
from ccafl_plugin.synthetic.renderer.generate import folder_of, generate
from ccafl_plugin.synthetic.renderer.picture_plan import GALLERY, QUERY, SIZES, Plan, Size, plan_benchmark
from ccafl_plugin.utils.commands import exit_code
from ccafl_plugin.utils.errors import CCAFLError
from ccafl_plugin.utils.files import FolderWatch, written_line

LAYOUTS = ("synthetic_persons", "market1501")


def parser() -> argparse.ArgumentParser:
    """The arguments of the command."""
    made = argparse.ArgumentParser(description="Render synthetic persons in a network of cameras, as a ReID dataset.")
    made.add_argument("--root", default="reid-data", help="data root (default: %(default)s)")
    made.add_argument("--size", default="tiny", choices=tuple(SIZES), help="how many persons (default: %(default)s)")
    made.add_argument(
        "--identities",
        type=int,
        nargs="+",
        metavar=("TRAIN", "TEST"),
        help="numbers of persons instead of a size: for training, for the test, only in the gallery",
    )
    made.add_argument(
        "--cameras",
        type=int,
        default=FEWEST,
        metavar="N",
        help="number of cameras; more than six only for the plugin's dataset (default: %(default)s)",
    )
    made.add_argument("--seed", type=int, default=1, help="another seed gives another benchmark (default: %(default)s)")
    made.add_argument(
        "--layout",
        default=LAYOUTS[0],
        choices=LAYOUTS,
        help="folders below the root: those of the plugin's dataset, or those of torchreid's market1501",
    )
    made.add_argument("--workers", type=int, default=None, help="rendering processes (default: one per core)")
    made.add_argument("--sheet", default="", metavar="FILE", help="only draw a contact sheet")
    made.add_argument("--random-ranking", action="store_true", help="only print the test scores of a random ranking")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command. Returns 0, or 2 after it has printed one line about a wrong argument."""
    return exit_code(run, parser().parse_args(argv))


def run(given: argparse.Namespace) -> None:
    """Does what the arguments say.

    Raises:
        CCAFLError: an argument is out of range, or the folder exists already or could not be written.
    """
    size = SIZES[given.size] if given.identities is None else _size(given.identities)
    if given.sheet:
        sheet = contact_sheet(plan_benchmark(size, given.seed, given.cameras))
        try:
            sheet.save(given.sheet)
        except (OSError, ValueError) as error:  # Pillow raises ValueError for an unknown file extension
            raise CCAFLError(f"--sheet: could not write {given.sheet!r}: {error}.") from error
        print(written_line(Path(given.sheet).parent, [Path(given.sheet).name]))
        return
    if given.random_ranking:
        print(chance_level(plan_benchmark(size, given.seed, given.cameras)))
        return
    if given.layout == "market1501":
        if given.cameras != FEWEST:
            raise CCAFLError(
                f"--cameras: torchreid's market1501 reads {FEWEST} cameras only. To render {given.cameras} cameras for "
                "the plugin's dataset, leave out --layout."
            )
        folder = Path(given.root).expanduser().absolute() / "market1501" / "Market-1501-v15.09.15"
    elif given.identities is None:
        folder = folder_of(given.root, given.size, given.seed, given.cameras)
    else:
        raise CCAFLError(
            "--identities: the dataset synthetic_persons has named sizes only. Use --size, or --layout market1501."
        )
    watch = FolderWatch(folder)
    generate(folder, size, given.seed, given.workers, given.cameras)
    print(written_line(folder, watch.written()))


def chance_level(plan: Plan) -> str:
    """One line with the expected scores of a random ranking of the benchmark's gallery for each query."""
    parts = [[picture for picture in plan.pictures if picture.folder == folder] for folder in (QUERY, GALLERY)]
    queries, gallery = ([int(picture.name[:4]) for picture in part] for part in parts)
    asking, asked = ([picture.frame.camera for picture in part] for part in parts)
    cmc, mean_average_precision = random_ranking(queries, gallery, asking, asked, max_rank=10)
    scores = {"mAP": mean_average_precision, "Rank-1": cmc[0], "Rank-5": cmc[4], "Rank-10": cmc[9]}
    listed = ", ".join(f"{name} {value:.1%}" for name, value in scores.items())
    return f"Random ranking of {len(parts[1])} gallery images for {len(parts[0])} queries (expected): {listed}"


def _size(numbers: Sequence[int]) -> Size:
    if not 2 <= len(numbers) <= 3:
        raise CCAFLError(
            "--identities: expected two or three numbers of persons: for training, for the test, only in the gallery."
        )
    return Size(*numbers, *[0] * (3 - len(numbers)))
